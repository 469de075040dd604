"""Permits: how many attempts may be under way at once.

Rules:

- A permit is handed out in the order of asking, whatever thread or event loop asks.
- A waiter that is cancelled leaves the queue; if a permit had already been handed to it, the next
  waiter gets it. No permit is ever lost, and none is ever handed out twice.
- Making the pool smaller takes nothing away: permits in use run out and are not handed on.
- Every operation takes constant time, however many wait.

How it works: a lock guards two counters and the queue. The lock is never held while anything is
awaited. A waiter is a future of the loop that waits; a grant is decided under the lock, and the
future is only the news of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

__all__ = ["PermitPool", "PermitStatistics"]


@dataclass(frozen=True, slots=True)
class PermitStatistics:
    """A pool at one moment."""

    limit: int
    in_use: int
    waiting: int
    peak_in_use: int


class _Waiter:
    """One `await` for a permit, or for the news that one is free."""

    __slots__ = ("future", "is_granted", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.is_granted = False

    def wake(self) -> bool:
        """Tell the waiting loop; False if that loop is gone."""
        try:
            if self.loop is _running_loop():
                self._set()
            else:
                self.loop.call_soon_threadsafe(self._set)
        except RuntimeError:  # the loop was closed with this waiter still in the queue
            return False
        return True

    def _set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class PermitPool:
    """A first-come-first-served limit, shared by all loops and threads of the process.

    Args:
        limit: permits that exist, at least 1.

    >>> pool = PermitPool(2)
    >>> pool.acquire_nowait(), pool.acquire_nowait(), pool.acquire_nowait()
    (True, True, False)
    >>> pool.release()
    >>> pool.statistics()
    PermitStatistics(limit=2, in_use=1, waiting=0, peak_in_use=2)
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a pool needs at least 1 permit, not {limit}")
        self._lock = threading.Lock()
        self._limit = limit
        self._in_use = 0
        self._peak_in_use = 0
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self._watchers: OrderedDict[_Waiter, None] = OrderedDict()
        self._followers: list[Callable[[], None]] = []

    @property
    def limit(self) -> int:
        """Permits that exist."""
        return self._limit

    @property
    def has_waiters(self) -> bool:
        """Whether somebody waits for a permit."""
        return bool(self._waiters)

    def statistics(self) -> PermitStatistics:
        """The pool at this moment."""
        with self._lock:
            return PermitStatistics(
                self._limit, self._in_use, len(self._waiters), self._peak_in_use
            )

    def acquire_nowait(self) -> bool:
        """Take a permit if one is free and nobody waits before us; False if not."""
        with self._lock:
            return self._take()

    async def acquire(self) -> None:
        """Wait for a permit. Cancelled while waiting, it holds none."""
        with self._lock:
            if self._take():
                return
            waiter = _Waiter()
            self._waiters[waiter] = None
        try:
            await waiter.future
        except BaseException:
            self._abandon(waiter)
            raise

    def release(self) -> None:
        """Give a permit back; the longest waiter gets it."""
        with self._lock:
            if self._in_use == 0:
                raise RuntimeError("a permit was released that nobody held")
            self._in_use -= 1
            self._hand_on()

    def resize(self, limit: int) -> None:
        """Change how many permits exist, from now on."""
        if limit < 1:
            raise ValueError(f"a pool needs at least 1 permit, not {limit}")
        with self._lock:
            self._limit = limit
            self._hand_on()
            followers = tuple(self._followers)
        for follower in followers:
            follower()

    @contextmanager
    def followed_by(self, follower: Callable[[], None]) -> Generator[None]:
        """Call `follower` whenever the limit was set, in whatever thread sets it."""
        with self._lock:
            self._followers.append(follower)
        try:
            yield
        finally:
            with self._lock:
                self._followers.remove(follower)

    async def wait_available(self) -> None:
        """Wait until a permit is free and nobody waits for it. Takes none."""
        while True:
            with self._lock:
                if self._is_available():
                    return
                watcher = _Waiter()
                self._watchers[watcher] = None
            try:
                await watcher.future
            finally:
                with self._lock:
                    self._watchers.pop(watcher, None)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    # Everything below runs under the lock.

    def _is_available(self) -> bool:
        return self._in_use < self._limit and not self._waiters

    def _take(self) -> bool:
        if not self._is_available():
            return False
        self._grant()
        return True

    def _grant(self) -> None:
        self._in_use += 1
        self._peak_in_use = max(self._peak_in_use, self._in_use)

    def _hand_on(self) -> None:
        while self._waiters and self._in_use < self._limit:
            waiter, _ = self._waiters.popitem(last=False)
            if waiter.wake():
                waiter.is_granted = True
                self._grant()
        if self._watchers and self._is_available():
            for watcher in self._watchers:
                watcher.wake()
            self._watchers.clear()

    def _abandon(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.is_granted:
                self._in_use -= 1
            else:
                self._waiters.pop(waiter, None)
            self._hand_on()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
