"""The journal as the pipeline sees it: every paid reply on disk, before anyone sees it.

Rules:

- `put_call` returns at once. The call is on disk when a row that was put later is.
- `await put_row` returns after the commit. A row is handed out only then.
- A journal serves one run, in one event loop.
- A call that an earlier run made is found by its key. For keys that no journal holds the answer
  comes at once, without a thread being asked.
- Once a write has failed, all that is put raises `JournalWriteError`, and `on_failure` was called:
  the run is to send no more calls.
- Leaving `open_journal` writes all that was put, closes the file, then lets go of the lock.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from distilabel import failpoints
from distilabel.errors import JournalError
from distilabel.journal.database import BLOB_BYTES_MAX
from distilabel.journal.directory import default_root
from distilabel.journal.figures import count_figures, count_rows_done
from distilabel.journal.opening import Opening, open_run
from distilabel.journal.records import CallRecord, encode_call, encode_row
from distilabel.journal.state import UNFINISHED, finished, timed
from distilabel.journal.writer import Writer, WriterStatistics
from distilabel.limits.spending import PICODOLLARS
from distilabel.types import Usage

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Callable, Mapping

    from distilabel.errors import JournalWriteError
    from distilabel.journal.database import Durability
    from distilabel.journal.description import RunDescription
    from distilabel.journal.opening import Opened
    from distilabel.journal.records import RowRecord
    from distilabel.journal.state import JournalState, RunIdentity
    from distilabel.timeline import Timeline
    from distilabel.types import Price, Resume, StageName

__all__ = ["Journal", "JournalStatistics", "open_journal"]

_CLOSE_S_MAX = 10.0
_log = logging.getLogger("distilabel")


@dataclass(frozen=True, slots=True)
class JournalStatistics:
    """A journal at one moment."""

    in_flight: int
    """Attempts sent whose reply is not on disk."""
    found: int
    """Calls that earlier runs had made and this one needed."""
    writer: WriterStatistics


class Journal:
    """An open journal. Made by `open_journal`."""

    def __init__(self, writer: Writer, opened: Opened) -> None:
        self._writer = writer
        self._opened = opened
        self._in_flight = opened.lock.in_flight
        self._found = 0

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self._opened.found.directory

    @property
    def found(self) -> JournalState:
        """What earlier runs left."""
        return self._opened.found

    @property
    def failure(self) -> JournalWriteError | None:
        """Why nothing is written any more; None: all is well."""
        return self._writer.failure

    def statistics(self) -> JournalStatistics:
        """The journal at this moment."""
        return JournalStatistics(len(self._in_flight), self._found, self._writer.statistics())

    def sent(self) -> None:
        """An attempt is about to be sent. Ends with `put_call` or with `returned`."""
        self._in_flight.sent()

    def returned(self) -> None:
        """An attempt brought no reply that will be put."""
        self._in_flight.failed()

    async def find(self, key: bytes) -> CallRecord | None:
        """The call with this key, if this run's journal held it at the start, or an ancestor does.

        One of an ancestor is written to this journal, too.

        Raises:
            JournalCorruptError: it is there, and damaged.
        """
        if not self._opened.may_hold(key):
            return None
        found = await self._writer.read(partial(_call, key))
        if found is None:
            return None
        record, is_own = found
        self._found += 1
        if not is_own:
            meta = replace(record.meta, cost=0.0)
            self._put(replace(record, meta=meta), is_sent=False)
        return record

    def note_spent(self, amount: int) -> None:
        """Note what the run may have spent, in picodollars, where a kill does not take it along."""
        self._in_flight.spent = amount

    async def spent(self, prices: Mapping[StageName, Price]) -> int:
        """What the calls cost that this run's journal holds, in picodollars, rounded up.

        Args:
            prices: of calls that were kept without a cost, by stage.

        Raises:
            JournalCorruptError: one is damaged.
        """
        figures = await self._writer.read(lambda opened: count_figures(opened.database))
        costs = [figures.cost]
        costs += [
            price.cost(figures.usage_without_cost.get(stage, Usage()))
            for stage, price in prices.items()
        ]
        return math.ceil(sum(costs) * PICODOLLARS)

    async def find_again(self, key: bytes) -> CallRecord | None:
        """The call with this key that was put since the journal was opened.

        Raises:
            JournalCorruptError: it is there, and damaged.
        """
        return await self._writer.read(lambda opened: opened.database.call(key))

    async def find_row(self, index: int) -> RowRecord | None:
        """The row that an earlier run finished at this place. It may be of another identity.

        Raises:
            JournalCorruptError: it is there, and damaged.
        """
        if not self.found.rows:
            return None
        return await self._writer.read(lambda opened: opened.database.row(index))

    async def count_rows_done(self) -> int:
        """Rows that are kept and have no failures, those put before this call included.

        Raises:
            JournalCorruptError: the file is damaged.
        """
        return await self._writer.read(lambda opened: count_rows_done(opened.database))

    async def read_rows(self, *, after: int = -1, limit: int = 256) -> list[RowRecord]:
        """Finished rows by place, those put before this call included; [] at the end.

        Raises:
            JournalCorruptError: one is damaged.
        """
        return await self._writer.read(
            lambda opened: opened.database.rows(after=after, limit=limit)
        )

    def put_call(self, record: CallRecord) -> None:
        """Keep a call. It is on disk once a row that is put after it is.

        Raises:
            JournalWriteError: an earlier write failed.
            JournalError: the record is too long.
        """
        self._put(record, is_sent=True)

    async def put_row(self, record: RowRecord) -> None:
        """Keep a row, in place of one that was there. Returns once it is on disk.

        Cancelled while it waits, it is written all the same.

        Raises:
            JournalWriteError: it could not be written.
            JournalError: it is too long, or holds a value that cannot be kept.
        """
        try:
            blob = encode_row(record)
        except (TypeError, ValueError, RecursionError) as error:
            raise JournalError(
                f"row {record.index} cannot be kept: {error}", path=self.directory
            ) from error
        self._check_length(blob, record.index)
        if failpoints.reached is not None:
            failpoints.reached("enqueue")
        await self._writer.put_row((record.index, record.identity, blob), size=len(blob))

    async def finish(self, total_rows: int | None = None) -> bool:
        """Note that all rows are done. Returns once that is on disk.

        A mark that is not on disk for sure may be there all the same, after a sync that failed. So
        it is for who has handed out every row, and goes on to do so whatever comes of the mark:
        then neither is wrong. Cancelled while it waits, it takes the mark back, since who waited
        will not see the rows.

        Args:
            total_rows: how many there are; None: as it was said when the journal was opened.

        Returns:
            Whether it is on disk. If not, the log says why.
        """
        try:
            await self._writer.put_meta(finished(total_rows))
        except JournalError as error:
            _log.warning(
                "all rows are done and kept in %s, but that the run is finished could not be noted "
                "(%s). Look at the disk. Run again, it will go on and find every row there, or "
                "count as finished.",
                self.directory,
                error.__cause__ or error,
            )
            return False
        except asyncio.CancelledError:
            self.reopen()
            raise
        return True

    def reopen(self) -> None:
        """Take back that all rows are done; returns at once, and is on disk when this is closed."""
        with suppress(JournalError):
            self._writer.put_meta(UNFINISHED).cancel()  # nobody waits for it

    def note_timeline(self, timeline: Timeline) -> None:
        """Note what happened when; returns at once, and is on disk when this is closed."""
        with suppress(JournalError):
            self._writer.put_meta(timed(timeline)).cancel()  # nobody waits for it

    def _put(self, record: CallRecord, *, is_sent: bool) -> None:
        blob = encode_call(record)
        self._check_length(blob, record.row_index)
        if failpoints.reached is not None:
            failpoints.reached("enqueue")
        columns = (record.key, record.row_index, record.stage, blob)
        self._writer.put_call(columns, size=len(blob), is_sent=is_sent)

    def _check_length(self, blob: bytes, row_index: int) -> None:
        if len(blob) > BLOB_BYTES_MAX:
            raise JournalError(
                f"a record of row {row_index} has {len(blob) >> 20} MB, which is more than the "
                f"{BLOB_BYTES_MAX >> 20} MB that are kept. Ask for shorter generations.",
                path=self.directory,
            )


@asynccontextmanager
async def open_journal(
    directory: str | os.PathLike[str] | None = None,
    *,
    identity: RunIdentity,
    resume: Resume = "auto",
    durability: Durability = "power",
    total_rows: int | None = None,
    description: RunDescription | None = None,
    root: str | os.PathLike[str] | None = None,
    on_failure: Callable[[JournalWriteError], None] = lambda error: None,  # noqa: ARG005
) -> AsyncGenerator[Journal]:
    """Open the journal of a run, and close it at the end of the block.

    Args:
        directory: the run directory. None: one under `root`, as `opening` says.
        identity: what makes two runs the same.
        resume: "auto", "always" or "never"; what of earlier runs is reused.
        durability: what a finished row survives: "power" cuts, or the death of the "process" only.
        total_rows: how many there are, if that is known.
        description: what is noted for those who look at the run later.
        root: where run directories are made. None: `DISTILABEL_RUNS`, else `./distilabel-runs`.
        on_failure: called once, in the event loop, when a write fails: stop sending calls.

    Raises:
        RunLockedError: the directory is in use.
        JournalCorruptError: the journal is damaged; it was moved aside.
        JournalError: the directory cannot be used.
    """
    opening = Opening(
        identity=identity,
        root=default_root() if root is None else Path(root),
        directory=None if directory is None else Path(directory),
        resume=resume,
        durability=durability,
        total_rows=total_rows,
        description=description,
    )
    writer = Writer(partial(open_run, opening), on_failure)
    try:
        yield Journal(writer, await writer.open())
    finally:
        with anyio.move_on_after(_CLOSE_S_MAX, shield=True) as closing:
            await writer.close()
        if closing.cancelled_caught:
            _log.error("the journal's last records are not on disk after %.0f s", _CLOSE_S_MAX)


def _call(key: bytes, opened: Opened) -> tuple[CallRecord, bool] | None:
    return opened.call(key)
