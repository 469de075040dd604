"""What happens to one row in each stage: render, ask, read, fold.

Rules:

- A stage adds its columns to the draft whatever happens: where something failed it is None, and the
  draft's errors say why. Only a `RunFatalError` leaves a stage.
- The judge sees the texts that exist, in an order drawn from the run's seed and what the row
  holds, so that no text gains from being first and the same row, wherever it stands, is shown the
  same. Equal rows have an order each, unless the judge is asked equal things once. What the judge
  says is put back in the stored order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, get_origin

from distilabel.dataset.assembler import Generation, Label, fold_generations, fold_label
from distilabel.errors import CallError, ConfigurationError, InvalidReplyError, RunFatalError
from distilabel.limits import Breaker
from distilabel.llm.asking import CallContext, ask
from distilabel.llm.texts import Outcome, generate_texts, read_text
from distilabel.pipeline import provenance
from distilabel.types import Call, RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from distilabel.dataset.schema import StageColumns
    from distilabel.llm.asking import Answer
    from distilabel.llm.base import LLM
    from distilabel.tasks.base import Parsed, Problem
    from distilabel.types import PromptText, Reply, StageName

__all__ = ["ContextMaker", "Draft", "GeneratorStage", "LabellerStage"]


@dataclass(slots=True)
class Draft:
    """A row on its way."""

    index: int
    values: dict[str, Any]
    """The user's columns, then those that the stages have added."""
    identity: bytes
    """Digest of the columns that the tasks read."""
    occurrence: int = 0
    """How many earlier rows have the same identity."""
    errors: list[RowError] = field(default_factory=list[RowError])
    calls: list[dict[str, Any]] | None = None
    """Where its values come from (see `provenance`); None: nobody wants to know."""
    bought: int = 0
    """Calls that this run had to make, for it or for an equal row."""
    reused: int = 0
    """Calls that an earlier run had kept."""
    unusable: set[StageName] = field(default_factory=set["StageName"])
    """Stages whose task could not use what came back for this row."""

    def count(self, answer: Answer[Any]) -> None:
        """Note a call."""
        if answer.is_reused:
            self.reused += 1
        else:
            self.bought += 1

    def fail(
        self, stage: StageName, cause: str, message: str, generation: int | None = None
    ) -> None:
        """Note why something is None."""
        self.errors.append(RowError(stage, cause, message, generation))

    def fail_call(self, stage: StageName, error: CallError, generation: int | None = None) -> None:
        """Note a call that failed for good."""
        if error.is_of_text:
            self.unusable.add(stage)
        said = RowError(stage, error.cause, str(error), generation, error.attempts)
        self.errors.append(said)


ContextMaker: TypeAlias = "Callable[[StageName, Draft], CallContext]"
"""Says for whom a call is made, and who keeps it."""


@dataclass(frozen=True, slots=True)
class _Prompted:
    inputs: Mapping[str, Any]
    prompt: PromptText


def _render(
    columns: StageColumns, llm: LLM, draft: Draft, made: Mapping[str, Any]
) -> _Prompted | None:
    """The row's prompt; None, with the reason noted, if the row gives none."""
    stage = columns.stage
    taken = [name for name in columns.names if name in draft.values]
    if taken:  # the first row had none of them, or the run would not have begun
        draft.fail(
            stage,
            "reserved_column",
            f"the row brings a column {taken[0]!r}, which the run adds. Rename it; in the result "
            f"it is lost.",
        )
        return None
    known = {**draft.values, **made}
    missing = [name for name in llm.task.input_columns if name not in known]
    if missing:
        draft.fail(stage, "missing_column", f"the row has no column {missing[0]!r}")
        return None
    inputs = {name: known[name] for name in llm.task.input_columns}
    try:
        return _Prompted(inputs, llm.render(inputs))
    except Exception as error:  # noqa: BLE001 - a task of the user's may raise anything
        task = type(llm.task).__name__
        draft.fail(stage, "prompt_error", f"{task}.generate_prompt failed with {error!r}")
        return None


