"""What the events of a run add up to, stage by stage. Pure: time is an argument.

Rules:

- A `Progress` is a value. `apply` makes the next one out of an event, so that one thread can fold
  while another reads, without a lock.
- A stage begins when the first row can reach it: the first one with the run, another when the stage
  before it has finished a row.
- Rates are over the last 30 seconds, or since the stage began if that is less; once the stage is
  over, over all the time since the run began. In a stage's first second there is none to tell.
- Counts are kept at most once a second, and no longer than the window is: an event costs the same
  however long the run is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from distilabel.events import (
    CallFailed,
    CallRetried,
    CallSent,
    CallSucceeded,
    LimitChanged,
    RowFinished,
    RunFinished,
    StageFinished,
)

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from distilabel.events import Event, RunStarted
    from distilabel.types import Price, StageName, Usage

__all__ = [
    "Count",
    "Progress",
    "StageFigures",
    "StageProgress",
    "StageState",
    "apply",
    "begin",
    "figures",
]

StageState: TypeAlias = Literal["running", "done", "stopped"]

_WINDOW_S: Final = 30.0
_COUNT_EVERY_S: Final = 1.0
_RATE_AFTER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Count:
    """How much a stage had done at one moment."""

    at_s: float
    rows: int
    tokens: int


@dataclass(frozen=True, slots=True)
class StageProgress:
    """One stage, as far as it has come."""

    name: StageName
    model: str
    rows: int = 0
    """Rows through with this stage, failed ones included."""
    rows_failed: int = 0
    """Rows handed out with an error of this stage."""
    tokens: int = 0
    """Read and written, as far as the provider says."""
    retries: int = 0
    """Attempts repeated for another reason than a throttle."""
    throttles: int = 0
    """Attempts repeated because the server said: too much."""
    last_row_s: float = 0.0
    """When the last row was through."""
    cached_tokens: int = 0
    """The part of `tokens` that came from the provider's prompt cache."""
    price: Price | None = None
    """What its tokens cost; None: not known."""
    cost: float = 0.0
    """In US dollars, replies that were of no use included, if the price is known."""
    in_flight: int = 0
    """Attempts under way."""
    limit: int = 0
    """How many may be."""
    counts: tuple[Count, ...] = ()
    """Oldest first; the first is from when the stage began, or from the window's start. Empty: the
    stage has not begun."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A run, as far as it has come."""

    started_s: float
    rows_total: int | None
    stages: tuple[StageProgress, ...]
    finished_s: float | None = None
    is_complete: bool = False
    """All rows are done; False while it runs, and if it was stopped."""


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What there is to say about a stage at one moment."""

    name: StageName
    model: str
    rows: int
    rows_total: int | None
    rows_failed: int
    rows_per_s: float | None
    """None: too early to tell."""
    tokens: int
    tokens_per_s: float | None
    retries: int
    throttles: int
    elapsed_s: float
    """Since the run began; stands still once the stage is over."""
    left_s: float | None
    """None: not known, or the stage is over."""
    state: StageState
    cached_tokens: int = 0
    """The part of `tokens` that came from the provider's prompt cache."""
    cost: float | None = None
    """In US dollars; None: the price is not known."""
    in_flight: int = 0
    """Attempts under way; 0 once the stage is over."""
    limit: int = 0
    """How many may be; it moves as the backend allows."""


def begin(event: RunStarted, now_s: float) -> Progress:
    """The progress of a run that has just begun."""
    stages = [
        StageProgress(stage.name, stage.model, price=stage.price, limit=stage.max_concurrency)
        for stage in event.stages
    ]
    if stages:
        stages[0] = replace(stages[0], counts=(Count(now_s, 0, 0),))
    return Progress(now_s, event.total_rows, tuple(stages))


def apply(progress: Progress, event: Event, now_s: float) -> Progress:
    """The progress after one more event of the run."""
    match event:
        case StageFinished(stage=name):
            return _stage_finished(progress, name, now_s)
        case CallSent(stage=name) | LimitChanged(stage=name):
            place = _place(progress, name)
            return _with(progress, place, _sending(progress.stages[place], event))
        case CallSucceeded(stage=name) | CallRetried(stage=name) | CallFailed(stage=name):
            place = _place(progress, name)
            stage = _called(_paid(progress.stages[place], event.usage), event, now_s)
            return _with(progress, place, stage)
        case RowFinished(errors=errors) if errors:
            return _row_failed(progress, {error.stage for error in errors})
        case RunFinished(is_complete=is_complete):
            return replace(progress, finished_s=now_s, is_complete=is_complete)
        case _:
            return progress


def figures(progress: Progress, now_s: float) -> tuple[StageFigures, ...]:
    """What there is to say about each stage, in order."""
    return tuple(_figures(progress, stage, now_s) for stage in progress.stages)


def _place(progress: Progress, name: StageName) -> int:
    return next(place for place, stage in enumerate(progress.stages) if stage.name == name)


