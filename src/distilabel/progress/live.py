"""Progress as bars that are redrawn in place, by rich, on a terminal or in a notebook.

Rules:

- What the program prints meanwhile appears above the bars. Standard output is taken through the
  console for that only if it is a terminal too: what goes to a file must go there.
- The bars take the room that the figures leave. Where that is little, the least telling figures go
  first, then the bars; what went wrong moves to a line of its own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text

from distilabel.progress.wording import (
    as_clock,
    as_count,
    as_dollars,
    as_rate,
    done_of,
    in_flight,
    time_left,
    troubles,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from distilabel.progress.figures import StageFigures

__all__ = ["LiveBars", "can_redraw", "drawn"]

_EVERY_S: Final = 0.1
_GAP: Final = 2
_BAR_WIDTHS: Final = range(8, 41)


def can_redraw(console: Console) -> bool:
    """Whether what is drawn on this console can be drawn over.

    `FORCE_COLOR` makes rich call a pipe a terminal; lines cannot be drawn over there all the same.
    """
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal


def drawn(stages: Sequence[StageFigures], width: int) -> Group:
    """The figures as one line for each stage, within `width` columns."""
    columns = _columns(stages)
    for column in sorted(columns, key=attrgetter("goes_below"), reverse=True):
        if _room(columns, width) < column.goes_below:
            columns.remove(column)
    bar_width = min(_room(columns, width), _BAR_WIDTHS[-1])
    lines: list[RenderableType] = []
    for place, stage in enumerate(stages):
        lines.append(_line(stage, columns, place, bar_width if bar_width in _BAR_WIDTHS else 0))
    has_room = any(column.name == "troubles" for column in columns)
    lines += [] if has_room else _trouble_lines(stages)
    return Group(*lines)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    texts: Sequence[str]
    style: str = ""
    goes_below: float = -inf
    """It goes if the bar would have less room than this."""

    @property
    def width(self) -> int:
        return max(map(len, self.texts), default=0)


def _columns(stages: Sequence[StageFigures]) -> list[_Column]:
    clocks = [as_clock(stage.elapsed_s) for stage in stages]
    tokens = [f"{as_count(stage.tokens)} tokens" for stage in stages]
    tokens_rates = [as_rate(stage.tokens_per_s, "tokens") for stage in stages]
    for_bar, for_figures = _BAR_WIDTHS[0], -_GAP
    columns = [
        _Column("stage", [stage.name for stage in stages], "bold"),
        _Column("done", [done_of(stage) for stage in stages], "progress.download"),
        _Column(
            "rate", [as_rate(stage.rows_per_s, "rows") for stage in stages], "progress.data.speed"
        ),
        _Column("tokens", tokens, goes_below=for_figures),
        _Column("tokens rate", tokens_rates, "dim", goes_below=for_bar),
        _Column("cost", _costs(stages), goes_below=for_figures),
        _Column("flight", [in_flight(stage) for stage in stages], "dim", goes_below=for_bar),
        _Column("elapsed", clocks, "progress.elapsed", goes_below=for_figures),
        _Column("left", [time_left(stage) for stage in stages], "progress.remaining"),
        _Column("troubles", [troubles(stage) for stage in stages], "yellow", goes_below=for_bar),
    ]
    return [column for column in columns if column.width]


def _costs(stages: Sequence[StageFigures]) -> list[str]:
    return ["" if stage.cost is None else as_dollars(stage.cost) for stage in stages]


def _room(columns: Sequence[_Column], width: int) -> int:
    """What the bar has."""
    return width - sum(column.width + _GAP for column in columns)


def _line(stage: StageFigures, columns: Sequence[_Column], place: int, bar_width: int) -> Table:
    cells: list[RenderableType] = []
    table = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    for column in columns:
        is_left = column.name in {"stage", "troubles"}
        table.add_column(width=column.width, no_wrap=True, justify="left" if is_left else "right")
        cells.append(Text(column.texts[place], column.style))
        if column.name == "stage" and bar_width:
            table.add_column(width=bar_width)
            cells.append(_bar(stage))
    table.add_row(*cells)
    return table


def _bar(stage: StageFigures) -> Bar:
    """A bar; one that pulses while nobody knows how many rows there are."""
    if stage.rows_total is None and stage.state == "running":
        return Bar(total=None, pulse=True)
    total = stage.rows_total or stage.rows
    return Bar(total=total or 1, completed=stage.rows if total else 1)


def _trouble_lines(stages: Sequence[StageFigures]) -> list[RenderableType]:
    return [
        Padding(Text(f"{stage.name}: {troubles(stage)}", "yellow"), (0, 0, 0, 2))
        for stage in stages
        if troubles(stage)
    ]


class LiveBars:
    """Draws the figures, and draws over them."""

    refresh_every_s = _EVERY_S

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty() or console.is_jupyter,
            redirect_stderr=sys.stderr.isatty() or console.is_jupyter,
        )

    def show(self, stages: Sequence[StageFigures]) -> None:
        """Draw the figures over the last ones."""
        self._live.start()
        self._live.update(drawn(stages, self._console.width), refresh=True)

    def finish(self, stages: Sequence[StageFigures]) -> None:
        """Draw the figures for the last time."""
        self.show(stages)
        self._live.stop()
