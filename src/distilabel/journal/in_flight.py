"""How many calls are in flight, written where a killed process leaves it behind.

Rules:

- In flight = attempts sent - attempts that failed - replies committed.
- Each of the three only grows, and each has one writer: the event loop counts what is sent and what
  failed, the writer thread what was committed. So nothing is locked.
- They lie in a mapped page of the run's lock file: the system keeps it when the process is killed.
  A power cut may lose it; then the number is too small, which only the report of it suffers from.
- What an earlier run left stands until the first call of this one is sent. A run that dies before
  that takes no knowledge with it.
- A run that ends in order leaves them as they are: what was cancelled under way is still counted.
- Beside them lies what the run may have spent: paid and under way, in picodollars. The event loop
  writes it before an attempt is sent, so that a killed run is never thought to have spent less.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COUNTER_BYTES", "InFlight"]

COUNTER_BYTES = 64
_SENT, _FAILED, _COMMITTED, _SPENT = range(4)
_SPENT_MAX = (1 << 63) - 1
_MOST = 1 << 20
"""More than this at once is not believed: the file was tampered with."""


class InFlight:
    """The counters in a lock file that is held.

    Args:
        path: the lock file, of at least `COUNTER_BYTES`.
    """

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(fd, COUNTER_BYTES)
        finally:
            os.close(fd)
        self._bytes = memoryview(self._map)
        self._counters: memoryview[int] | list[int] = self._bytes.cast("Q")
        self._is_to_be_reset = False

    def __len__(self) -> int:
        return 0 if self._is_to_be_reset else max(0, self._difference())

    @property
    def left_behind(self) -> int:
        """Before `start`: in flight when the run ended, or died, that worked here before."""
        difference = self._difference()
        return difference if 0 <= difference <= _MOST else 0

    def start(self) -> None:
        """A run begins: nothing is in flight."""
        self._is_to_be_reset = True

    def sent(self) -> None:
        """An attempt is about to be sent."""
        if self._is_to_be_reset:
            self._is_to_be_reset = False
            for counter in (_SENT, _FAILED, _COMMITTED):
                self._counters[counter] = 0
        self._counters[_SENT] += 1

    def failed(self) -> None:
        """An attempt brought no reply."""
        self._counters[_FAILED] += 1

    def committed(self, count: int) -> None:
        """Replies are on disk."""
        if count:  # without one, none was sent perhaps, and the counters are being reset
            self._counters[_COMMITTED] += count

    @property
    def spent(self) -> int:
        """What the run may have spent so far, earlier sessions included, as it was noted."""
        return min(self._counters[_SPENT], _SPENT_MAX)

    @spent.setter
    def spent(self, amount: int) -> None:
        self._counters[_SPENT] = min(amount, _SPENT_MAX)

    def close(self) -> None:
        """Unmap the page. The counters stay in the file, and here as they are now."""
        counters, self._counters = self._counters, list(self._counters)
        if isinstance(counters, memoryview):
            counters.release()
            self._bytes.release()
            self._map.close()

    def _difference(self) -> int:
        sent, failed, committed = (
            self._counters[_SENT],
            self._counters[_FAILED],
            self._counters[_COMMITTED],
        )
        return sent - failed - committed
