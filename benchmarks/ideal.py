"""What a perfect client would need: an exact simulation of a run, by events. Pure.

Rules:

- The i-th request to be sent gets the i-th draw of the endpoint's latencies, as
  `distilabel.testing.Latency` promises.
- A freed permit is used at the same instant; the client itself, the network and the consumer take
  no time. What is left is the latencies and the permits, so no client with as many permits does
  better on these draws, but for the luck of which request draws which latency.
- Rows are alike, and so they are only counted. At one instant the last stage is served first.

Run as a program, it prints what a bound on the rows in hand costs.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from heapq import heappop, heappush
from statistics import mean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from distilabel.testing import Latency

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Makespan", "perfect", "simulate"]

_SLACKS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True, slots=True)
class Makespan:
    """When a perfect client has its rows, in seconds from the start."""

    total_s: float
    """The last row."""
    first_row_s: float
    """The first row."""
    rows_in_hand_max: int
    """The most rows that were pulled and not finished at once."""


def simulate(
    latencies_s: Sequence[Iterator[float]],
    *,
    rows: int,
    permits: Sequence[int],
    window: int | None = None,
) -> Makespan:
    """Run `rows` rows through stages of one request each.

    Args:
        latencies_s: how long the i-th request of each stage takes. Stages that share an endpoint
            share one iterator: whoever sends first draws first.
        rows: how many there are, at least 1.
        permits: requests under way at once, for each stage in order.
        window: the most rows pulled and not finished at once; None: no bound.

    Two stages with one permit each, and every request a second long: the second stage starts a
    second later and is never idle after that.

    >>> from itertools import repeat
    >>> second_each = (repeat(1.0), repeat(1.0))
    >>> simulate(second_each, rows=10, permits=(1, 1))
    Makespan(total_s=11.0, first_row_s=2.0, rows_in_hand_max=2)

    With one row in hand the stages wait for each other.

    >>> simulate(second_each, rows=10, permits=(1, 1), window=1).total_s
    20.0
    """
    free = list(permits)
    waiting = [rows] + [0] * (len(permits) - 1)
    under_way: list[tuple[float, int]] = []
    now_s = first_row_s = 0.0
    in_hand = in_hand_max = finished = 0
    while finished < rows:
        for stage in reversed(range(len(permits))):
            while waiting[stage] and free[stage] and (stage or in_hand != window):
                waiting[stage] -= 1
                free[stage] -= 1
                in_hand += stage == 0
                heappush(under_way, (now_s + next(latencies_s[stage]), -stage))
        in_hand_max = max(in_hand_max, in_hand)
        now_s, negative = heappop(under_way)  # of two at one instant, the last stage first
        stage = -negative
        free[stage] += 1
        if stage + 1 < len(permits):
            waiting[stage + 1] += 1
        else:
            first_row_s = first_row_s or now_s
            in_hand -= 1
            finished += 1
    return Makespan(now_s, first_row_s, in_hand_max)


def perfect(latency: Latency, *, rows: int, permits: int, window: int | None = None) -> Makespan:
    """A generator and a labeller, with as many permits each, on one endpoint."""
    draws = latency.draws()
    return simulate((draws, draws), rows=rows, permits=(permits, permits), window=window)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a bound on the rows in hand costs.")
    parser.add_argument("--rows", type=int, default=1280, help="rows of a run (1280)")
    parser.add_argument("--permits", type=int, default=64, help="permits of each stage (64)")
    parser.add_argument("--median", type=float, default=0.5, help="seconds of a reply (0.5)")
    parser.add_argument("--sigma", type=float, default=0.6, help="how scattered they are (0.6)")
    parser.add_argument("--seeds", type=int, default=20, help="runs to average over (20)")
    options = parser.parse_args()
    table = Table(
        title=f"{options.rows} rows, two stages of {options.permits} permits, {options.seeds} seeds"
    )
    for column in ("rows in hand for each permit", "mean seconds", "mean ratio", "worst ratio"):
        table.add_column(column, justify="right")
    unbounded = _totals(options, None)
    for slack in _SLACKS:
        totals = _totals(options, round(2 * options.permits * slack))
        ratios = [bound / free for bound, free in zip(totals, unbounded, strict=True)]
        table.add_row(
            f"{slack:g}", f"{mean(totals):.2f}", f"{mean(ratios):.3f}", f"{max(ratios):.3f}"
        )
    table.add_row("no bound", f"{mean(unbounded):.2f}", "1.000", "1.000")
    Console().print(table)


def _totals(options: argparse.Namespace, window: int | None) -> list[float]:
    return [
        perfect(
            Latency.lognormal(options.median, options.sigma, seed),
            rows=options.rows,
            permits=options.permits,
            window=window,
        ).total_s
        for seed in range(options.seeds)
    ]


if __name__ == "__main__":
    main()
