"""The one thread that uses the journal's file.

Rules:

- The connection is opened, used and closed in this thread, and in no other.
- What is put is written in the order of putting. So a row that is on disk has all its calls there.
- Writes are committed in groups, without a timer: whatever has gathered while the last commit ran
  is the next group, up to `GROUP_RECORDS_MAX` records or `GROUP_BYTES_MAX`.
- A waiter is told after the commit, all waiters of a group by one call into their event loop.
- A read sees everything that was put before it.
- After a write failure nothing is written any more: who waits and who puts from then on gets a
  `JournalWriteError`. What was acknowledged before stays. Reads go on.

How it works: a group gathers in the event loop, and goes to the thread as a whole: at the end of
the loop's round if the thread is idle, else when the thread is done with the group before. A thread
that is woken for each record fights with the loop for the interpreter's lock; that doubled what a
row costs.

What gathers has no bound of its own. What bounds it is that every row in hand awaits its own
record: there are no more records in it than the run's window of rows has calls.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from distilabel.errors import JournalError, JournalWriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from distilabel.journal.database import Database
    from distilabel.journal.opening import Opened

__all__ = ["GROUP_BYTES_MAX", "GROUP_RECORDS_MAX", "Writer", "WriterStatistics"]

GROUP_RECORDS_MAX = 256
GROUP_BYTES_MAX = 4 << 20
_WORTH_A_COMMIT = 16
"""As many records are not kept waiting for more."""

T = TypeVar("T")
_Future: TypeAlias = "asyncio.Future[Any]"


@dataclass(frozen=True, slots=True)
class WriterStatistics:
    """A writer at one moment."""

    waiting: int
    """Records and reads that were put and are not done."""
    calls: int
    """Calls committed."""
    rows: int
    """Rows committed."""
    groups: int
    """Transactions that they took."""
    bytes: int
    """Their records' length."""


@dataclass(frozen=True, slots=True)
class _Read(Generic[T]):
    read: Callable[[Opened], T]
    waiter: _Future


@dataclass(slots=True)
class _Group:
    """What is done together: one transaction, then the reads."""

    calls: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    rows: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    meta: dict[str, str] = field(default_factory=dict[str, str])
    waiters: list[_Future] = field(default_factory=list["_Future"])
    reads: list[_Read[Any]] = field(default_factory=list["_Read[Any]"])
    calls_sent: int = 0
    """Of its calls, those that were in flight until now."""
    records: int = 0
    size: int = 0
    is_last: bool = False

    @property
    def is_full(self) -> bool:
        return self.records >= GROUP_RECORDS_MAX or self.size >= GROUP_BYTES_MAX

    @property
    def has_writes(self) -> bool:
        return bool(self.calls or self.rows or self.meta)


