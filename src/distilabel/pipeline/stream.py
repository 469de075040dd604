"""Rows as they complete, handed out by `async with`.

Leaving the block, in whatever way, cancels what is in flight and waits for its end; an exception
raised inside comes out as it is, not wrapped in a group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import anyio

from distilabel.dataset.assembler import DatasetAssembler
from distilabel.errors import StreamClosedError
from distilabel.pipeline.plan import make_plan, user_columns_read
from distilabel.pipeline.run import Run
from distilabel.pipeline.source import as_dataset, open_source
from distilabel.progress.bar import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Iterable

    import datasets

    from distilabel.dataset.custom import CustomDataset
    from distilabel.events import Observer
    from distilabel.llm.base import LLM
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.run import RunStatistics
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowsLike
    from distilabel.pipeline.stopping import StopSwitch
    from distilabel.types import Row, RunSummary

__all__ = ["RowStream", "open_stream"]

_log = logging.getLogger("distilabel")


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
    async with AsyncExitStack() as sessions:
        for _, llm in plan.stages:
            await sessions.enter_async_context(llm.session())
        bar = ProgressBar() if settings.display_progress_bar else None
        watching = observers if bar is None else (*observers, bar.observe)
        run = Run(plan, settings, source, watching)
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


def _report(summary: RunSummary, settings: RunSettings) -> None:
    if settings.verbose and summary.rows_failed:
        causes = ", ".join(f"{cause} {count}" for cause, count in summary.failed_by_cause.items())
        _log.warning(
            "%d of %d rows have failures (%s); `.errors` of a row says what happened",
            summary.rows_failed,
            summary.rows,
            causes,
        )
