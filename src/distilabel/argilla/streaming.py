"""Rows to Argilla while a run goes on, so that people begin before it ends.

- A row is handed on when it has a place in the buffer of rows for Argilla. A server that is slow
  but answers thus slows the run in the end, and memory stays bounded.
- A server that fails never stops a run, nor slows it: it is warned of once, tried again after 1 s,
  then 2 s and so on up to a minute, and rows that find no place meanwhile are counted as missing.
- What is missing in the end is brought by a push of the whole data set under the same name, for
  records have the same ids there: what is there is updated, what is not is added.
- A wrong key or workspace is told when the block is entered. A data set that exists with other
  settings, or a request that is refused, ends the pushing with a warning, and not the run.
- Leaving the block waits until what is in the buffer is pushed; if the server fails, it is tried
  once more. Being cancelled, or told to drop it all, waits for nothing: a request under way ends by
  itself, in its thread.

`RowPusher` is all of that, for rows from anywhere; `ArgillaLog` is a stream with it behind.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import anyio
import anyio.to_thread

from distilabel.argilla.layout import GENERATIONS, layout_of
from distilabel.argilla.pushing import open_target
from distilabel.argilla.records import RecordIds, entries, record_of
from distilabel.argilla.server import BATCH_RECORDS
from distilabel.errors import ArgillaError, DistilabelError
from distilabel.types import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from distilabel.argilla.layout import Layout
    from distilabel.argilla.records import ArgillaRecord
    from distilabel.argilla.server import ArgillaServer
    from distilabel.tasks import Task

__all__ = [
    "ROWS_WAITING_MAX",
    "ArgillaLog",
    "LogStatistics",
    "RecordTaker",
    "RowPusher",
    "pushing_to",
]

ROWS_WAITING_MAX: Final = 1_024
"""Rows in the buffer for Argilla."""
_PAUSE_MAX_S: Final = 60.0
_log = logging.getLogger("distilabel")


class RecordTaker(Protocol):
    """Where records go."""

    def put(self, records: Sequence[ArgillaRecord], /) -> None:
        """Add or update records."""


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """How far the pushing is."""

    rows_pushed: int
    """Rows that Argilla has."""
    rows_waiting: int
    """Rows in the buffer, those under way included."""
    rows_missing: int
    """Rows that were given up; a push of the whole data set brings them."""


class RowPusher:
    """A bounded buffer of rows, and what pushes them to Argilla.

    Args:
        connect: opens what takes records of a layout; called in a thread, and again if it fails.
        task: the labeller's task if there is a labeller, else the generator's.
        num_generations: the most texts that a row will have; None: as many as the first rows have.
        pause_s: how long the first wait for a server that fails is.
    """

    def __init__(
        self,
        connect: Callable[[Layout], RecordTaker],
        *,
        task: Task | None = None,
        num_generations: int | None = None,
        pause_s: float = 1.0,
    ) -> None:
        self._connect = connect
        self._task = task
        self._num_generations = num_generations
        self._pause_s = pause_s
        self._waiting: deque[Row] = deque()
        self._under_way = self._pushed = self._missing = 0
        self._ids = RecordIds()
        self._layout: Layout | None = None
        self._taker: RecordTaker | None = None
        self._is_failing = self._is_over = False
        self._has_warned = False
        self._closed, self._moved = anyio.Event(), anyio.Event()
        self._dropping = anyio.CancelScope()

    def statistics(self) -> LogStatistics:
        """How far the pushing is, at this moment."""
        return LogStatistics(self._pushed, len(self._waiting) + self._under_way, self._missing)

    async def put(self, row: Row) -> None:
        """Have a row pushed; returns when it has a place in the buffer, or is given up."""
        while len(self._waiting) >= ROWS_WAITING_MAX and not (self._is_failing or self._is_over):
            await self._news()
        if self._is_over or len(self._waiting) >= ROWS_WAITING_MAX:
            self._missing += 1
        else:
            self._waiting.append(row)
            self._tell()

    def close(self) -> None:
        """No row comes any more."""
        self._closed.set()
        self._tell()

    def drop(self) -> None:
        """Push nothing more, and wait for nothing."""
        self._is_over = True
        self._dropping.cancel()
        self._tell()

    async def push(self) -> None:
        """Push what comes until the end; called once, by what opened the log."""
        with self._dropping:
            await self._push()

    async def _push(self) -> None:
        while rows := await self._batch():
            self._under_way = len(rows)
            records = await self._records(rows)
            is_pushed = bool(records) and await self._is_pushed(records)
            self._pushed += len(records) if is_pushed else 0
            self._missing += len(rows) - (len(records) if is_pushed else 0)
            self._under_way = 0
        if self._missing:
            _log.warning(
                "%d rows are not in Argilla. Push the whole data set under the same name: what is "
                "there is updated, what is not is added.",
                self._missing,
            )

    async def _batch(self) -> list[Row]:
        while not self._waiting and not self._closed.is_set():
            await self._news()
        count = min(len(self._waiting), BATCH_RECORDS)
        rows = [self._waiting.popleft() for _ in range(count)]
        self._tell()
        return rows

    async def _records(self, rows: list[Row]) -> list[ArgillaRecord]:
        """The records of those rows that the data set has enough fields for."""
        layout = self._layout_of(rows)
        if self._is_over or layout is None:
            return []
        fitting = [r for r in rows if len(entries(r.get(GENERATIONS))) <= layout.generations]
        return await anyio.to_thread.run_sync(
            lambda: [record_of(row, layout, self._ids) for row in fitting]
        )

    def _layout_of(self, rows: list[Row]) -> Layout | None:
        """What the first rows showed to be needed; None if nothing can be pushed."""
        if self._layout is None:
            most = self._num_generations or max(len(entries(r.get(GENERATIONS))) for r in rows)
            try:
                self._layout = layout_of(self._task, columns=list(rows[0]), generations=most)
            except DistilabelError as error:
                self._give_up(error)
        return self._layout

    async def _is_pushed(self, records: list[ArgillaRecord]) -> bool:
        pause_s = self._pause_s
        while not self._is_over:
            was_closed = self._closed.is_set()
            try:
                await anyio.to_thread.run_sync(self._put, records, abandon_on_cancel=True)
            except ArgillaError as error:
                if was_closed or not is_passing(error):
                    self._give_up(error)
                    return False
                self._note_failing(error)
            except DistilabelError as error:
                self._give_up(error)
                return False
            else:
                self._is_failing = False
                self._tell()
                return True
            with anyio.move_on_after(pause_s):
                await self._closed.wait()
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        return False

    def _put(self, records: list[ArgillaRecord]) -> None:
        """In a thread."""
        if self._taker is None:
            assert self._layout is not None  # noqa: S101  # records have been made of it
            self._taker = self._connect(self._layout)
        self._taker.put(records)

    def _note_failing(self, error: ArgillaError) -> None:
        self._is_failing = True
        self.tell_of(error, "The run goes on, and the server is tried again.")
        self._tell()

    def _give_up(self, error: DistilabelError) -> None:
        self._is_over = True
        self.tell_of(error, "The run goes on, and no more rows are pushed.")
        self._tell()

    def tell_of(self, error: DistilabelError, what_now: str) -> None:
        """Tell of the first failure."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning("rows cannot be pushed to Argilla: %s %s", error, what_now)

    def _tell(self) -> None:
        self._moved.set()

    async def _news(self) -> None:
        if self._moved.is_set():  # else others wait for the same news
            self._moved = anyio.Event()
        await self._moved.wait()


