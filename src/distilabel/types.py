"""Values that cross layers: what a prompt, a reply, a row and a run's summary are.

Nothing here decides anything, and nothing here imports a sibling but `timeline`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypedDict

from distilabel.timeline import Timeline

__all__ = [
    "Call",
    "InputRow",
    "KeptReply",
    "LLMOutput",
    "Message",
    "OnError",
    "Price",
    "PromptText",
    "Reply",
    "Resume",
    "Row",
    "RowError",
    "RunSummary",
    "StageName",
    "Usage",
]

InputRow: TypeAlias = Mapping[str, Any]
"""A row as the user gives it: column name to value."""

StageName: TypeAlias = Literal["generator", "labeller"]
OnError: TypeAlias = Literal["collect", "raise"]
Resume: TypeAlias = Literal["auto", "always", "never"]


class Message(TypedDict):
    """One message of a chat, as OpenAI's chat completions take it."""

    role: str
    content: str


PromptText: TypeAlias = str | list[Message]
"""A rendered prompt: a text that is sent as it is, or a chat."""


class LLMOutput(TypedDict):
    """One generation, as `LLM.agenerate` returns it.

    `raw_output` and `parsed_output` are None where the call failed.
    """

    model_name: str
    prompt_used: PromptText
    raw_output: str | None
    parsed_output: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the provider counted for one call, or for many added up."""

    prompt_tokens: int = 0
    """Tokens read, those of a cached prefix included."""
    completion_tokens: int = 0
    """Tokens written, over all generations of the call."""
    cached_tokens: int = 0
    """The part of `prompt_tokens` that came from the provider's prompt cache."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost, in US dollars per million of them.

    >>> Price(input=2.50, output=10.00, cached_input=1.25).cost(Usage(1_000, 500, 400))
    0.007
    """

    input: float
    output: float
    cached_input: float | None = None
    """Of the part of the input that came from the provider's cache; None: as the rest."""

    def cost(self, usage: Usage) -> float:
        """What these tokens cost, in US dollars."""
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        cached_price = self.input if self.cached_input is None else self.cached_input
        millionths = (usage.prompt_tokens - cached) * self.input
        millionths += cached * cached_price + usage.completion_tokens * self.output
        return millionths / 1e6


@dataclass(frozen=True, slots=True)
class Call:
    """What one attempt asks a backend for."""

    prompt: PromptText
    num_generations: int = 1
    """How many texts are wanted; never more than the backend's `generations_per_call`."""
    first_generation: int = 0
    """Which of the row's generations the first text will be: what a seed is shifted by, so that
    calls that are split or topped up do not bring the same text twice."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call brought back, before any task reads it."""

    texts: tuple[str, ...]
    """The generations, as the provider sent them. May be fewer than were asked for."""
    finish_reasons: tuple[str | None, ...] = ()
    """Why each text ended ("stop", "length", …), as far as the provider says."""
    usage: Usage | None = None
    """Tokens; None if the provider does not say."""
    model: str | None = None
    """The model that the provider says it served."""
    request_id: str | None = None
    """The provider's own name for the call, to quote in a complaint."""


@dataclass(frozen=True, slots=True)
class KeptReply:
    """A reply with what it took to get it; what is kept of a call."""

    reply: Reply
    attempts: int = 1
    """HTTP attempts, the last one included."""
    seconds: float = 0.0
    """From the first attempt's start to the reply, waits included."""
    attempt_s: float = 0.0
    """The last attempt alone, from sent to read."""
    is_shared: bool = False
    """It was bought in this run for an equal call, where what it took is counted."""


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a value of a row is None."""

    stage: StageName
    """Which stage failed."""
    cause: str
    """A short, stable word to count by: "timeout", "context_length", "rating_missing", …"""
    message: str
    """What happened, whose fault it is, and what to do next."""
    generation: int | None = None
    """The generation that it concerns; None: the whole row."""
    attempts: int = 0
    """HTTP attempts that were spent; 0: it was not a call that failed."""


class Row(dict[str, Any]):
    """A finished row: a dict of the result's columns that knows its place in the input.

    >>> row = Row({"input": "Hi", "generations": ["Hello!"]}, index=3)
    >>> row["generations"], row.index, row.errors
    (['Hello!'], 3, ())
    """

    __slots__ = ("errors", "index")

    index: int
    """Place in the input, from 0."""
    errors: tuple[RowError, ...]
    """Why values are None; empty where all went well."""

    def __init__(
        self, values: Mapping[str, Any], *, index: int, errors: tuple[RowError, ...] = ()
    ) -> None:
        super().__init__(values)
        self.index = index
        self.errors = errors


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did. The `.run` of a result; plain data, saved with the data set."""

    rows: int = 0
    """Rows finished, failed ones included."""
    rows_failed: int = 0
    """Rows with at least one entry in `.errors`."""
    rows_resumed: int = 0
    """Rows that needed no call, because an earlier run had made them all."""
    failed_by_cause: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows by cause of failure; a row with two causes counts under both."""
    calls: int = 0
    """Calls that were made and brought a reply which was used."""
    calls_reused: int = 0
    """Calls that needed not be made, because an earlier run had kept their replies."""
    calls_shared: int = 0
    """Calls that needed not be made, because this run had made an equal one that is deterministic;
    see `LLM.asks_once`."""
    retries: int = 0
    """Attempts that were repeated after a failure that costs nothing (throttled, reset, …)."""
    paid_retries: int = 0
    """Attempts that were repeated because a paid reply was of no use."""
    usage: Usage = field(default_factory=Usage)
    """Tokens of all calls, as far as the providers say."""
    cost: float | None = None
    """What the tokens come to, in US dollars; None if one stage's price is not known. Replies that
    were of no use are in it, replies that were reused are not."""
    cost_unsure: float = 0.0
    """At most so many US dollars come on top, if a price is known: for attempts that brought no
    reply and may be billed all the same, and replies whose tokens the provider did not count."""
    seconds: float = 0.0
    """Wall time from the first row read to the last row handed out."""
    timeline: Timeline = field(default_factory=Timeline)
    """What happened when, in a few hundred points at most; earlier sessions of the run included.
    Empty if nobody watched: what was made by hand, or before runs kept it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        plain = asdict(replace(self, timeline=Timeline()))
        return {**plain, "timeline": self.timeline.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunSummary:
        """The summary that `to_dict` wrote.

        >>> RunSummary.from_dict(RunSummary(rows=3).to_dict()) == RunSummary(rows=3)
        True
        """
        known: dict[str, Any] = {k: data[k] for k in cls.__dataclass_fields__ if k in data}
        known["usage"] = Usage(**known.get("usage", {}))
        known["timeline"] = Timeline.from_dict(known.get("timeline", {}))
        return cls(**known)
