"""How close a run comes to a perfect client: wall time, first row, memory, CPU.

Two stages over a simulated endpoint in a process of its own, with a lognormal latency. The ideal is
the makespan of a perfect client on the endpoint's own draws (see `ideal.py`). Clients run one after
another, each in a fresh process (see `_clients.py` for what the clock includes).

A run's end hangs on a few long draws, and which stage gets them is luck: that alone moves a run by
2 or 3 % either way. So there are two ratios. "ratio" takes the draws in the order in which a
perfect client would have drawn them. "same draws" gives each stage of the perfect client those
that this run's stage got, read from the endpoint's ledger, and is free of that luck.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec
from rich.console import Console
from rich.table import Table

from _clients import CLIENTS, GENERATOR, LABELLER, Job, Measured
from _machine import describe
from distilabel.testing import Latency, LedgerReport, SimulatedEndpoint
from ideal import Makespan, perfect, simulate

_WIDTH = 112
_RATIO_MAX = 1.05
_FIRST_ROW_MAX = 2.0
"""First row out, in medians of one generation and one label."""


@dataclass(frozen=True, slots=True)
class Run:
    """One client on one seed."""

    measured: Measured
    ideal: Makespan
    same_draws: Makespan

    @property
    def ratio(self) -> float:
        """Against a perfect client that draws in its own order."""
        return self.measured.wall_s / self.ideal.total_s

    @property
    def ratio_same_draws(self) -> float:
        """Against a perfect client whose stages get the draws that this run's got."""
        return self.measured.wall_s / self.same_draws.total_s


def main() -> None:
    options = _options()
    names = options.clients.split(",")
    runs: dict[str, list[Run]] = {name: [] for name in names}
    console = Console(width=_WIDTH)
    console.print(describe(), highlight=False)
    for seed in range(options.seed, options.seed + options.runs):
        latency = Latency.lognormal(options.median, options.sigma, seed)
        for name in names:
            run = _run(name, latency, options.rows, options.permits)
            runs[name].append(run)
            console.print(
                f"seed {seed}, {name}: {run.measured.wall_s:.2f} s, ideal {run.ideal.total_s:.2f} s"
                f" ({run.ratio:.3f}), same draws {run.same_draws.total_s:.2f} s"
                f" ({run.ratio_same_draws:.3f})",
                highlight=False,
            )
    console.print(_table(runs, options))
    if options.check and not _meets_targets(runs["generate"], options.median):
        sys.exit("a target was missed")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1280, help="rows of the data set (1280)")
    parser.add_argument("--permits", type=int, default=64, help="permits of each stage (64)")
    parser.add_argument("--median", type=float, default=0.5, help="median seconds of a reply (0.5)")
    parser.add_argument("--sigma", type=float, default=0.6, help="how scattered they are (0.6)")
    parser.add_argument("--seed", type=int, default=1, help="the first run's seed (1)")
    parser.add_argument("--runs", type=int, default=1, help="runs, each with the next seed (1)")
    parser.add_argument(
        "--clients", default=",".join(CLIENTS), help=f"which of {', '.join(CLIENTS)} (all)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"fail unless `generate` has a median ratio of at most {_RATIO_MAX} and its first "
        f"row within {_FIRST_ROW_MAX:g} medians of a generation and a label",
    )
    options = parser.parse_args()
    unknown = set(options.clients.split(",")) - set(CLIENTS)
    if unknown or (options.check and "generate" not in options.clients.split(",")):
        parser.error(f"--clients: there are {', '.join(CLIENTS)}; --check needs generate")
    return options


def _run(client: str, latency: Latency, rows: int, permits: int) -> Run:
    with (
        SimulatedEndpoint.process(latency=latency, ledger="calls") as endpoint,
        TemporaryDirectory() as directory,
    ):
        job = Job(client, endpoint.openai_url, rows, permits)
        child = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("_clients.py"))],
            input=msgspec.json.encode(job),
            stdout=subprocess.PIPE,
            env=os.environ | {"DISTILABEL_RUNS": directory},
            check=True,
        )
        ledger = endpoint.ledger
    measured = msgspec.json.decode(child.stdout, type=Measured)
    if measured.rows_rated != rows or ledger.requests != 2 * rows:
        sys.exit(f"void: {measured.rows_rated} rows were rated, {ledger.requests} calls were made")
    ideal = perfect(latency, rows=rows, permits=permits)
    return Run(measured, ideal, _same_draws(ledger, latency, rows, permits))


def _same_draws(ledger: LedgerReport, latency: Latency, rows: int, permits: int) -> Makespan:
    draws = list(islice(latency.draws(), ledger.requests))
    calls = sorted(ledger.calls, key=lambda call: call.index)
    by_stage = [
        iter([draws[call.index] for call in calls if call.model == model])
        for model in (GENERATOR, LABELLER)
    ]
    return simulate(by_stage, rows=rows, permits=(permits, permits))


def _table(runs: dict[str, list[Run]], options: argparse.Namespace) -> Table:
    table = Table(
        title=f"{options.rows} rows, two stages of {options.permits} permits, median "
        f"{options.median:g} s, sigma {options.sigma:g}; medians of {options.runs} runs",
        caption="first row: the ideal's in brackets; memory: of it before the run in brackets",
    )
    table.add_column("client")
    for column in ("wall", "ideal", "ratio", "same draws", "first row", "CPU per row", "memory"):
        table.add_column(column, justify="right")
    for name, done in runs.items():
        measured = [run.measured for run in done]
        first_row_s = median(run.ideal.first_row_s for run in done)
        table.add_row(
            name,
            f"{median(m.wall_s for m in measured):.2f} s",
            f"{median(run.ideal.total_s for run in done):.2f} s",
            f"{median(run.ratio for run in done):.3f}",
            f"{median(run.ratio_same_draws for run in done):.3f}",
            f"{median(m.first_row_s for m in measured):.2f} s ({first_row_s:.2f})",
            f"{median(m.cpu_s for m in measured) / options.rows * 1000:.2f} ms",
            f"{median(m.rss_peak_mb for m in measured):.0f} MB "
            f"({median(m.rss_before_mb for m in measured):.0f})",
        )
    return table


def _meets_targets(runs: list[Run], median_s: float) -> bool:
    is_early = all(run.measured.first_row_s <= _FIRST_ROW_MAX * 2 * median_s for run in runs)
    return is_early and median(run.ratio for run in runs) <= _RATIO_MAX


if __name__ == "__main__":
    main()
