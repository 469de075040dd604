"""What `distilabel runs` shows: tables on a terminal, tab-separated text elsewhere.

Rules:

- What comes from a run, names and models included, is untrusted: it is cleaned of control
  characters and never read as markup.
- What is no terminal gets no escape code, whatever the environment says of colours.
"""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from distilabel.progress.wording import as_count, as_dollars
from distilabel.untrusted import one_line, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from distilabel.journal import RunInfo
    from distilabel.journal.figures import Spend
    from distilabel.runs import RunDetails

__all__ = ["print_details", "print_json", "print_list", "size_of"]

_STYLES = {"finished": "green", "unfinished": "yellow", "running": "cyan"}


def print_json(data: Any) -> None:
    """As JSON, in plain ASCII."""
    _write(json.dumps(data, indent=2))


def print_list(runs: Sequence[RunInfo]) -> None:
    """A line for each run."""
    if not sys.stdout.isatty():
        _write("\n".join(["\t".join(line) for line in _lines(runs)]))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("run", overflow="fold")
    table.add_column("state", overflow="fold")
    for name in ("rows", "calls", "spend", "size", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        is_read = not (run.is_locked or run.problem)
        table.add_row(
            Text(_clean(run.name)),
            Text(_state(run), _STYLES.get(run.state, "red")),
            Text(_rows_of(run)),
            Text(f"{run.calls:,}" if is_read else ""),
            Text(_spend_of(run)),
            Text(size_of([run]) if is_read else ""),
            Text(_age(run.updated)),
        )
    Console(highlight=False).print(table)


def print_details(details: RunDetails) -> None:
    """A line for each fact."""
    facts = [(name, _clean(fact)) for name, fact in _facts(details) if fact]
    if not sys.stdout.isatty():
        _write("\n".join([f"{name}\t{fact}" for name, fact in facts]))
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(Text(name, "bold"), Text(fact))
    Console(highlight=False).print(table)


def size_of(runs: Iterable[RunInfo]) -> str:
    """How much they take on disk.

    >>> size_of([])
    '0 kB'
    """
    total = sum(run.size_bytes for run in runs)
    return f"{total / 1e6:,.1f} MB" if total >= 1e6 else f"{total / 1e3:.0f} kB"


def _lines(runs: Sequence[RunInfo]) -> list[list[str]]:
    lines = [
        ["run", "state", "rows", "total_rows", "calls", "bytes", "updated", "tokens", "dollars"]
    ]
    for run in runs:
        is_read = not (run.is_locked or run.problem)
        figures = [run.rows, run.total_rows, run.calls] if is_read else [None, None, None]
        lines.append(
            [
                _clean(run.name),
                run.state,
                *("" if figure is None else str(figure) for figure in figures),
                str(run.size_bytes) if is_read else "",
                "" if run.updated is None else run.updated.isoformat(timespec="seconds"),
                *_spend_fields(run),
            ]
        )
    return lines


def _facts(details: RunDetails) -> list[tuple[str, str]]:
    run = details.run
    facts = [
        ("run", run.name),
        ("directory", str(run.directory)),
        ("state", _state(run)),
        ("problem", run.problem),
        *((each.stage, f"{each.model}, {each.task}") for each in details.stages),
    ]
    if not (run.is_locked or run.problem):
        facts += [*_figures(details), *_going_on(details)]
    created = "" if run.created is None else f"{run.created:%Y-%m-%d %H:%M:%S %Z}"
    return [
        *facts,
        ("begun", created),
        ("last written", f"{_age(run.updated)} ago"),
        ("size", "" if run.is_locked else size_of([run])),
        ("version", run.version),
    ]


def _figures(details: RunDetails) -> list[tuple[str, str]]:
    usage = details.usage
    read = f"{usage.prompt_tokens:,} read ({usage.cached_tokens:,} from a cache)"
    causes = ", ".join(f"{cause} {count:,}" for cause, count in details.failed_by_cause.items())
    stages = details.figures.calls_by_stage.items()
    by_stage = ", ".join(f"{stage} {count:,}" for stage, count in stages)
    return [
        ("rows", f"{_rows_of(details.run)}, {details.rows_failed:,} with failures"),
        ("failures", causes),
        ("calls", f"{details.run.calls:,}" + (f" ({by_stage})" if by_stage else "")),
        ("tokens", f"{read}, {usage.completion_tokens:,} written"),
        ("spend", "not known" if details.cost is None else as_dollars(details.cost)),
    ]


def _going_on(details: RunDetails) -> list[tuple[str, str]]:
    """What is left to do; nothing if the run is finished."""
    run, relaunch = details.run, details.relaunch
    if run.is_finished:
        return []
    is_all_there = run.total_rows is not None and run.rows >= run.total_rows
    given_up = "calls that were given up: resumed, it asks for those alone"
    no_call = "no call, as after an estimate or a preview of all rows: resumed, it buys nothing"
    flight = f"at most {details.in_flight_at_end:,} calls, which may be bought a second time"
    return [
        ("left", (given_up if details.rows_failed else no_call) * is_all_there),
        ("in flight at its end", flight if details.in_flight_at_end else ""),
        ("resume", f"distilabel runs resume {run.name}" if relaunch.can_run else relaunch.obstacle),
        ("command", relaunch.command),
    ]


def _state(run: RunInfo) -> str:
    if run.holder is None or run.state != "running":
        return run.state
    return f"running (pid {run.holder.pid} on {_clean(run.holder.host)})"


def _rows_of(run: RunInfo) -> str:
    if run.is_locked or run.problem:
        return ""
    return f"{run.rows:,}" + ("" if run.total_rows is None else f" of {run.total_rows:,}")


def _spend_of(run: RunInfo) -> str:
    """Dollars; where a price is not known a dash, and the tokens."""
    if run.spend is None:
        return ""
    if run.spend.cost is not None:
        return as_dollars(run.spend.cost)
    return f"- ({as_count(_tokens(run.spend))} tokens)"


def _spend_fields(run: RunInfo) -> list[str]:
    """Tokens and dollars for a program; a dash where a price is not known."""
    if run.spend is None:
        return ["", ""]
    cost = run.spend.cost
    return [str(_tokens(run.spend)), "-" if cost is None else f"{cost:.12g}"]


def _tokens(spend: Spend) -> int:
    return spend.usage.prompt_tokens + spend.usage.completion_tokens


def _age(moment: datetime | None) -> str:
    """How long ago, in the largest unit that fits."""
    if moment is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _clean(text: str) -> str:
    return one_line(storable(text), characters_max=1_000)


def _write(text: str) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    sys.stdout.write(f"{text}\n")
