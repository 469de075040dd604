"""A thread that reads a source which may block, and that nobody has to wait for.

Rules:

- One thread for each source, started with the first batch, so that a source is read in one thread
  alone and in order. It reads a batch when it is asked for one, and never ahead.
- It is a daemon: a source that never comes back keeps neither the run nor the process.
- Who leaves while it reads abandons it. It ends when the source comes back; what came is dropped.
- The process gives an abandoned thread `GRACE_S` at its end, as one that is stopped inside of
  foreign code may crash there.
"""

from __future__ import annotations

import asyncio
import atexit
from contextlib import suppress
from contextvars import copy_context
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["GRACE_S", "ReadingThread"]

GRACE_S = 0.5
"""How long the end of the process waits for a thread that still reads."""

_Batch: TypeAlias = list[Any]
_Waiter: TypeAlias = "asyncio.Future[tuple[_Batch, BaseException | None]]"


class ReadingThread:
    """Reads an iterable, batch by batch. Made in the event loop that uses it.

    Args:
        rows: what is read; it is never closed.
        batch_size: rows read at a time.
    """

    def __init__(self, rows: Iterable[Any], batch_size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._rows = rows
        self._batch_size = batch_size
        self._asked: SimpleQueue[_Waiter | None] = SimpleQueue()
        self._is_reading = False
        self._thread = Thread(
            target=copy_context().run, args=(self._work,), name="distilabel-source", daemon=True
        )
        self._thread.start()

    async def read(self) -> list[Any]:
        """The next rows; none at the end.

        Raises:
            BaseException: what the source raised, as it is.
        """
        waiter: _Waiter = self._loop.create_future()
        self._is_reading = True
        self._asked.put(waiter)
        batch, error = await waiter
        self._is_reading = False
        if error is not None:
            raise error
        return batch

    def end(self) -> None:
        """Read no more. Waits for nothing."""
        if self._is_reading:
            atexit.register(self._part)
        self._asked.put(None)

    def _part(self) -> None:
        with suppress(KeyboardInterrupt):  # who is in a hurry
            self._thread.join(GRACE_S)

    def _work(self) -> None:
        iterator: Iterator[Any] | None = None
        while (waiter := self._asked.get()) is not None:
            batch, raised = [], None
            try:
                iterator = iter(self._rows) if iterator is None else iterator
                batch = list(islice(iterator, self._batch_size))
            except BaseException as error:  # noqa: BLE001 - raised where the batch is awaited
                raised = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(_tell, waiter, batch, raised)
        atexit.unregister(self._part)


def _tell(waiter: _Waiter, batch: _Batch, raised: BaseException | None) -> None:
    if not waiter.done():
        waiter.set_result((batch, raised))
