"""The calls of one run that are under way: may another be sent, and are all of them back?

Rules:

- Once stopped, nothing departs any more. What is under way may land.
- An attempt that departed lands (its reply is kept), is lost (there is nothing to keep), or is cut
  off (there may be something, and we shall not see it): that one stays in flight for the counter.
- Whoever finishes something after landing that must not be cut off holds the flight up meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyio

from distilabel.limits import Company

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Flight", "InFlightCounter"]


class InFlightCounter(Protocol):
    """Counts attempts where the count survives the process; the journal does."""

    def sent(self) -> None:
        """An attempt departs."""

    def returned(self) -> None:
        """An attempt came back with nothing to keep."""


class Flight:
    """Attempts under way in one run.

    Args:
        counter: also told of each; None: nobody needs to know after the process is gone.
    """

    def __init__(self, counter: InFlightCounter | None = None) -> None:
        self._counter = counter
        self._under_way = 0
        self._idle = anyio.Event()
        self.is_stopped = False
        self.company: Callable[[], Company] = Company
        """The rows that the run has in hand."""
        self.set_aside: Callable[[int, int], None] = lambda row, at_most: None  # noqa: ARG005
        """Called with a row that waits for a server that does not answer well, and with how many
        rows may do so beside those of the window."""

    @property
    def under_way(self) -> int:
        """Attempts that departed and are not back, and what holds the flight up."""
        return self._under_way

    def stop(self) -> None:
        """Let nothing depart any more."""
        self.is_stopped = True
        self._tell_if_idle()

    def departed(self) -> None:
        """An attempt is sent."""
        self._under_way += 1
        if self._counter is not None:
            self._counter.sent()

    def landed(self) -> None:
        """An attempt is back, and what it brought is in the keeper's hands."""
        self._under_way -= 1
        self._tell_if_idle()

    def lost(self) -> None:
        """An attempt is over and brought nothing to keep."""
        if self._counter is not None:
            self._counter.returned()
        self.landed()

    def cut_off(self) -> None:
        """An attempt was given up under way; what it brings will not be kept."""
        self.landed()

    def hold_up(self) -> None:
        """Something is being finished that a stop must wait for; `landed` is to follow."""
        self._under_way += 1

    async def wait_idle(self) -> None:
        """Wait, once stopped, until everything is back."""
        if self._under_way:
            await self._idle.wait()

    def _tell_if_idle(self) -> None:
        if self.is_stopped and not self._under_way:
            self._idle.set()
