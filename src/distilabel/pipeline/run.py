"""The run: the one file that joins every part.

Rules:

- A row is pulled only when the first stage has a permit to spare and there is a place for it; see
  `places`.
- Workers take turns: one waits for the next row, pulls it, hands the turn on and works on its row;
  those that have finished theirs wait for the turn. So a row costs no task of its own, and a
  worker is added only when none is waiting.
- There is no barrier: a row goes to the labeller the moment its own generations are in.
- A row is on disk before it is handed out. The run is noted as finished once all are handed out.
- Every task lives in the run's task group. Tasks raise nothing: what stops the run is kept, the
  rest is cancelled, and the consumer is told once it has taken what was finished.
- A call that the ceiling does not pay is not sent, and its row stays pending. Then no row is pulled
  any more, and those in hand are finished as far as the money goes.
- Stopped gently, the run sends nothing more and waits for what is in flight. Rows that then still
  lack a call stay pending, like those that were never pulled.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from distilabel import failpoints
from distilabel.errors import (
    BudgetExceededError,
    DispatchStoppedError,
    RowFailedError,
    RunStoppedError,
)
from distilabel.events import LimitChanged, RowFinished, RunFinished, RunStarted, StageInfo
from distilabel.limits import Company, PermitPool
from distilabel.limits.spending import dollars
from distilabel.llm.flight import Flight
from distilabel.llm.stalls import stalls_of_this_loop
from distilabel.pipeline.keeping import rows_done
from distilabel.pipeline.money import budget_exceeded
from distilabel.pipeline.output import Output
from distilabel.pipeline.places import Places
from distilabel.pipeline.rowwork import RowWork
from distilabel.pipeline.tally import Tally
from distilabel.pipeline.telling import say, stopped, where_it_is_kept
from distilabel.pipeline.timekeeping import Timekeeper
from distilabel.types import Row

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from distilabel.events import Event, Observer
    from distilabel.journal import Journal
    from distilabel.limits import PermitStatistics
    from distilabel.llm.base import LLM
    from distilabel.llm.purse import Purse
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import Rows
    from distilabel.pipeline.stages import Draft
    from distilabel.types import InputRow, RunSummary, StageName

__all__ = ["DRAIN_MAX_S", "LANDING_MAX_S", "Run", "RunStatistics"]

DRAIN_MAX_S = 30.0
"""How long calls in flight may take to land after a stop."""
LANDING_MAX_S = 0.5
"""How long they may take after an error that stops the run."""


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
        journal: keeps what is paid for; None: nothing does.
        purse: pays; None: nobody counts.
    """

    def __init__(
        self,
        plan: Plan,
        settings: RunSettings,
        source: Rows,
        observers: tuple[Observer, ...] = (),
        journal: Journal | None = None,
        purse: Purse | None = None,
    ) -> None:
        self.plan = plan
        self._purse = purse
        self.source = source
        self._settings = settings
        self._journal = journal
        self._tally = Tally()
        self._observers = (self._tally.apply, *observers)
        self._flight = Flight(journal)
        self._work = RowWork(plan, settings, self._flight, self._notify, journal, purse)
        self._output = Output(is_ordered=settings.ordered)

        backends = [llm for _, llm in plan.stages]
        self._first = backends[0].permits
        self._places = Places(backends, is_ordered=settings.ordered)

        self._workers: TaskGroup | None = None
        self._turn = PermitPool(1)
        self._pending = 0
        self._is_source_at_end = False
        self._braked = anyio.Event()
        self._landing = anyio.CancelScope()
        self._failure: Exception | None = None
        self._is_complete = False
        self.is_sample = False
        """There are more rows than the source has, and the journal may hold some of them."""
        self._limits_told: dict[StageName, int] = {}
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time  # asked from a sync consumer's thread, too
        self._started = self._now()
        self._timekeeper = Timekeeper(self._tally, plan.stages, journal, self._now)
        self._flight.company = self._company
        self._flight.set_aside = self._places.set_aside

    def _follow_limits(self) -> None:
        """A stage has other permits than before. Called in any thread."""
        self._places.follow()
        if any(self._is_news(*stage) for stage in self.plan.stages):
            self._loop.call_soon_threadsafe(self._tell_limits)

    def _is_news(self, name: StageName, llm: LLM) -> bool:
        told = self._limits_told.get(name, 0)
        return 10 * abs(llm.permits.limit - told) >= max(told, 10)

    def _tell_limits(self) -> None:
        for name, llm in self.plan.stages:
            if self._is_news(name, llm):
                limit = self._limits_told[name] = llm.permits.limit
                self._notify(LimitChanged(name, limit, llm.gate.limits().adaptive.reason))

    @property
    def summary(self) -> RunSummary:
        """What has happened so far."""
        unsure = None
        if self._purse is not None and not self._purse.is_unbounded:
            unsure = dollars(self._purse.spending.statistics().unsure)
        return self._tally.summary(
            seconds=self._now() - self._started,
            cost_unsure=unsure,
            timeline=self._timekeeper.timeline(),
        )

    def pass_over(self, row: InputRow) -> None:
        """A row of the source that is not to be done in this run."""
        self._work.pass_over(row)

    def statistics(self) -> RunStatistics:
        """The run at this moment."""
        window = self._places.window.statistics()
        return RunStatistics(
            window.in_use,
            len(self._output),
            window.limit,
            tuple(llm.permits.statistics() for _, llm in self.plan.stages),
        )

    # What the consumer does.

    async def take(self) -> Row | None:
        """The next finished row; None after the last.

        Raises:
            DistilabelError: what stopped the run.
        """
        row = await self._output.take()
        if row is not None:
            self._places.give_back()
        return row

    def hold(self) -> None:
        """Send nothing more. May be called in a signal handler; `stop_gently` is to follow."""
        self._flight.is_stopped = True

    def stop_gently(self) -> None:
        """Send nothing more; let what is in flight land, for at most `DRAIN_MAX_S`."""
        if self._settings.verbose:
            say(
                f"stopping: nothing more is sent; waiting for {self._flight.under_way} calls in "
                f"flight, up to {DRAIN_MAX_S:.0f} s. Once more drops them; a third time exits now"
            )
        self._brake(DRAIN_MAX_S)

    def stop_now(self) -> None:
        """Drop what is in flight."""
        self._brake(0.0)

    def fail(self, error: Exception) -> None:
        """Stop the run for this reason; what is about to land may, for `LANDING_MAX_S`."""
        if self._failure is None:
            self._failure = error
        self._brake(LANDING_MAX_S)

    def _brake(self, drain_s: float) -> None:
        self._landing.deadline = min(self._landing.deadline, self._now() + drain_s)
        self._flight.stop()
        self._braked.set()

    # What runs.

    async def execute(self) -> None:
        """Pull and process rows until the source ends or something stops the run."""
        stages = tuple(
            StageInfo(name, llm.model_name, llm.max_concurrency, llm.price)
            for name, llm in self.plan.stages
        )
        self._notify(RunStarted(self.source.total, stages))
        with ExitStack() as following:
            for _, llm in self.plan.stages:
                following.enter_context(llm.permits.followed_by(self._follow_limits))
            following.enter_context(stalls_of_this_loop().followed_by(self._timekeeper.tick))
            following.callback(self._timekeeper.end)
            await self._execute()

    async def _execute(self) -> None:
        try:
            async with anyio.create_task_group() as braking:
                braking.start_soon(self._end_when_landed)
                async with anyio.create_task_group() as self._workers:
                    self._workers.start_soon(self._work_on_rows, self._workers)
                braking.cancel_scope.cancel()
            await self._conclude()
        finally:
            self._output.close(self._failure)

    async def note_finished(self) -> None:
        """Note that the run need not be gone on with. Called when the consumer has left in order.

        Not before: a process that dies with rows which it has not handed over would otherwise buy
        them all again, since a run that is finished is not continued. For the same reason it is the
        last thing that is done, and raises nothing: who gets an error has an unfinished run.
        """
        is_over = self._is_complete and not self._flight.is_stopped and not len(self._output)
        if self._journal is None or not is_over or self._tally.leaves_work:
            return
        if failpoints.reached is not None:
            failpoints.reached("before_finish")
        await self._journal.finish(self._tally.rows)
        if self._flight.is_stopped:  # meanwhile: the script will end without its rows
            self._journal.reopen()

    def finish(self) -> RunSummary:
        """Say that the run is over; nothing of it is running any more."""
        summary = self.summary
        self._notify(RunFinished(summary, self._is_complete))
        return summary

    def _company(self) -> Company:
        window = self._places.window.statistics()
        has_room = window.in_use < window.limit and not self._is_source_at_end
        return Company(self._pending, has_room, self._is_source_at_end, self._places.in_all)

    async def _work_on_rows(self, workers: TaskGroup) -> None:
        while (draft := await self._pull(workers)) is not None:
            await self._process(draft)

    async def _pull(self, workers: TaskGroup) -> Draft | None:
        """The next row, when its turn has come; None if there is to be none."""
        async with self._turn:
            if self._is_source_at_end:
                return None
            await self._places.window.acquire()
            await self._first.wait_available()
            if self._flight.is_stopped or self._is_out_of_money:
                self._places.window.release()
                return None
            try:
                item = await self.source.take()
            except Exception as error:  # noqa: BLE001 - a user's source may raise anything
                self.fail(error)
                return None
            if item is None:
                self._places.window.release()
                self._is_source_at_end = True
                return None
            self._pending += 1
            if not self._turn.has_waiters:
                workers.start_soon(self._work_on_rows, workers)
            return self._work.draft(*item)

    async def _process(self, draft: Draft) -> None:
        try:
            await self._work.generate(draft)
            if self._places.slots is not None:
                await self._places.slots.acquire()
            await self._label(draft)
            if self._ends_run(draft):
                self._flight.stop()  # before the wait for the disk: nothing more is sent
            await self._work.keep(draft)
            self._hand_over(draft)
        except DispatchStoppedError:
            self._places.window.release()  # the row stays pending
        except Exception as error:  # noqa: BLE001 - raised where the rows are taken
            self.fail(error)
        finally:
            if self._purse is not None:
                self._purse.row_over(draft.index)

    async def _label(self, draft: Draft) -> None:
        try:
            await self._work.label(draft)
        except DispatchStoppedError:
            if self._places.slots is not None:
                self._places.slots.release()
            raise

    @property
    def _is_out_of_money(self) -> bool:
        return self._purse is not None and self._purse.is_exhausted

    def _ends_run(self, draft: Draft) -> bool:
        return bool(draft.errors) and self._settings.on_error == "raise"

    def _hand_over(self, draft: Draft) -> None:
        if failpoints.reached is not None:
            failpoints.reached("hand_over")
        errors = tuple(draft.errors)
        is_resumed = draft.reused > 0 and not draft.bought
        self._notify(RowFinished(draft.index, errors, is_resumed))
        self._pending -= 1
        self._places.done(draft.index)
        if self._ends_run(draft):
            self.fail(RowFailedError(draft.index, errors))
            return
        self._output.put(Row(draft.values, index=draft.index, errors=errors))

    async def _end_when_landed(self) -> None:
        await self._braked.wait()
        with self._landing:
            await self._flight.wait_idle()
        if self._workers is not None:
            self._workers.cancel_scope.cancel()

    async def _conclude(self) -> None:
        is_all_done = self._is_source_at_end and self._pending == 0
        if self._failure is None and not is_all_done:
            self._failure = await self._why_rows_are_left()
        self._is_complete = self._failure is None
        is_told = isinstance(self._failure, RunStoppedError | BudgetExceededError)
        if self._failure is not None and self._journal is not None and not is_told:
            self._failure.add_note(where_it_is_kept(self._journal.directory))

    async def _why_rows_are_left(self) -> RunStoppedError | BudgetExceededError:
        """No call failed: the run was told to stop, or its money does not pay for them."""
        summary, total = self.summary, self.source.total
        directory = None if self._journal is None else self._journal.directory
        if self._purse is None or not self._is_out_of_money or self._flight.is_stopped:
            return RunStoppedError(stopped(summary, total, directory), summary=summary)
        kept = None if self.is_sample else self._journal
        done = await rows_done(kept, summary, total)
        return budget_exceeded(
            self._purse, summary, rows_done=done, total=total, directory=directory
        )

    def _notify(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)
