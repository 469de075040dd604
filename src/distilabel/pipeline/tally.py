"""The summary of a run: a fold over its events. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from distilabel.events import (
    CallFailed,
    CallRetried,
    CallReused,
    CallSucceeded,
    RowFinished,
    RunStarted,
)
from distilabel.timeline import Timeline
from distilabel.types import RunSummary, Usage

if TYPE_CHECKING:
    from distilabel.events import Event
    from distilabel.types import Price, StageName

__all__ = ["Tally"]

_PROGRAM_CAUSES = frozenset({"parse_error", "prompt_error", "wrong_length", "wrong_type"})
"""Why rows fail that the user's program is to blame for, and that go well once it is mended."""


class Tally:
    """Counts what happens.

    >>> tally = Tally()
    >>> tally.apply(RowFinished(0, ()))
    >>> tally.summary(seconds=1.5).rows
    1
    """

    def __init__(self) -> None:
        self.rows = 0
        self.rows_failed = 0
        self.calls = 0
        self.calls_reused = 0
        self.calls_shared = 0
        self.calls_failed = 0
        self.rows_resumed = 0
        self.retries = 0
        self.throttles = 0
        self.paid_retries = 0
        self._failed_by_cause: Counter[str] = Counter()
        self._prices: dict[StageName, Price | None] = {}
        self._tokens: dict[StageName, list[int]] = {}

    def apply(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, CallSucceeded):
            self.calls += 1
            self._add(event.stage, event.usage)
        elif isinstance(event, RowFinished):
            self.rows += 1
            self.rows_resumed += event.is_resumed
            if event.errors:
                self.rows_failed += 1
                self._failed_by_cause.update({error.cause for error in event.errors})
        elif isinstance(event, CallRetried):
            self._add(event.stage, event.usage)
            self.throttles += event.is_throttle
            if event.is_paid:
                self.paid_retries += 1
            else:
                self.retries += 1
        elif isinstance(event, CallReused):
            self.calls_shared += event.is_shared
            self.calls_reused += not event.is_shared
        elif isinstance(event, CallFailed):
            self.calls_failed += 1
            self._add(event.stage, event.usage)
        elif isinstance(event, RunStarted):
            self._prices = {stage.name: stage.price for stage in event.stages}

    def _add(self, stage: StageName, usage: Usage | None) -> None:
        if usage is not None:
            tokens = self._tokens.get(stage) or self._tokens.setdefault(stage, [0, 0, 0])
            tokens[0] += usage.prompt_tokens
            tokens[1] += usage.completion_tokens
            tokens[2] += usage.cached_tokens

    @property
    def leaves_work(self) -> bool:
        """Whether the same run, started again, could bring rows that this one could not."""
        return self.calls_failed > 0 or not _PROGRAM_CAUSES.isdisjoint(self._failed_by_cause)

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return sum((Usage(*tokens) for tokens in self._tokens.values()), Usage())

    @property
    def cost(self) -> float | None:
        """What they cost, in US dollars; None if the price of one stage is not known.

        A sum over the other stages would be too low, and look like the whole.
        """
        total = 0.0
        for stage, price in self._prices.items():
            if price is None:
                return None
            total += price.cost(Usage(*self._tokens.get(stage, ())))
        return total if self._prices else None

    def summary(
        self,
        *,
        seconds: float,
        cost_unsure: float | None = 0.0,
        timeline: Timeline | None = None,
    ) -> RunSummary:
        """What has happened so far.

        Args:
            seconds: since the run began.
            cost_unsure: what may come on top of the cost; None: nobody knows how much.
            timeline: what happened when; None: nobody watched.
        """
        cost = None if cost_unsure is None else self.cost
        return RunSummary(
            rows=self.rows,
            rows_failed=self.rows_failed,
            failed_by_cause=dict(self._failed_by_cause.most_common()),
            rows_resumed=self.rows_resumed,
            calls=self.calls,
            calls_reused=self.calls_reused,
            calls_shared=self.calls_shared,
            retries=self.retries,
            paid_retries=self.paid_retries,
            usage=self.usage,
            cost=cost,
            cost_unsure=0.0 if cost is None else cost_unsure or 0.0,
            seconds=seconds,
            timeline=timeline or Timeline(),
        )