class Writer:
    """The thread, and the queue into it. Made in the event loop that uses it.

    Args:
        open_files: opens what the thread uses; runs in the thread.
        on_failure: called once in the event loop, with what went wrong, when a write fails.
    """

    def __init__(
        self, open_files: Callable[[], Opened], on_failure: Callable[[JournalWriteError], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._open_files = open_files
        self._on_failure = on_failure
        self._groups: SimpleQueue[_Group] = SimpleQueue()
        self._gathering = _Group()
        self._is_sending = False
        self._under_way = 0
        self._records_under_way = 0
        self._failure: JournalWriteError | None = None
        self._is_closing = False
        self._opened: asyncio.Future[Opened] = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._calls = self._rows = self._commits = self._bytes = 0
        self._thread = threading.Thread(target=self._work, name="distilabel-journal", daemon=True)

    @property
    def failure(self) -> JournalWriteError | None:
        """What went wrong with a write; None: nothing."""
        return self._failure

    def statistics(self) -> WriterStatistics:
        """The writer at this moment."""
        waiting = self._records_under_way + self._gathering.records
        return WriterStatistics(waiting, self._calls, self._rows, self._commits, self._bytes)

    async def open(self) -> Opened:
        """Start the thread, and wait until it has opened the files."""
        self._thread.start()
        return await self._opened

    def put_call(self, columns: tuple[object, ...], *, size: int, is_sent: bool) -> None:
        """Have a call written; returns at once."""
        self._refuse_if_over()
        group = self._gathering
        group.calls.append(columns)
        group.calls_sent += is_sent
        self._gathered(group, size)

    def put_row(self, columns: tuple[object, ...], *, size: int) -> _Future:
        """Have a row written; done after its commit."""
        self._refuse_if_over()
        waiter = self._loop.create_future()
        group = self._gathering
        group.rows.append(columns)
        group.waiters.append(waiter)
        self._gathered(group, size)
        return waiter

    def put_meta(self, values: Mapping[str, str]) -> _Future:
        """Have something noted about the run; done after its commit."""
        self._refuse_if_over()
        waiter = self._loop.create_future()
        group = self._gathering
        group.meta.update(values)
        group.waiters.append(waiter)
        self._gathered(group, 0)
        return waiter

    def read(self, read: Callable[[Opened], T]) -> asyncio.Future[T]:
        """Have something read in the thread."""
        if self._is_closing:
            raise self._closed_error()
        waiter: asyncio.Future[T] = self._loop.create_future()
        group = self._gathering
        group.reads.append(_Read(read, waiter))
        self._gathered(group, 0)
        return waiter

    def close(self) -> asyncio.Future[None]:
        """Have all that was put written, and the files closed; done after that. May be repeated."""
        if not self._is_closing:
            self._is_closing = True
            self._gathering.is_last = True
            self._hand_over()
        return self._ended

    def _gathered(self, group: _Group, size: int) -> None:
        group.records += 1
        group.size += size
        if group.is_full:
            self._hand_over()
        else:
            self._send_soon()

    def _send_soon(self) -> None:
        if self._gathering.records and not (self._under_way or self._is_sending):
            self._is_sending = True
            self._loop.call_soon(self._send, self._gathering.records)

    def _send(self, records: int) -> None:
        """Hand over what has gathered, unless this round of the loop has brought more."""
        self._is_sending = False
        if self._under_way:
            return  # it goes on gathering
        if records < self._gathering.records < _WORTH_A_COMMIT:
            self._send_soon()
        elif self._gathering.records:
            self._hand_over()

    def _hand_over(self) -> None:
        group, self._gathering = self._gathering, _Group()
        self._under_way += 1
        self._records_under_way += group.records
        self._groups.put(group)

    def _done(self, group: _Group, news: list[tuple[_Future, object]]) -> None:
        self._under_way -= 1
        self._records_under_way -= group.records
        _settle(news)
        self._send_soon()  # not now: the loop's round under way may bring more

    def _refuse_if_over(self) -> None:
        if self._failure is not None:
            raise _again(self._failure)
        if self._is_closing:
            raise self._closed_error()

    def _closed_error(self) -> JournalError:
        path: Path = self._opened.result().database.path
        return JournalError(f"the journal {path} was closed", path=path)

    # Everything below runs in the thread.

    def _work(self) -> None:
        try:
            opened = self._open_files()
        except BaseException as error:  # noqa: BLE001 - raised where the opening is awaited
            self._tell([(self._opened, error), (self._ended, None)])
            return
        try:
            self._tell([(self._opened, opened)])
            is_last = False
            while not is_last:
                group = self._groups.get()
                self._execute(group, opened)
                is_last = group.is_last
        finally:
            with suppress(sqlite3.Error, OSError):  # what was acknowledged is on disk
                opened.close()
            self._tell([(self._ended, None)])

    def _execute(self, group: _Group, opened: Opened) -> None:
        news: list[tuple[_Future, object]] = []
        if group.has_writes:
            if self._failure is None:
                self._write(group, opened)
            news += [(waiter, self._failure and _again(self._failure)) for waiter in group.waiters]
        for read in group.reads:
            try:
                news.append((read.waiter, read.read(opened)))
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                news.append((read.waiter, error))
        with suppress(RuntimeError):  # the loop is gone, and the run with it
            self._loop.call_soon_threadsafe(self._done, group, news)

    def _write(self, group: _Group, opened: Opened) -> None:
        try:
            opened.database.write(group.calls, group.rows, group.meta)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing more is written
            self._fail(error, opened.database)
            return
        opened.lock.in_flight.committed(group.calls_sent)
        self._calls += len(group.calls)
        self._rows += len(group.rows)
        self._commits += 1
        self._bytes += group.size

    def _fail(self, error: Exception, database: Database) -> None:
        failure = JournalWriteError(
            f"the journal {database.path} cannot be written: {error}. The run stops; all rows that "
            f"were handed out, and all calls written before, are kept. Make room on the disk, or "
            f"mend it, and run again: the run goes on where it stopped.",
            path=database.path,
        )
        failure.__cause__ = error
        self._failure = failure
        with suppress(RuntimeError):  # the loop is gone, and the run with it
            self._loop.call_soon_threadsafe(self._on_failure, failure)

    def _tell(self, news: list[tuple[_Future, object]]) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_settle, news)


def _settle(news: list[tuple[_Future, object]]) -> None:
    for waiter, result in news:
        if waiter.done():  # cancelled; what it waited for is written all the same
            continue
        if isinstance(result, BaseException):
            waiter.set_exception(result)
        else:
            waiter.set_result(result)


def _again(failure: JournalWriteError) -> JournalWriteError:
    """The same failure for one more who asks: a raised exception belongs to who caught it."""
    copy = JournalWriteError(str(failure), path=failure.path)
    copy.__cause__ = failure.__cause__
    return copy