class ArgillaLog(RowPusher, AsyncIterator[Row]):
    """Rows of a stream, handed on as they come, and pushed to Argilla beside.

    Args:
        rows: the stream.
        connect: opens what takes records; see `RowPusher`, which has the other arguments, too.
    """

    def __init__(
        self,
        rows: AsyncIterator[Row],
        connect: Callable[[Layout], RecordTaker],
        *,
        task: Task | None = None,
        num_generations: int | None = None,
        pause_s: float = 1.0,
    ) -> None:
        super().__init__(connect, task=task, num_generations=num_generations, pause_s=pause_s)
        self._rows = rows

    async def __anext__(self) -> Row:
        row = await anext(self._rows)
        await self.put(row)
        return row


P = TypeVar("P", bound=RowPusher)


def is_passing(error: ArgillaError) -> bool:
    """Whether the same request may succeed later."""
    return error.status is None or error.status >= 500 or error.status == 429


@asynccontextmanager
async def pushing_to(
    name: str,
    workspace: str,
    opening: Callable[[], AbstractContextManager[ArgillaServer]],
    make: Callable[[Callable[[Layout], RecordTaker]], P],
) -> AsyncGenerator[P]:
    """A pusher that pushes until the block is left.

    Args:
        name: the data set's name in Argilla; it is made if it is not there.
        workspace: the name of a workspace that is there.
        opening: logs in; called in a thread, and again if it fails.
        make: makes the pusher, given what opens a layout's data set.

    Raises:
        MissingDependencyError: the package `argilla` is not installed.
        MissingKeyError: there is no key.
        ArgillaError: the server does not take the key, or has no such workspace.
    """
    connection = _Connection(opening, name, workspace)
    pusher = make(connection.open)
    try:
        try:
            await anyio.to_thread.run_sync(connection.check, abandon_on_cancel=True)
        except ArgillaError as error:
            if not is_passing(error):
                raise
            pusher.tell_of(error, "The run goes on, and the server is tried again.")
        async with _pushing(pusher):
            yield pusher
    finally:
        connection.close()


@asynccontextmanager
async def _pushing(pusher: RowPusher) -> AsyncGenerator[None]:
    """Pushes beside the block; an error of the block comes out as it is, not in a group."""
    left_with: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(pusher.push)
        try:
            yield
        except (anyio.get_cancelled_exc_class(), GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  # raised below, outside the group
            left_with = error
        finally:
            pusher.close()
    if left_with is not None:
        raise left_with


class _Connection:
    """A login that is kept, and made again if it fails. Used by one thread at a time."""

    def __init__(
        self,
        opening: Callable[[], AbstractContextManager[ArgillaServer]],
        name: str,
        workspace: str,
    ) -> None:
        self._opening = opening
        self._name = name
        self._workspace = workspace
        self._held = ExitStack()
        self._server: ArgillaServer | None = None

    def _logged_in(self) -> ArgillaServer:
        if self._server is None:
            self._server = self._held.enter_context(self._opening())
        return self._server

    def check(self) -> None:
        """Log in, and see that the workspace is there."""
        self._logged_in().workspace_id(self._workspace)

    def open(self, layout: Layout) -> RecordTaker:
        """The data set."""
        return open_target(self._logged_in(), self._name, self._workspace, layout)

    def close(self) -> None:
        """Log out."""
        self._held.close()
