"""The run: the one file that joins every part.

Rules:

- A row is pulled only when the first stage has a permit to spare and the window has room. The
  window holds twice as many rows as there are permits in all stages: enough that neither stage
  waits for the other, and no more than that in memory.
- There is no barrier: a row goes to the labeller the moment its own generations are in.
- Before its last stage a row takes an output slot, which is given back when the consumer takes the
  row. There are twice as many as that stage has permits. So a slow consumer stops the last stage,
  then the window fills, then no row is pulled.
- In input order the window itself bounds what is made and not taken, and there are no further
  slots: a row that others wait for can always be finished.
- Every task lives in the run's task group. Tasks raise nothing: what stops the run is kept, the
  rest is cancelled, and the consumer is told once it has taken what was finished.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from distilabel.dataset.schema import CALL_METADATA
from distilabel.errors import DispatchStoppedError, RowFailedError, RunStoppedError
from distilabel.events import RowFinished, RunFinished, RunStarted, StageFinished, StageInfo
from distilabel.limits import PermitPool
from distilabel.llm.flight import Flight
from distilabel.pipeline.output import Output
from distilabel.pipeline.stages import Draft, GeneratorStage, LabellerStage
from distilabel.pipeline.tally import Tally
from distilabel.types import Row

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from distilabel.events import Event, Observer
    from distilabel.limits import PermitStatistics
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowSource
    from distilabel.types import InputRow, RunSummary

__all__ = ["DRAIN_MAX_S", "Run", "RunStatistics"]

DRAIN_MAX_S = 30.0
"""How long calls in flight may take to land after a stop."""

_log = logging.getLogger("distilabel")

_SLACK = 2
"""Rows for each permit: with one, a stage idles whenever the other is ahead (3 % of the time in
`benchmarks/efficiency.py`); with two, nothing was left to gain."""


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """A run at one moment."""

    rows_in_hand: int
    """Pulled from the source and not taken by the consumer."""
    rows_ready: int
    """Finished and waiting for the consumer."""
    rows_in_hand_max: int
    stages: tuple[PermitStatistics, ...]
    """The permits of each stage."""


class Run:
    """One run from source to consumer.

    Args:
        plan: what to do.
        settings: how.
        source: where rows come from.
        observers: who wants to know.
    """

    def __init__(
        self,
        plan: Plan,
        settings: RunSettings,
        source: RowSource,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self.plan = plan
        self.source = source
        self._settings = settings
        self._tally = Tally()
        self._flight = Flight()
        self._observers = (self._tally.apply, *observers)
        self._generate, self._label = self._make_stages()
        self._output = Output(is_ordered=settings.ordered)
        pools = [llm.permits for _, llm in plan.stages]
        self._first = pools[0]
        self._window = PermitPool(_SLACK * sum(pool.limit for pool in pools))
        needs_slots = len(pools) > 1 and not settings.ordered
        self._slots = PermitPool(_SLACK * pools[-1].limit) if needs_slots else None
        self._failure: Exception | None = None
        self._is_complete = False
        self._rows: TaskGroup | None = None
        self._pending = 0
        self._is_source_at_end = False
        self._stop_requested = anyio.Event()
        self._now = asyncio.get_running_loop().time  # asked from a sync consumer's thread, too
        self._started = self._now()

    def _make_stages(self) -> tuple[GeneratorStage | None, LabellerStage | None]:
        plan, settings = self.plan, self._settings
        generate = label = None
        if plan.generator is not None and plan.generator_columns is not None:
            generate = GeneratorStage(
                plan.generator,
                plan.generator_columns,
                settings.num_generations,
                self._notify,
                self._flight,
            )
        if plan.labeller is not None and plan.labeller_columns is not None:
            label = LabellerStage(
                plan.labeller,
                plan.labeller_columns,
                settings.shuffle_before_labelling,
                settings.seed or 0,
                self._notify,
                self._flight,
            )
        return generate, label

    @property
    def summary(self) -> RunSummary:
        """What has happened so far."""
        return self._tally.summary(seconds=self._now() - self._started)

    def statistics(self) -> RunStatistics:
        """The run at this moment."""
        window = self._window.statistics()
        return RunStatistics(
            window.in_use,
            len(self._output),
            window.limit,
            tuple(llm.permits.statistics() for _, llm in self.plan.stages),
        )

    async def take(self) -> Row | None:
        """The next finished row; None after the last.

        Raises:
            DistilabelError: what stopped the run.
        """
        row = await self._output.take()
        if row is not None:
            self._window.release()
            if self._slots is not None:
                self._slots.release()
        return row

    async def execute(self) -> None:
        """Pull and process rows until the source ends or something stops the run."""
        stages = tuple(
            StageInfo(name, llm.model_name, llm.max_concurrency) for name, llm in self.plan.stages
        )
        self._notify(RunStarted(self.source.total, stages))
        try:
            async with anyio.create_task_group() as brake:
                brake.start_soon(self._brake)
                async with anyio.create_task_group() as self._rows:
                    await self._pump(self._rows)
                brake.cancel_scope.cancel()
            if self._failure is None and not self._is_all_done:
                self._failure = self._stopped_error()
            self._is_complete = self._failure is None
        finally:
            self._output.close(self._failure)

    def stop_gently(self) -> None:
        """Send nothing more; let what is in flight land, for at most `DRAIN_MAX_S`."""
        self._tell_stopping()
        self._flight.stop()
        self._stop_requested.set()

    def stop_now(self) -> None:
        """Drop what is in flight."""
        self._stop(self._stopped_error())

    async def _brake(self) -> None:
        await self._stop_requested.wait()
        with anyio.move_on_after(DRAIN_MAX_S):
            await self._flight.wait_idle()
        self.stop_now()

    def finish(self) -> RunSummary:
        """Say that the run is over; nothing of it is running any more."""
        summary = self.summary
        self._notify(RunFinished(summary, self._is_complete))
        return summary

    async def _pump(self, rows: TaskGroup) -> None:
        while True:
            await self._window.acquire()
            await self._first.wait_available()
            if self._flight.is_stopped:
                return
            try:
                item = await self.source.take()
            except Exception as error:  # noqa: BLE001 - a user's source may raise anything
                self._stop(error)
                return
            if item is None:
                self._window.release()
                self._is_source_at_end = True
                return
            self._pending += 1
            rows.start_soon(self._process, *item)
            await checkpoint()  # the row takes its permits now, so that the next look counts them

    async def _process(self, index: int, row: InputRow) -> None:
        draft = Draft(index, dict(row))
        try:
            if self._generate is not None:
                await self._generate.run(draft)
                self._notify(StageFinished("generator", index))
            if self._label is not None:
                if self._slots is not None:
                    await self._slots.acquire()
                await self._label.run(draft)
                self._notify(StageFinished("labeller", index))
            self._hand_over(draft)
        except DispatchStoppedError:
            return  # the row stays pending
        except Exception as error:  # noqa: BLE001 - raised where the rows are taken
            self._stop(error)

    def _hand_over(self, draft: Draft) -> None:
        errors = tuple(draft.errors)
        if self._settings.include_metadata:
            draft.values[CALL_METADATA] = draft.calls
        is_resumed = draft.reused > 0 and not draft.bought
        self._notify(RowFinished(draft.index, errors, is_resumed))
        if errors and self._settings.on_error == "raise":
            raise RowFailedError(draft.index, errors)
        self._pending -= 1
        self._output.put(Row(draft.values, index=draft.index, errors=errors))

    def _stop(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._flight.stop()
        if self._rows is not None:
            self._rows.cancel_scope.cancel()

    @property
    def _is_all_done(self) -> bool:
        return self._is_source_at_end and self._pending == 0

    def _stopped_error(self) -> RunStoppedError:
        summary, total = self.summary, self.source.total
        rows = f"{summary.rows:,}" + ("" if total is None else f" of {total:,}")
        tokens = summary.usage.prompt_tokens + summary.usage.completion_tokens
        return RunStoppedError(
            f"The run was stopped: {rows} rows are done, with {summary.calls:,} calls and "
            f"{tokens:,} tokens.",
            summary=summary,
        )

    def _tell_stopping(self) -> None:
        if self._settings.verbose:
            _log.warning(
                "stopping: nothing more is sent; waiting up to %.0f s for %d calls in flight. "
                "Once more, and they are dropped; a third time, and the process exits at once",
                DRAIN_MAX_S,
                self._flight.under_way,
            )

    def _notify(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)
