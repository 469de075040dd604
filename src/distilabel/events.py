"""What happens in a run, as it happens. The pipeline emits; whoever wants to know folds.

An observer is any callable that takes an event. It runs inside the event loop: it must be quick and
must not raise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from distilabel.types import Price, RowError, RunSummary, StageName, Usage

__all__ = [
    "CallFailed",
    "CallRetried",
    "CallReused",
    "CallSent",
    "CallSucceeded",
    "Event",
    "LimitChanged",
    "Observer",
    "RowFinished",
    "RunFinished",
    "RunStarted",
    "StageFinished",
    "StageInfo",
]


@dataclass(frozen=True, slots=True)
class StageInfo:
    """One stage of a run."""

    name: StageName
    model: str
    max_concurrency: int
    price: Price | None = None
    """What its tokens cost; None: not known."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins; no call was made yet."""

    total_rows: int | None
    """None for a source that does not know its length."""
    stages: tuple[StageInfo, ...]


@dataclass(frozen=True, slots=True)
class CallSent:
    """An attempt is sent: it is in flight until the call succeeds, is retried or has failed."""

    stage: StageName
    row_index: int


@dataclass(frozen=True, slots=True)
class CallSucceeded:
    """A call brought a reply that can be used."""

    stage: StageName
    row_index: int
    model: str
    seconds: float
    """From the first attempt's start to the reply, waits included."""
    attempts: int
    usage: Usage | None
    attempt_s: float = 0.0
    """The last attempt alone, from sent to read."""


@dataclass(frozen=True, slots=True)
class CallReused:
    """A call needed not be made: its reply was kept by an earlier run, or is another call's."""

    stage: StageName
    row_index: int
    usage: Usage | None
    """What it took when it was made; None where another call has counted it."""
    is_shared: bool = False
    """The reply is that of an equal call of this run."""
    seconds: float = 0.0
    """What it took when it was made, waits included."""


@dataclass(frozen=True, slots=True)
class CallRetried:
    """An attempt failed and will be repeated."""

    stage: StageName
    row_index: int
    cause: str
    wait_s: float
    """How long until the next attempt."""
    is_throttle: bool
    is_paid: bool
    """True if the failed attempt brought a paid reply that was of no use."""
    usage: Usage | None = None
    """What that reply took, as far as it said."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call was given up."""

    stage: StageName
    row_index: int
    cause: str
    attempts: int
    usage: Usage | None = None
    """What its last reply took, if one came and was of no use."""


@dataclass(frozen=True, slots=True)
class LimitChanged:
    """A stage may have more or fewer attempts under way, by a tenth at least."""

    stage: StageName
    limit: int
    reason: str
    """Why: "growth", "throttled", "latency" (requests only waited for each other), "files" (none is
    left to open), or "start"."""


@dataclass(frozen=True, slots=True)
class StageFinished:
    """All calls of one row for one stage are over, well or not."""

    stage: StageName
    row_index: int


@dataclass(frozen=True, slots=True)
class RowFinished:
    """A row is complete; it is handed out next."""

    row_index: int
    errors: tuple[RowError, ...]
    is_resumed: bool = False
    """No call was made for it: earlier runs had kept them all."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over: all rows done, or stopped."""

    summary: RunSummary
    is_complete: bool
    """False if it was left early or stopped by an error."""


Event: TypeAlias = (
    RunStarted
    | CallSent
    | CallSucceeded
    | CallReused
    | CallRetried
    | CallFailed
    | LimitChanged
    | StageFinished
    | RowFinished
    | RunFinished
)
Observer: TypeAlias = Callable[[Event], None]
