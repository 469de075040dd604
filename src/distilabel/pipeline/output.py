"""Finished rows on their way to the consumer.

Rules:

- Rows leave in the order of completion, or, if asked, in the order of the input: then a row waits
  here for those before it.
- This buffer has no bound of its own. A row may come here only with an output slot, and the run
  hands out no more slots than it may have rows made and not taken.
- After an error, the rows that were finished before it are still handed out; then it is raised.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distilabel.types import Row

__all__ = ["InputOrder", "Output"]


class InputOrder:
    """Puts rows that complete in any order back into the order of the input. Pure.

    >>> from distilabel.types import Row
    >>> order = InputOrder()
    >>> [row.index for row in order.push(Row({}, index=1))]
    []
    >>> [row.index for row in order.push(Row({}, index=0))]
    [0, 1]
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Row] = {}
        self._next = 0

    def push(self, row: Row) -> Iterable[Row]:
        """Take a row in; the rows whose turn has come."""
        self._waiting[row.index] = row
        while (ready := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield ready


class Output:
    """The end of the run that the consumer holds."""

    def __init__(self, *, is_ordered: bool) -> None:
        self._order = InputOrder() if is_ordered else None
        self._ready: deque[Row] = deque()
        self._news = anyio.Event()
        self._is_closed = False
        self._error: Exception | None = None

    def put(self, row: Row) -> None:
        """Hand a finished row over."""
        self._ready.extend((row,) if self._order is None else self._order.push(row))
        self._news.set()

    def close(self, error: Exception | None) -> None:
        """No row comes any more."""
        self._is_closed = True
        self._error = error
        self._news.set()

    async def take(self) -> Row | None:
        """The next row; None after the last.

        Raises:
            Exception: what stopped the run, once the rows finished before it are taken.
        """
        while not self._ready:
            if self._is_closed:
                if self._error is not None:
                    raise self._error
                return None
            if self._news.is_set():  # else others wait for the same news, and must hear it too
                self._news = anyio.Event()
            await self._news.wait()
        return self._ready.popleft()

    def __len__(self) -> int:
        return len(self._ready)
