"""Rows as they complete, handed out by `async with`.

Leaving the block, in whatever way, cancels what is in flight and waits for its end; an exception
raised inside comes out as it is, not wrapped in a group.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, TypeAlias

import anyio

from distilabel import failpoints
from distilabel.dataset.assembler import DatasetAssembler
from distilabel.dataset.kinds import check_storable
from distilabel.errors import StreamClosedError
from distilabel.pipeline.describing import stage_origins
from distilabel.pipeline.keeping import open_kept
from distilabel.pipeline.looking_ahead import near_rows
from distilabel.pipeline.money import check_ceiling, open_purse
from distilabel.pipeline.plan import make_plan, user_columns_read
from distilabel.pipeline.run import Run
from distilabel.pipeline.sampling import SampledRows
from distilabel.pipeline.source import (
    as_dataset,
    declared_features,
    is_list,
    open_source,
    plain_columns,
)
from distilabel.pipeline.stopping import stops_opening
from distilabel.pipeline.telling import equal_texts, mend_columns, say, with_failures
from distilabel.progress.bar import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from distilabel.dataset.custom import CustomDataset
    from distilabel.events import Observer
    from distilabel.journal import Journal
    from distilabel.llm.base import LLM
    from distilabel.llm.purse import Purse
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.run import RunStatistics
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowsLike, RowSource
    from distilabel.pipeline.stopping import StopSwitch
    from distilabel.types import Row, RunSummary

__all__ = ["RowChoice", "RowStream", "open_stream"]

RowChoice: TypeAlias = "Callable[[int | None], frozenset[int]]"
"""Chooses the places of rows, given how many there are; None: that is not known."""


class RowStream(AsyncIterator["Row"]):
    """Finished rows, one at a time. Several tasks may take from it."""

    def __init__(self, run: Run, source: RowsLike, directory: Path | None = None) -> None:
        self._run = run
        self._source = source
        self._directory = directory
        self._is_open = True
        self._final: RunSummary | None = None

    @property
    def run(self) -> RunSummary:
        """What the run has done so far; once left, what it did."""
        return self._final or self._run.summary

    @property
    def directory(self) -> Path | None:
        """Where the run is kept; None without checkpoints."""
        return self._directory

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
        assembler = self.assembler()
        for row in rows:
            assembler.add(row)
        return self.build(assembler)

    def assembler(self) -> DatasetAssembler:
        """What gathers rows of this stream for `build`, one at a time."""
        is_carried_over = as_dataset(self._source) is not None
        return DatasetAssembler(
            self.plan.schema,
            keeps_user_columns=not is_carried_over,
            user_features=None if is_carried_over else declared_features(self._source),
            mend=mend_columns(self._directory),
        )

    def build(self, assembler: DatasetAssembler) -> CustomDataset:
        """The data set of the rows that an assembler of this stream has gathered."""
        source = as_dataset(self._source)
        stages = stage_origins(self.plan)
        return assembler.build(source, task=self.plan.task, run=self.run, stages=stages)

    async def __anext__(self) -> Row:
        if not self._is_open:
            raise StreamClosedError("the stream was left; read it inside its `with` block")
        row = await self._run.take()
        if row is None:
            raise StopAsyncIteration
        if failpoints.reached is not None:
            failpoints.reached("before_yield")
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
    only_rows: RowChoice | None = None,
) -> AsyncGenerator[RowStream]:
    """Check everything, open the backends, start the run, and hand its rows out.

    Args:
        generator: writes, if there is one.
        labeller: rates, if there is one.
        rows: where rows come from.
        settings: how to run.
        observers: who wants to know what happens.
        switch: stops the run from outside.
        needs_all_columns: False: a data set is to be made. Of a `datasets.Dataset`, the columns
            that the tasks read are wanted in the rows, and those that the journal can keep; of
            rows in memory, all columns must fit a data set.
        only_rows: chooses rows to do; the others stay pending. None: all are done.

    Raises:
        ConfigurationError: the input cannot work; nothing was spent.
    """
    only = None if needs_all_columns else _columns_read(generator, labeller, rows, settings)
    opened = open_source(rows, batch_size=settings.batch_size, only_columns=only)
    async with AsyncExitStack() as held:
        source = await held.enter_async_context(aclosing(opened))
        with stops_opening(switch):
            columns = await source.columns()
            first_row = await source.peek()
        plan = make_plan(
            generator,
            labeller,
            columns=columns,
            first_row=first_row,
            include_metadata=settings.include_metadata,
        )
        check_ceiling(plan, settings, first_row)
        if not needs_all_columns and is_list(rows):
            check_storable(rows, without=plan.schema.names)
        if settings.verbose and (warning := equal_texts(generator, settings.num_generations)):
            say(warning)
        with stops_opening(switch):
            journal = await held.enter_async_context(open_kept(plan, settings, rows, source))
            for _, llm in plan.stages:
                await held.enter_async_context(llm.session())
        bar = ProgressBar() if settings.display_progress_bar else None
        watching = observers if bar is None else (*observers, bar.observe)
        kept_in = None if journal is None else journal.opened
        purse = await open_purse(plan, settings, kept_in, first_row)
        run = await _joined(plan, settings, source, watching, kept_in, purse, only_rows)
        if journal is not None:
            journal.on_failure = run.fail
        if switch is not None:
            switch.connect(run)
        stream = RowStream(run, rows, None if kept_in is None else kept_in.directory)
        try:
            async with bar or nullcontext(), _running(stream):
                yield stream
            if journal is not None and only_rows is None:
                journal.in_the_end = run.note_finished
        finally:
            _report(stream, settings)


async def _joined(
    plan: Plan,
    settings: RunSettings,
    source: RowSource,
    observers: tuple[Observer, ...],
    journal: Journal | None,
    purse: Purse | None,
    only_rows: RowChoice | None,
) -> Run:
    """The run over all rows of the source, in the order that suits it, or over some of them."""
    if only_rows is not None:
        chosen = SampledRows(source, only_rows(source.total))
        run = Run(plan, settings, chosen, observers, journal, purse)
        run.is_sample = True
        chosen.on_passed_over = run.pass_over
        return run
    near = await near_rows(plan, settings, source)
    if near is not None:
        return Run(plan, settings, near, (*observers, near.observe), journal, purse)
    return Run(plan, settings, source, observers, journal, purse)


def _columns_read(
    generator: LLM | None, labeller: LLM | None, rows: RowsLike, settings: RunSettings
) -> tuple[str, ...]:
    read = user_columns_read(generator, labeller)
    return (*read, *plain_columns(rows)) if settings.enable_checkpoints else read


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


def _report(stream: RowStream, settings: RunSettings) -> None:
    if settings.verbose and stream.run.rows_failed:
        say(with_failures(stream.run, stream.directory))
