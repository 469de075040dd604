"""How long an event loop was held up while attempts were under way.

A reply that lies in a socket while the program computes, or imports a module, seems to be late. It
is the client that was: what is told of the backend must not count such times.

How it works: a timer that should ring every `_EACH_S` while anybody counts. By as much as it rings
late the loop was held up; one that is overdue at this moment counts as well, since what was held up
with it may be seen first. Lateness of up to `_SLACK_S` is how a busy loop is, and not counted.

It is the one timer that rings while attempts are under way. Who wants to look at a run now and then
follows it, rather than set another: where time is virtual, each timer makes it go by.
"""

from __future__ import annotations

from asyncio import get_running_loop
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Generator

__all__ = ["Stalls", "stalls_of_this_loop"]

_EACH_S = 0.05
_SLACK_S = 0.02


class Stalls:
    """The time that one event loop has lost. Used from within that loop alone."""

    def __init__(self) -> None:
        self._lost_s = 0.0
        self._due: float | None = None
        self._under_way = 0
        self._followers: list[Callable[[], None]] = []

    @contextmanager
    def followed_by(self, follower: Callable[[], None]) -> Generator[None]:
        """Call `follower` whenever the timer rings. It must be quick and must not raise."""
        self._followers.append(follower)
        try:
            yield
        finally:
            self._followers.remove(follower)

    def enter(self) -> float:
        """An attempt starts; seconds lost so far. Ends with `leave`."""
        self._under_way += 1
        if self._due is None:
            self._wait()
        return self._lost_s

    def leave(self, lost_at_start_s: float) -> float:
        """An attempt is over; seconds lost since it started."""
        self._under_way -= 1
        late_s = 0.0 if self._due is None else get_running_loop().time() - self._due
        return self._lost_s - lost_at_start_s + (late_s if late_s > _SLACK_S else 0.0)

    def _wait(self) -> None:
        loop = get_running_loop()
        self._due = loop.time() + _EACH_S
        loop.call_at(self._due, self._ring, self._due)

    def _ring(self, due: float) -> None:
        late_s = get_running_loop().time() - due
        if late_s > _SLACK_S:
            self._lost_s += late_s
        for follower in tuple(self._followers):
            follower()
        self._due = None
        if self._under_way:
            self._wait()


_stalls: WeakKeyDictionary[AbstractEventLoop, Stalls] = WeakKeyDictionary()


def stalls_of_this_loop() -> Stalls:
    """Those of the running loop."""
    loop = get_running_loop()
    found = _stalls.get(loop)
    if found is None:
        found = _stalls[loop] = Stalls()
    return found