def _with(progress: Progress, place: int, stage: StageProgress) -> Progress:
    stages = (*progress.stages[:place], stage, *progress.stages[place + 1 :])
    return replace(progress, stages=stages)


def _stage_finished(progress: Progress, name: StageName, now_s: float) -> Progress:
    place = _place(progress, name)
    progress = _with(progress, place, _counted(progress.stages[place], now_s, rows=1))
    following = progress.stages[place + 1 : place + 2]
    if following and not following[0].counts:
        begun = replace(following[0], counts=(Count(now_s, 0, 0),))
        progress = _with(progress, place + 1, begun)
    return progress


def _sending(stage: StageProgress, event: CallSent | LimitChanged) -> StageProgress:
    if isinstance(event, LimitChanged):
        return replace(stage, limit=event.limit)
    return replace(stage, in_flight=stage.in_flight + 1)


def _paid(stage: StageProgress, usage: Usage | None) -> StageProgress:
    if usage is None or stage.price is None:
        return stage
    return replace(stage, cost=stage.cost + stage.price.cost(usage))


def _called(
    stage: StageProgress, event: CallSucceeded | CallRetried | CallFailed, now_s: float
) -> StageProgress:
    stage = replace(stage, in_flight=max(0, stage.in_flight - 1))
    if isinstance(event, CallFailed):
        return stage
    if isinstance(event, CallRetried):
        if event.is_throttle:
            return replace(stage, throttles=stage.throttles + 1)
        return replace(stage, retries=stage.retries + 1)
    if event.usage is None:
        return stage
    tokens = event.usage.prompt_tokens + event.usage.completion_tokens
    counted = _counted(stage, now_s, tokens=tokens)
    cached = event.usage.cached_tokens
    return replace(counted, cached_tokens=stage.cached_tokens + cached) if cached else counted


def _row_failed(progress: Progress, names: AbstractSet[StageName]) -> Progress:
    stages = tuple(
        replace(stage, rows_failed=stage.rows_failed + 1) if stage.name in names else stage
        for stage in progress.stages
    )
    return replace(progress, stages=stages)


def _counted(
    stage: StageProgress, now_s: float, *, rows: int = 0, tokens: int = 0
) -> StageProgress:
    rows_now, tokens_now = stage.rows + rows, stage.tokens + tokens
    counts = stage.counts
    if not counts or now_s - counts[-1].at_s >= _COUNT_EVERY_S:
        counts = _in_window((*counts, Count(now_s, rows_now, tokens_now)), now_s)
    last_row_s = now_s if rows else stage.last_row_s
    return replace(stage, rows=rows_now, tokens=tokens_now, counts=counts, last_row_s=last_row_s)


def _in_window(counts: tuple[Count, ...], now_s: float) -> tuple[Count, ...]:
    """The counts of the window, and the one before it, from which the window's rates start."""
    first = 0
    while first + 1 < len(counts) and counts[first + 1].at_s <= now_s - _WINDOW_S:
        first += 1
    return counts[first:]


def _figures(progress: Progress, stage: StageProgress, now_s: float) -> StageFigures:
    state = _state(progress, stage)
    end_s = now_s if progress.finished_s is None else progress.finished_s
    if state == "done" and stage.rows:
        end_s = stage.last_row_s
    rows_per_s, tokens_per_s = _rates(progress, stage, end_s, is_over=state != "running")
    return StageFigures(
        name=stage.name,
        model=stage.model,
        rows=stage.rows,
        rows_total=progress.rows_total,
        rows_failed=stage.rows_failed,
        rows_per_s=rows_per_s,
        tokens=stage.tokens,
        tokens_per_s=tokens_per_s,
        retries=stage.retries,
        throttles=stage.throttles,
        elapsed_s=max(0.0, end_s - progress.started_s),
        left_s=_left_s(progress, stage, rows_per_s) if state == "running" else None,
        state=state,
        cached_tokens=stage.cached_tokens,
        cost=None if stage.price is None else stage.cost,
        in_flight=stage.in_flight if state == "running" else 0,
        limit=stage.limit,
    )


def _state(progress: Progress, stage: StageProgress) -> StageState:
    has_all = progress.rows_total is not None and stage.rows >= progress.rows_total
    if has_all or progress.is_complete:
        return "done"
    return "running" if progress.finished_s is None else "stopped"


def _rates(
    progress: Progress, stage: StageProgress, end_s: float, *, is_over: bool
) -> tuple[float | None, float | None]:
    """Rows and tokens a second."""
    if not is_over and not stage.counts:
        return None, None
    since = Count(progress.started_s, 0, 0) if is_over else _in_window(stage.counts, end_s)[0]
    seconds = end_s - since.at_s
    if seconds <= 0 or (seconds < _RATE_AFTER_S and not is_over):
        return None, None
    return (stage.rows - since.rows) / seconds, (stage.tokens - since.tokens) / seconds


def _left_s(progress: Progress, stage: StageProgress, rows_per_s: float | None) -> float | None:
    if progress.rows_total is None or not rows_per_s:
        return None
    return (progress.rows_total - stage.rows) / rows_per_s