def _checked(parsed: Parsed, columns: StageColumns) -> tuple[Mapping[str, Any], str | None]:
    """The values, or, where one is not of its declared type, Nones and what is wrong."""
    try:
        columns.check(parsed.values)
    except ConfigurationError as error:
        return dict.fromkeys(columns.outputs), str(error)
    return parsed.values, None


@dataclass(frozen=True, slots=True)
class GeneratorStage:
    """Writes a row's generations."""

    llm: LLM
    columns: StageColumns
    num_generations: int
    context: ContextMaker
    breaker: Breaker = field(default_factory=Breaker)

    async def run(self, draft: Draft) -> None:
        """Add the generator's columns to the draft.

        Raises:
            RunFatalError: no call of this backend can succeed.
        """
        prompted = _render(self.columns, self.llm, draft, {})
        outcomes = [Outcome()] * self.num_generations
        if prompted is not None:
            context = self.context("generator", draft)
            outcomes = await generate_texts(
                self.llm, prompted.prompt, self.num_generations, prompted.inputs, context
            )
        if draft.calls is not None:
            draft.calls += provenance.of_generations(outcomes)
        for answer in {id(o.answer): o.answer for o in outcomes if o.answer is not None}.values():
            draft.count(answer)
        self._fold(draft, None if prompted is None else prompted.prompt, outcomes)
        _watch(self.breaker, "generator", draft)

    def _fold(self, draft: Draft, prompt: PromptText | None, outcomes: Sequence[Outcome]) -> None:
        model = self.llm.model_name
        generations = [
            Generation(model, prompt, outcome.text, self._values(draft, k, outcome))
            for k, outcome in enumerate(outcomes)
        ]
        draft.values.update(fold_generations(self.columns, generations))

    def _values(self, draft: Draft, k: int, outcome: Outcome) -> Mapping[str, Any] | None:
        if outcome.error is not None:
            draft.fail_call("generator", outcome.error, k)
        if outcome.parsed is None:
            return None
        values, wrong = _checked(outcome.parsed, self.columns)
        if wrong is not None:
            draft.fail("generator", "wrong_type", wrong, k)
        for problem in outcome.parsed.problems:
            draft.fail("generator", problem.cause, problem.message, k)
        return values


