"""What a run will take, told by a sample of its rows before the rest is paid for.

Rules:

- The sample is a part of the run: the same journal, the same keys. What it buys is reused.
- Figures are for all rows, the sample's included, whether or not they were bought before.
- Where the number of rows is not known, figures are for 1,000 rows.
- Rows are a simple random sample, or the first ones of a source that does not know its length; what
  those are not like, the estimate does not know. `intervals` says how intervals are made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from distilabel.events import CallFailed, CallRetried, CallReused, CallSucceeded, RowFinished
from distilabel.llm.base import DEFAULT_MAX_CONCURRENCY
from distilabel.pipeline.intervals import Range, share, total, total_seconds
from distilabel.progress.wording import as_dollars
from distilabel.types import RunSummary, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distilabel.events import Event
    from distilabel.llm.base import LLM
    from distilabel.types import Price, StageName

__all__ = ["Estimate", "Measurement", "Range"]

_ROWS_UNKNOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take; each figure with its 90 % interval. `print` shows it as a table."""

    rows: int
    """The figures are for so many rows, those of the sample included."""
    is_length_known: bool
    """False: the source does not know its length, and the figures are for 1,000 rows."""
    sampled: int
    """Rows that were done to know."""
    calls: Range
    """Replies that are paid for, those of no use included."""
    prompt_tokens: Range
    completion_tokens: Range
    cost: Range | None
    """In US dollars; None: a price is not known."""
    seconds: Range | None
    """How long it takes, if the backends answer as they did; None: nothing was measured."""
    failure_rate: Range
    """The share of rows with a failure."""
    concurrency: Mapping[StageName, int] = field(default_factory=dict)
    """The calls at once that `seconds` is for."""
    sample: RunSummary = field(default_factory=RunSummary)
    """What was done for the sample: what it cost, among other things."""

    def __str__(self) -> str:
        head = f"{self.rows:,} rows, told by {self.sampled:,}"
        if not self.is_length_known:
            head = f"1,000 rows, told by the first {self.sampled:,}"
        lines = [f"{head}; 90 % intervals", *(f"  {line}" for line in self._lines())]
        return "\n".join([*lines, f"  {self._sample_line()}"])

    def _lines(self) -> list[str]:
        shown: list[tuple[str, Range | None, Callable[[float], str]]] = [
            ("calls", self.calls, _count),
            ("tokens read", self.prompt_tokens, _count),
            ("tokens written", self.completion_tokens, _count),
            ("cost", self.cost, as_dollars),
            ("time", self.seconds, _clock),
            ("rows that fail", self.failure_rate, _percent),
        ]
        return [f"{name:<16}{_shown(figure, write)}" for name, figure, write in shown]

    def _sample_line(self) -> str:
        cost = "" if self.sample.cost is None else f", {as_dollars(self.sample.cost)}"
        return f"{'the sample':<16}{self.sample.calls:,} calls{cost}: kept, and reused by the run"


@dataclass(slots=True)
class _Measured:
    """One row of the sample."""

    calls: int = 0
    useless: int = 0
    usage: dict[StageName, Usage] = field(default_factory=dict["StageName", Usage])
    seconds: dict[StageName, float] = field(default_factory=dict["StageName", float])
    is_failed: bool = False

    def add(self, stage: StageName, usage: Usage | None, seconds: float) -> None:
        self.calls += 1
        self.usage[stage] = self.usage.get(stage, Usage()) + (usage or Usage())
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


class Measurement:
    """Folds the events of a sample into figures for all rows. Pure.

    Args:
        prices: of each stage; None where it is not known.
        concurrency: the calls at once of each stage, in order.
    """

    def __init__(
        self, prices: Mapping[StageName, Price | None], concurrency: Mapping[StageName, int]
    ) -> None:
        self._prices = prices
        self._concurrency = concurrency
        self._rows: dict[int, _Measured] = {}

    @classmethod
    def of(cls, *llms: LLM | None) -> Measurement:
        """For a generator and a labeller, those that there are.

        Where no `num_threads` says how many calls may be made at once, and the backend's limit is
        found out as a run goes, 64 are assumed.
        """
        names: tuple[StageName, StageName] = ("generator", "labeller")
        stages: dict[StageName, LLM] = {
            name: llm for name, llm in zip(names, llms, strict=True) if llm is not None
        }
        return cls(
            {name: llm.price for name, llm in stages.items()},
            {
                name: llm.gate.ceiling or min(llm.max_concurrency, DEFAULT_MAX_CONCURRENCY)
                for name, llm in stages.items()
            },
        )

    def observe(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case CallSucceeded(stage=stage, usage=usage):
                self._row(event.row_index).add(stage, usage, event.attempt_s)
            case CallReused(stage=stage, usage=usage) if not event.is_shared:
                self._row(event.row_index).add(stage, usage, event.seconds)
            case CallRetried(is_paid=True) | CallFailed(usage=Usage()):
                self._row(event.row_index).useless += 1
            case RowFinished(errors=errors):
                self._row(event.row_index).is_failed = bool(errors)
            case _:
                pass

    def _row(self, index: int) -> _Measured:
        return self._rows.setdefault(index, _Measured())

    def estimate(self, rows: int | None, sample: RunSummary) -> Estimate:
        """The figures.

        Args:
            rows: how many there are; None: not known.
            sample: what was done to know.
        """
        measured = [self._rows[index] for index in sorted(self._rows)]
        of_all = _ROWS_UNKNOWN if rows is None else rows
        # Without a length, the rows that were seen are none of the thousand: nothing is exact.
        among = max(of_all, len(measured) + 1) if rows is None else of_all
        useless = _useless(measured)

        def sum_of(value: Callable[[_Measured], float]) -> Range:
            if not measured:
                return Range.exactly(0.0)
            return total([value(row) for row in measured], among, useless)

        has_prices = bool(self._prices) and None not in self._prices.values()
        return Estimate(
            rows=of_all,
            is_length_known=rows is not None,
            sampled=len(measured),
            calls=sum_of(lambda row: row.calls),
            prompt_tokens=sum_of(lambda row: _tokens(row).prompt_tokens),
            completion_tokens=sum_of(lambda row: _tokens(row).completion_tokens),
            cost=sum_of(self._cost) if has_prices else None,
            seconds=self._seconds(measured, of_all),
            failure_rate=share(sum(row.is_failed for row in measured), len(measured), among),
            concurrency=dict(self._concurrency),
            sample=sample,
        )

    def _cost(self, row: _Measured) -> float:
        prices = self._prices
        return sum(p.cost(row.usage[s]) for s, p in prices.items() if p and s in row.usage)

    def _seconds(self, measured: list[_Measured], rows: int) -> Range | None:
        taken = [[row.seconds.get(s, 0.0) for s in self._concurrency] for row in measured]
        if not any(map(any, taken)):
            return None
        times = total_seconds(taken, list(self._concurrency.values()), rows)
        return times * (1 / (1 - _useless(measured).mid))


def _tokens(row: _Measured) -> Usage:
    return sum(row.usage.values(), Usage())


def _useless(measured: list[_Measured]) -> Range:
    """The share of replies that are of no use."""
    useless, good = sum(r.useless for r in measured), sum(r.calls for r in measured)
    return share(useless, useless + good)


def _shown(figure: Range | None, write: Callable[[float], str]) -> str:
    if figure is None:
        return "not known"
    if figure.low == figure.high:
        return write(figure.mid)
    if figure.high == math.inf:
        return f"{write(figure.mid):<12}{write(figure.low)} or more"
    return f"{write(figure.mid):<12}{write(figure.low)} to {write(figure.high)}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{rest:02}"


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"
