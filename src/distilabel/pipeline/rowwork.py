"""What is done to a row, by the plan: a draft, then a stage, then the other.

It knows nothing of when: `run` decides that for all rows, `forecast` for none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distilabel.dataset.schema import CALL_METADATA
from distilabel.events import StageFinished
from distilabel.journal import Occurrences, row_identity
from distilabel.llm.asking import CallContext
from distilabel.pipeline.recording import CallRecorder, keep_row
from distilabel.pipeline.sharing import SharedCalls
from distilabel.pipeline.stages import Draft, GeneratorStage, LabellerStage

if TYPE_CHECKING:
    from distilabel.events import Observer
    from distilabel.journal import Journal
    from distilabel.llm.base import LLM
    from distilabel.llm.flight import Flight
    from distilabel.llm.purse import Purse
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.types import InputRow, StageName

__all__ = ["RowWork"]


class RowWork:
    """The stages of a run, and what they share.

    Args:
        plan: what to do.
        settings: how.
        flight: the run's attempts.
        notify: who wants to know.
        journal: keeps what is paid for; None: nothing does.
        purse: pays; None: nobody counts.
    """

    def __init__(
        self,
        plan: Plan,
        settings: RunSettings,
        flight: Flight,
        notify: Observer,
        journal: Journal | None,
        purse: Purse | None = None,
    ) -> None:
        self._settings = settings
        self._purse = purse
        self._flight = flight
        self._notify = notify
        self._journal = journal
        self._recorders = {name: _recorder(journal, name, llm) for name, llm in plan.stages}
        self._occurrences = Occurrences()
        self._columns_read = plan.user_columns_read
        self._made = frozenset(plan.schema.names)
        self._generator = self._labeller = None
        if plan.generator is not None and plan.generator_columns is not None:
            self._generator = GeneratorStage(
                plan.generator, plan.generator_columns, settings.num_generations, self._context
            )
        if plan.labeller is not None and plan.labeller_columns is not None:
            self._labeller = LabellerStage(
                plan.labeller,
                plan.labeller_columns,
                settings.shuffle_before_labelling,
                settings.seed or 0,
                self._context,
            )

    def draft(self, index: int, row: InputRow) -> Draft:
        """A row at its start. Rows are to be drafted in the order of the input."""
        identity = row_identity({name: row.get(name) for name in self._columns_read})
        calls: list[dict[str, Any]] | None = [] if self._settings.include_metadata else None
        return Draft(index, dict(row), identity, self._occurrences.count(identity), calls=calls)

    def pass_over(self, row: InputRow) -> None:
        """A row that is not drafted: equal ones after it are counted all the same."""
        self._occurrences.count(row_identity({name: row.get(name) for name in self._columns_read}))

    async def generate(self, draft: Draft) -> None:
        """The generator's stage, if there is one.

        Raises:
            RunFatalError: no call of this backend can succeed.
            DispatchStoppedError: the run is stopping.
        """
        if self._generator is not None:
            await self._generator.run(draft)
            self._notify(StageFinished("generator", draft.index))

    async def label(self, draft: Draft) -> None:
        """The labeller's stage, if there is one. Raises what `generate` raises."""
        if self._labeller is not None:
            await self._labeller.run(draft)
            self._notify(StageFinished("labeller", draft.index))

    async def keep(self, draft: Draft) -> None:
        """Have the finished row on disk; returns once it is.

        Raises:
            JournalError: it cannot be.
        """
        if draft.calls is not None:
            draft.values[CALL_METADATA] = draft.calls
        if self._journal is not None:
            self._flight.hold_up()
            try:
                await keep_row(self._journal, draft, self._made)
            finally:
                self._flight.landed()

    def _context(self, stage: StageName, draft: Draft) -> CallContext:
        recorder = self._recorders[stage]
        kept_by = None if recorder is None else recorder.of_row(draft)
        return CallContext(stage, draft.index, self._notify, self._flight, kept_by, self._purse)


def _recorder(
    journal: Journal | None, stage: StageName, llm: LLM
) -> CallRecorder | SharedCalls | None:
    """What knows replies that need not be bought, if anything does."""
    if not llm.asks_once:
        return None if journal is None else CallRecorder(journal, stage, llm)
    return SharedCalls(CallRecorder(journal, stage, llm))
