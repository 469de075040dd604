"""Does a row cost the same in a long run as in a short one, and among many as among few?

Three tables, all at zero latency, with the endpoint in a process of its own and each measurement in
another:

- how long the run is: a stream from a source that makes its rows lazily, checkpoints on. Memory is
  the peak resident set, imports included.
- how many are under way: the same stream with few permits and with many. Sockets cost something by
  themselves, so a bare aiohttp loop with as many workers stands beside it.
- how many wait: calls to one backend with 8 permits, so many at once that the rest must queue.

`--check` fails if a row of a table's last line costs more than 1.25 times one of its cheapest line,
or if the longest stream takes 150 MB more than the one of 10,000 rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from _machine import describe
from _scaling import Figure, Job
from distilabel.testing import SimulatedEndpoint

_ROWS, _MILLION = (1_000, 10_000, 100_000), 1_000_000
_LONG = 50_000
"""From here on one round is enough."""
_PERMITS = 256
_UNDER_WAY = (10, 64, 256, 1000, 2000)
_WAITING = (10, 100, 500, 2000)
_FEW_PERMITS = 8
_REFERENCE_ROWS = 10_000
_GROWTH_MAX, _MEMORY_MAX_MB = 1.25, 150.0


def main() -> None:
    options = _options()
    console = Console(width=100, highlight=False)
    console.print(describe())
    missed = [
        *_lengths(console, options),
        *_widths(console, options),
        *_queues(console, options),
    ]
    for text in missed:
        console.print(f"MISSED: {text}")
    if options.check and missed:
        sys.exit("a target was missed")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="a stream of a million rows, too")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--rounds", type=int, default=3, help="of each; the cheapest counts (3)")
    parser.add_argument("--permits", type=int, default=_PERMITS, help=f"of a stream ({_PERMITS})")
    parser.add_argument("--skip-lengths", action="store_true", help="not the first table")
    return parser.parse_args()


def _run(job: Job) -> Figure:
    with SimulatedEndpoint.process(ledger="counters") as endpoint:
        child = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("_scaling.py"))],
            input=msgspec.json.encode(replace(job, url=endpoint.openai_url)),
            stdout=subprocess.PIPE,
            check=True,
        )
    return msgspec.json.decode(child.stdout, type=Figure)


def _best(job: Job, rounds: int) -> Figure:
    """The cheapest of several rounds: whatever else runs can only add to it."""
    return min((_run(job) for _ in range(rounds)), key=lambda figure: figure.cpu_s)


def _us(figure: Figure, rows: int) -> float:
    return figure.cpu_s / rows * 1e6


def _lengths(console: Console, options: argparse.Namespace) -> list[str]:
    if options.skip_lengths:
        return []
    table = Table("rows", "CPU a row", "rows/s", "memory", title=f"{options.permits} permits")
    figures: dict[int, Figure] = {}
    for rows in (*_ROWS, _MILLION) if options.full else _ROWS:
        job = Job("stream", "", rows, options.permits)
        figures[rows] = figure = _best(job, options.rounds if rows < _LONG else 1)
        table.add_row(
            f"{rows:,}",
            f"{_us(figure, rows):.0f} us",
            f"{rows / figure.wall_s:,.0f}",
            f"{figure.memory_mb:.0f} MB",
        )
        console.print(f"{rows:,} rows: {_us(figure, rows):.0f} us, {figure.memory_mb:.0f} MB")
    console.print(table)
    missed = _grown("the length of the run", {n: _us(f, n) for n, f in figures.items()})
    more_mb = figures[max(figures)].memory_mb - figures[_REFERENCE_ROWS].memory_mb
    if more_mb > _MEMORY_MAX_MB:
        missed.append(f"{more_mb:.0f} MB more memory than for {_REFERENCE_ROWS:,} rows")
    return missed


def _widths(console: Console, options: argparse.Namespace) -> list[str]:
    table = Table("permits", "bare aiohttp", "stream", title="How many are under way")
    figures: dict[int, float] = {}
    for permits in _UNDER_WAY:
        bare, ours = (
            _us(_best(Job(way, "", _REFERENCE_ROWS, permits), options.rounds), _REFERENCE_ROWS)
            for way in ("bare", "stream")
        )
        figures[permits] = ours
        table.add_row(f"{permits:,}", f"{bare:.0f} us", f"{ours:.0f} us")
    console.print(table)
    return _grown("the number of permits", figures)


def _queues(console: Console, options: argparse.Namespace) -> list[str]:
    table = Table("at once", "CPU a call", title=f"How many wait for {_FEW_PERMITS} permits")
    figures: dict[int, float] = {}
    for waiting in _WAITING:
        job = Job("burst", "", _REFERENCE_ROWS, _FEW_PERMITS, waiting)
        figures[waiting] = _us(_best(job, options.rounds), _REFERENCE_ROWS)
        table.add_row(f"{waiting:,}", f"{figures[waiting]:.0f} us")
    console.print(table)
    return _grown("the number of waiters", figures)


def _grown(what: str, figures: dict[int, float]) -> list[str]:
    """Whether the cost grew from the first line to the last, which would be a law of growth."""
    growth = figures[max(figures)] / min(figures.values())
    if growth <= _GROWTH_MAX:
        return []
    return [f"the cost of a row grew by a factor of {growth:.2f} with {what}"]


if __name__ == "__main__":
    main()
