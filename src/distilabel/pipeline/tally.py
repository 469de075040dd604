"""The summary of a run: a fold over its events. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from distilabel.events import CallFailed, CallRetried, CallReused, CallSucceeded, RowFinished
from distilabel.types import RunSummary, Usage

if TYPE_CHECKING:
    from distilabel.events import Event

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
        self.paid_retries = 0
        self._failed_by_cause: Counter[str] = Counter()
        self._prompt_tokens = self._completion_tokens = self._cached_tokens = 0

    def apply(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, CallSucceeded):
            self.calls += 1
            self._add(event.usage)
        elif isinstance(event, RowFinished):
            self.rows += 1
            self.rows_resumed += event.is_resumed
            if event.errors:
                self.rows_failed += 1
                self._failed_by_cause.update({error.cause for error in event.errors})
        elif isinstance(event, CallRetried):
            self._add(event.usage)
            if event.is_paid:
                self.paid_retries += 1
            else:
                self.retries += 1
        elif isinstance(event, CallReused):
            self.calls_shared += event.is_shared
            self.calls_reused += not event.is_shared
        elif isinstance(event, CallFailed):
            self.calls_failed += 1
            self._add(event.usage)

    def _add(self, usage: Usage | None) -> None:
        if usage is not None:
            self._prompt_tokens += usage.prompt_tokens
            self._completion_tokens += usage.completion_tokens
            self._cached_tokens += usage.cached_tokens

    @property
    def leaves_work(self) -> bool:
        """Whether the same run, started again, could bring rows that this one could not."""
        return self.calls_failed > 0 or not _PROGRAM_CAUSES.isdisjoint(self._failed_by_cause)

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return Usage(self._prompt_tokens, self._completion_tokens, self._cached_tokens)

    def summary(self, *, seconds: float) -> RunSummary:
        """What has happened so far."""
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
            seconds=seconds,
        )
