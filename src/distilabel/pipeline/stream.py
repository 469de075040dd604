"""Rows as they complete, handed out by `async with`.

Leaving the block, in whatever way, cancels what is in flight and waits for its end; an exception
raised inside comes out as it is, not wrapped in a group.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from distilabel.dataset.assembler import DatasetAssembler
from distilabel.errors import StreamClosedError
from distilabel.journal import open_journal
from distilabel.pipeline.forecast import forecast
from distilabel.pipeline.plan import make_plan, user_columns_read
from distilabel.pipeline.recording import run_identity
from distilabel.pipeline.run import Run
from distilabel.pipeline.source import as_dataset, is_read_again, open_source, sampled
from distilabel.pipeline.telling import beginning, say, with_failures
from distilabel.progress.bar import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import datasets

    from distilabel.dataset.custom import CustomDataset
    from distilabel.events import Observer
    from distilabel.journal import Journal
    from distilabel.llm.base import LLM
    from distilabel.pipeline.forecast import Forecast
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.run import RunStatistics
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowsLike, RowSource
    from distilabel.pipeline.stopping import StopSwitch
    from distilabel.types import Row, RunSummary

__all__ = ["RowStream", "open_stream"]

_FORECAST_ROWS_MAX = 20_000
"""With more rows than that, what will be bought is not counted beforehand: it takes too long."""


class RowStream(AsyncIterator["Row"]):
    """Finished rows, one at a time. Several tasks may take from it."""

    def __init__(self, run: Run, source: datasets.Dataset | None = None) -> None:
        self._run = run
        self._source = source
        self._is_open = True
        self._final: RunSummary | None = None

    @property
    def run(self) -> RunSummary:
        """What the run has done so far; once left, what it did."""
        return self._final or self._run.summary

    @property
    def plan(self) -> Plan:
        """What the run does, and the columns that it adds."""
        return self._run.plan

    def statistics(self) -> RunStatistics:
        """Rows in hand and permits in use, at this moment."""
        return self._run.statistics()

    def to_dataset(self, rows: Iterable[Row]) -> CustomDataset:
        """The data set of rows that were taken from this stream, in the order of the input.

        For a program that wants each row as it completes and a data set in the end; call it after
        the block. It imports `datasets` and copies the rows: in an event loop with other work, in
        a thread.

        Raises:
            ValueError: a row is there twice.
        """
        assembler = DatasetAssembler(self.plan.schema, keeps_user_columns=self._source is None)
        for row in rows:
            assembler.add(row)
        return assembler.build(self._source, task=self.plan.task, run=self.run)

    async def __anext__(self) -> Row:
        if not self._is_open:
            raise StreamClosedError("the stream was left; read it inside its `with` block")
        row = await self._run.take()
        if row is None:
            raise StopAsyncIteration
        return row

    async def execute(self) -> None:
        """Run; called once, by what opened the stream."""
        await self._run.execute()

    def close(self) -> RunSummary:
        """Note that the run is over."""
        self._is_open = False
        self._final = self._run.finish()
        return self._final


@asynccontextmanager
async def open_stream(
    generator: LLM | None,
    labeller: LLM | None,
    rows: RowsLike,
    settings: RunSettings,
    observers: tuple[Observer, ...] = (),
    *,
    switch: StopSwitch | None = None,
    needs_all_columns: bool = True,
) -> AsyncGenerator[RowStream]:
    """Check everything, open the backends, start the run, and hand its rows out.

    Args:
        generator: writes, if there is one.
        labeller: rates, if there is one.
        rows: where rows come from.
        settings: how to run.
        observers: who wants to know what happens.
        switch: stops the run from outside.
        needs_all_columns: False: of a `datasets.Dataset`, only the columns that the tasks read are
            wanted in the rows.

    Raises:
        ConfigurationError: the input cannot work; nothing was spent.
    """
    only = None if needs_all_columns else user_columns_read(generator, labeller)
    source = open_source(rows, batch_size=settings.batch_size, only_columns=only)
    columns = await source.columns()
    plan = make_plan(
        generator,
        labeller,
        columns=columns,
        first_row=await source.peek(),
        include_metadata=settings.include_metadata,
    )
    async with AsyncExitStack() as held:
        journal = await held.enter_async_context(_journal(plan, settings, rows, source))
        for _, llm in plan.stages:
            await held.enter_async_context(llm.session())
        bar = ProgressBar() if settings.display_progress_bar else None
        watching = observers if bar is None else (*observers, bar.observe)
        run = Run(plan, settings, source, watching, None if journal is None else journal.opened)
        if journal is not None:
            journal.on_failure = run.fail
        if switch is not None:
            switch.connect(run)
        stream = RowStream(run, as_dataset(rows))
        try:
            async with bar or nullcontext(), _running(stream):
                yield stream
        finally:
            _report(stream.run, settings)


@asynccontextmanager
async def _running(stream: RowStream) -> AsyncGenerator[None]:
    left_with: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(stream.execute)
            try:
                yield
            except (asyncio.CancelledError, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001 - raised below, outside the group
                left_with = error
            finally:
                group.cancel_scope.cancel()
    finally:
        stream.close()
    if left_with is not None:
        raise left_with


@dataclass(slots=True)
class _Kept:
    """An open journal, and who is told if it breaks."""

    opened: Journal
    on_failure: Callable[[Exception], None]


@asynccontextmanager
async def _journal(
    plan: Plan, settings: RunSettings, rows: RowsLike, source: RowSource
) -> AsyncGenerator[_Kept | None]:
    """The run's journal, and a word about it; None without checkpoints."""
    if not settings.enable_checkpoints:
        yield None
        return
    first = await source.peek()
    sample = sampled(rows, first, plan.user_columns_read)
    broken: list[Exception] = []
    async with open_journal(
        settings.checkpoint_dir,
        identity=run_identity(plan, settings, rows=sample, total=source.total),
        resume=settings.resume,
        durability=settings.durability,
        total_rows=source.total,
        on_failure=lambda error: kept.on_failure(error),  # noqa: PLW0108 - set below
    ) as journal:
        kept = _Kept(journal, broken.append)
        if settings.verbose:
            say(beginning(journal.found, await _forecast(plan, settings, rows, journal)))
        yield kept


async def _forecast(
    plan: Plan, settings: RunSettings, rows: RowsLike, journal: Journal
) -> Forecast | None:
    found = journal.found
    has_something = bool(found.calls or found.ancestor_calls)
    if not (has_something and is_read_again(rows)):
        return None
    again = open_source(rows, batch_size=1, only_columns=plan.user_columns_read)
    if again.total is None or again.total > _FORECAST_ROWS_MAX:
        return None
    return await forecast(plan, settings, again, journal)


def _report(summary: RunSummary, settings: RunSettings) -> None:
    if settings.verbose and summary.rows_failed:
        say(with_failures(summary))
