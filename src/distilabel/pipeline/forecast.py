"""What a run will reuse and what it will buy, said before the first call.

Each row goes through its stages with a flight that is stopped: what the journal holds is found,
and what it does not hold is not sent. That is exact but for top-ups and paid retries, which nobody
knows beforehand, and for equal calls that are made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distilabel.errors import DispatchStoppedError
from distilabel.llm.flight import Flight
from distilabel.pipeline.rowwork import RowWork
from distilabel.pipeline.tally import Tally

if TYPE_CHECKING:
    from distilabel.journal import Journal
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowSource

__all__ = ["Forecast", "forecast"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is there, and what is missing."""

    rows: int
    rows_done: int
    """Rows that need no call."""
    calls_reused: int
    calls_to_buy: int
    may_share: bool = False
    """There is something to buy, and equal calls of it will be made once."""


async def forecast(
    plan: Plan, settings: RunSettings, source: RowSource, journal: Journal
) -> Forecast:
    """Go through all rows without sending anything."""
    flight, tally = Flight(), Tally()
    flight.stop()
    work = RowWork(plan, settings, flight, tally.apply, journal)
    rows = rows_done = calls_to_buy = 0
    per_row = _calls_per_row(plan, settings)
    while (item := await source.take()) is not None:
        rows += 1
        reused_before = tally.calls_reused
        draft = work.draft(*item)
        try:
            await work.generate(draft)
            await work.label(draft)
            rows_done += 1
        except DispatchStoppedError:
            calls_to_buy += max(0, per_row - (tally.calls_reused - reused_before))
    may_share = calls_to_buy > 0 and any(llm.asks_once for _, llm in plan.stages)
    return Forecast(rows, rows_done, tally.calls_reused, calls_to_buy, may_share)


def _calls_per_row(plan: Plan, settings: RunSettings) -> int:
    calls = 0 if plan.labeller is None else 1
    if plan.generator is not None:
        per_call = plan.generator.generations_per_call or settings.num_generations
        calls += -(-settings.num_generations // per_call)
    return calls
