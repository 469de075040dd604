"""How a run uses its journal: keys for its calls, an identity for itself, rows to be kept.

Rules:

- A call's key is made of what decides the reply: the backend's settings, the prompt as it is sent,
  how many texts, and, unless equal calls are made once (`sharing`), which of several equal rows it
  is for. Changing a judge's prompt so changes the labels' keys alone, and the generations are found
  again.
- Two runs are the same if their settings are and their inputs look the same: their number and the
  first and last hundred rows, or the first row alone of a source that is read as it goes. Nothing
  but the run's directory depends on it; what may be reused is for the keys to say.
- A run is finished once each row is done, no call was given up, and no row failed because of the
  user's own program. Started again, a run with failed calls so goes on, and asks for those alone;
  and where a parser was mended, what is kept is read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distilabel.errors import JournalError, JournalWriteError
from distilabel.journal import (
    CallMeta,
    CallRecord,
    RowRecord,
    RunIdentity,
    call_key,
    row_identity,
    settings_digest,
)
from distilabel.types import KeptReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.journal import Journal
    from distilabel.llm.base import LLM
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.stages import Draft
    from distilabel.types import Call, StageName

__all__ = ["CallRecorder", "RowRecorder", "keep_row", "run_identity"]


class CallRecorder:
    """Finds and keeps the calls of one stage.

    Args:
        journal: keeps them; None: nothing does, and nothing is found.
        stage: the stage.
        llm: what is called there.
    """

    def __init__(self, journal: Journal | None, stage: StageName, llm: LLM) -> None:
        self._journal = journal
        self._stage: StageName = stage
        self._price = llm.price
        self._backend = backend_digest(llm)
        found = None if journal is None else journal.found
        self.may_find = found is not None and bool(found.calls or found.ancestor_calls)
        """Whether earlier runs have left anything."""

    def of_row(self, draft: Draft) -> RowRecorder:
        """What one row asks."""
        return RowRecorder(self, draft)

    @property
    def has_journal(self) -> bool:
        """Whether calls are kept."""
        return self._journal is not None

    async def find(self, draft: Draft, call: Call, paid_try: int) -> KeptReply | None:
        """The reply that an earlier run kept for this call."""
        if not self.may_find:
            return None
        return await self.find_key(self._key(draft, call, paid_try))

    async def find_key(self, key: bytes) -> KeptReply | None:
        """The reply that an earlier run kept under this key."""
        if self._journal is None or not self.may_find:
            return None
        return _kept(await self._journal.find(key))

    async def find_own_key(self, key: bytes) -> KeptReply | None:
        """The reply that this run kept under this key."""
        return None if self._journal is None else _kept(await self._journal.find_again(key))

    def keep(self, draft: Draft, call: Call, paid_try: int, kept: KeptReply) -> None:
        """Hand a reply to the journal.

        Raises:
            JournalWriteError: the journal cannot be written any more.
        """
        self.keep_key(self._key(draft, call, paid_try), draft, paid_try, kept)

    def keep_key(self, key: bytes, draft: Draft, paid_try: int, kept: KeptReply) -> None:
        """As `keep`, under a key that is known."""
        if self._journal is not None:
            usage, price = kept.reply.usage, self._price
            cost = None if usage is None or price is None else price.cost(usage)
            meta = CallMeta(kept.attempts, paid_try, kept.seconds, cost)
            self._journal.put_call(CallRecord(key, draft.index, self._stage, kept.reply, meta))

    def shared_key(self, call: Call, paid_try: int) -> bytes:
        """The key of a call that is the same whichever row asks; a row's own calls differ."""
        return call_key(
            self._backend,
            call.prompt,
            num_generations=call.num_generations,
            first_generation=call.first_generation,
            paid_try=paid_try,
        )

    def _key(self, draft: Draft, call: Call, paid_try: int) -> bytes:
        return call_key(
            self._backend,
            call.prompt,
            num_generations=call.num_generations,
            first_generation=call.first_generation,
            paid_try=paid_try,
            occurrence=draft.occurrence,
        )


@dataclass(frozen=True, slots=True)
class RowRecorder:
    """`CallRecorder` for one row: what `llm.asking` asks."""

    calls: CallRecorder
    draft: Draft

    async def find(self, call: Call, paid_try: int) -> KeptReply | None:
        """The reply that an earlier run kept for this call."""
        return await self.calls.find(self.draft, call, paid_try)

    def keep(self, call: Call, paid_try: int, kept: KeptReply) -> None:
        """Hand a reply to the journal."""
        self.calls.keep(self.draft, call, paid_try, kept)

    def gave_up(self, call: Call, paid_try: int, error: BaseException) -> None:
        """Nothing is to be done: nobody else waits for it."""


def _kept(record: CallRecord | None) -> KeptReply | None:
    if record is None:
        return None
    return KeptReply(record.reply, record.meta.attempts, record.meta.seconds)


def backend_digest(llm: LLM) -> bytes:
    """What of a backend decides its replies. Never its key, its timeouts or its limits."""
    return settings_digest({"backend": type(llm).__qualname__, **llm.settings()})


async def keep_row(journal: Journal, draft: Draft, made: frozenset[str]) -> None:
    """Keep a finished row; returns once it is on disk.

    Args:
        journal: keeps it.
        draft: the row.
        made: the columns that the run has made. If the user's own hold what cannot be kept (an
            image, say), these are kept alone: the others are the user's, and still there.
    """
    errors = tuple(draft.errors)
    try:
        await journal.put_row(RowRecord(draft.index, draft.identity, draft.values, errors))
    except JournalWriteError:
        raise
    except JournalError:
        values = {name: value for name, value in draft.values.items() if name in made}
        await journal.put_row(RowRecord(draft.index, draft.identity, values, errors))


def run_identity(
    plan: Plan, settings: RunSettings, *, rows: list[Any], total: int | None
) -> RunIdentity:
    """What makes two runs the same.

    Args:
        plan: what is done.
        settings: how.
        rows: those that are looked at.
        total: how many there are, if that is known.
    """
    decides = {
        "stages": {name: _stage(llm) for name, llm in plan.stages},
        "num_generations": settings.num_generations,
        "shuffle_before_labelling": settings.shuffle_before_labelling,
        "seed": settings.seed,
    }
    read = plan.user_columns_read
    inputs = {"rows": [{name: row.get(name) for name in read} for row in rows], "total": total}
    label = " ".join(llm.model_name for _, llm in plan.stages)
    return RunIdentity(settings_digest(decides), row_identity(inputs), label)


def _stage(llm: LLM) -> Mapping[str, Any]:
    return {
        "backend": backend_digest(llm),
        "prompt_format": llm.prompt_format,
        "task": type(llm.task).__qualname__,
        "task_settings": llm.task.settings(),
    }
