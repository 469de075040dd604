"""The section of a report that shows a run over time, from its timeline to HTML. Pure."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from distilabel.report.charts import figure, fold_away, grid, lines, missing, nice_number, table
from distilabel.timeline import coarser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distilabel.timeline import Point, Timeline
    from distilabel.types import RunSummary

__all__ = ["over_time"]

_LINES_MAX: Final = 24
"""Of the table."""


def over_time(run: RunSummary | None) -> str:
    """Rows, calls, tokens, refusals and limits over time."""
    if run is None:
        return missing("Nothing is known of a run: this data set was not saved by one.")
    seen = run.timeline
    if not seen.points:
        return missing(
            "It is not known what happened when: the run was ended in its first seconds, or is "
            "older than the release of distilabel that keeps it."
        )
    charts = [*_counts(seen), *_levels(seen)]
    note = ""
    if sum(point.sessions for point in seen.points) > 1:
        note = (
            f"<p>The run had {sum(point.sessions for point in seen.points):,} sessions, one after "
            "another; a mark shows where one begins. The time between them is left out.</p>"
        )
    return note + grid(charts, len(charts)) + fold_away("The numbers", _table(seen))


def _counts(seen: Timeline) -> list[str]:
    """A chart for each thing that was counted, but for what never happened."""
    points = seen.points
    tracks: list[tuple[str, str, list[float]]] = [
        ("Rows per second", "rows/s", [each.rows / each.seconds for each in points]),
        ("Calls per second", "calls/s", [each.calls / each.seconds for each in points]),
        (
            "Tokens written per second",
            "tokens/s",
            [each.completion_tokens / each.seconds for each in points],
        ),
        ("Refused for now by the server", "refusals", [float(each.throttles) for each in points]),
        ("Attempts repeated otherwise", "attempts", [float(each.retries) for each in points]),
    ]
    return [
        figure(title, unit, lines(title, _seconds(points), values, marks=_begins(points)))
        for place, (title, unit, values) in enumerate(tracks)
        if not place or any(values)
    ]


def _levels(seen: Timeline) -> list[str]:
    """For each stage, its limit as a line and what was in flight as the area under it."""
    charts: list[str] = []
    for place, stage in enumerate(seen.stages):
        title = f"Limit of the {stage}, and attempts in flight"
        chart = lines(
            title,
            _seconds(seen.points),
            [each.in_flight[place] for each in seen.points],
            limit=[float(each.limits[place]) for each in seen.points],
            marks=_begins(seen.points),
        )
        charts.append(figure(f"Limit of the {stage}", "filled: attempts in flight", chart))
    return charts


def _seconds(points: Sequence[Point]) -> list[float]:
    return [each.seconds for each in points]


def _begins(points: Sequence[Point]) -> list[int]:
    """The points in which a further session began."""
    return [place for place, each in enumerate(points) if place and each.sessions]


def _table(seen: Timeline) -> str:
    together = max(1, math.ceil(len(seen.points) / _LINES_MAX))
    points = coarser(seen.points, together)
    starts = accumulate(_seconds(points), initial=0.0)
    head = ["from second", "seconds", "rows", "calls", "tokens read", "tokens written"]
    head += ["refused", "repeated"]
    for stage in seen.stages:
        head += [f"limit of the {stage}", "in flight"]
    found: list[list[str]] = []
    for start, each in zip(starts, points, strict=False):
        counts = (each.rows, each.calls, each.prompt_tokens, each.completion_tokens)
        line = [nice_number(start), nice_number(each.seconds)]
        line += [f"{count:,}" for count in (*counts, each.throttles, each.retries)]
        for limit, in_flight in zip(each.limits, each.in_flight, strict=True):
            line += [f"{limit:,}", nice_number(in_flight)]
        found.append(line)
    return table(head, found)