@dataclass(frozen=True, slots=True)
class LabellerStage:
    """Rates a row's generations."""

    llm: LLM
    columns: StageColumns
    shuffles: bool
    seed: int
    context: ContextMaker
    breaker: Breaker = field(default_factory=Breaker)

    async def run(self, draft: Draft) -> None:
        """Add the labeller's columns to the draft.

        Raises:
            RunFatalError: no call of this backend can succeed.
        """
        label = await self._label(draft)
        draft.values.update(fold_label(self.columns, label))
        _watch(self.breaker, "labeller", draft)

    async def _label(self, draft: Draft) -> Label:
        if "generations" not in self.llm.task.input_columns:
            return await self._ask(draft, _Shown((), 0), {})
        texts = draft.values.get("generations")
        if not isinstance(texts, list | tuple):
            draft.fail("labeller", "wrong_type", "`generations` must be a list of texts")
            return self._nothing(0)
        shown = self._choose(draft, texts)
        if shown.places:
            made = {"generations": [texts[place] for place in shown.places]}
            return await self._ask(draft, shown, made)
        if not draft.errors:
            draft.fail("labeller", "nothing_to_label", "the row has no generations to rate")
        return self._nothing(shown.total)

    def _choose(self, draft: Draft, texts: Sequence[str | None]) -> _Shown:
        places = [place for place, text in enumerate(texts) if text is not None]
        if self.shuffles and len(places) > 1:
            occurrence = 0 if self.llm.asks_once else draft.occurrence
            mark = f"{self.seed}:{draft.identity.hex()}:{occurrence}"
            random.Random(mark).shuffle(places)  # noqa: S311
        return _Shown(tuple(places), len(texts))

    async def _ask(self, draft: Draft, shown: _Shown, made: Mapping[str, Any]) -> Label:
        prompted = _render(self.columns, self.llm, draft, made)
        if prompted is None:
            return self._nothing(shown.total)

        formless: list[str] = []

        def read(reply: Reply) -> Parsed:
            if not reply.texts:
                raise InvalidReplyError("the reply holds no text", cause="no_choices")
            parsed = read_text(self.llm.task, reply.texts[0], prompted.inputs)
            if parsed.is_formless:
                formless[:] = reply.texts[:1]
                raise _formless(parsed)
            return parsed

        context = self.context("labeller", draft)
        try:
            answer = await ask(self.llm, Call(prompted.prompt), read, context)
        except RunFatalError:
            raise
        except CallError as error:
            draft.fail_call("labeller", error)
            if draft.calls is not None:
                draft.calls.append(provenance.of_failure("labeller", list(shown.places), error))
            raw = formless[0] if formless else None
            return self._nothing(shown.total, self.llm.model_name, prompted.prompt, raw)
        draft.count(answer)
        if draft.calls is not None:
            draft.calls.append(provenance.of_reply("labeller", list(shown.places), answer))
        self._note_problems(draft, shown, answer.value.problems)
        return Label(
            self.llm.model_name,
            prompted.prompt,
            answer.reply.texts[0],
            self._put_back(draft, shown, answer.value),
        )

    def _nothing(
        self,
        total: int,
        model: str | None = None,
        prompt: PromptText | None = None,
        raw: str | None = None,
    ) -> Label:
        values = {
            name: [None] * total if get_origin(kind) is list else None
            for name, kind in self.columns.outputs.items()
        }
        return Label(model, prompt, raw, values)

    def _put_back(self, draft: Draft, shown: _Shown, parsed: Parsed) -> Mapping[str, Any]:
        """The task's outputs in the stored order, None for the texts that were not shown."""
        values, wrong = _checked(parsed, self.columns)
        if wrong is not None:
            draft.fail("labeller", "wrong_type", wrong)
        return {
            name: self._column(draft, shown, name, values.get(name))
            for name in self.columns.outputs
        }

    def _column(self, draft: Draft, shown: _Shown, name: str, value: Any) -> Any:
        if get_origin(self.columns.outputs[name]) is not list or not shown.total:
            return value
        if value is not None and len(value) != len(shown.places):
            draft.fail(
                "labeller",
                "wrong_length",
                f"{name!r} has {len(value)} entries for {len(shown.places)} texts",
            )
            value = None
        column: list[Any] = [None] * shown.total
        for place, entry in zip(shown.places, value or (), strict=False):
            column[place] = entry
        return column

    def _note_problems(self, draft: Draft, shown: _Shown, problems: Iterable[Problem]) -> None:
        for problem in problems:
            known = problem.text is not None and problem.text < len(shown.places)
            place = shown.places[problem.text] if known and problem.text is not None else None
            draft.fail("labeller", problem.cause, problem.message, place)


@dataclass(frozen=True, slots=True)
class _Shown:
    """Which of a row's texts the judge sees, in which order."""

    places: tuple[int, ...]
    total: int


def _watch(breaker: Breaker, stage: StageName, draft: Draft) -> None:
    """Count the row, and stop the run if too many rows fail here.

    Raises:
        RunFatalError: going on would only spend the rows that are left.
    """
    failed = next((e for e in draft.errors if e.stage == stage and _is_fatal(e)), None)
    is_of_text = stage in draft.unusable
    if failed is None:
        if not is_of_text:  # else its replies were kept: nothing is spent on them, or learned
            breaker.succeeded(draft.index)
    elif breaker.failed(failed.cause, draft.index, is_of_text=is_of_text):
        others = " Gone on with, the run tries other rows." if is_of_text else ""
        raise RunFatalError(
            f"too many rows fail in the {stage}, so the run stops before it spends the others. "
            f"The last one: {failed.message.rstrip('.')}.{others}",
            cause="too_many_failures",
        )


def _is_fatal(error: RowError) -> bool:
    """Whether it made the whole stage fail; a value that a reply lacks does not."""
    return error.attempts > 0 or error.cause == "prompt_error"


def _formless(parsed: Parsed) -> InvalidReplyError:
    cause = parsed.problems[0].cause if parsed.problems else "invalid_reply"
    return InvalidReplyError(
        "the judge's reply holds nothing of the form that it was asked for; its text is kept. If "
        "it was cut off, raise max_new_tokens; if it is so for many rows, use another model",
        cause=cause,
    )
