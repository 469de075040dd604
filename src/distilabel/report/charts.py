"""Charts as SVG, and tables, in HTML. Pure.

Rules:

- Every text is escaped here; what comes back is HTML.
- No colour and no style is written here: the page's style sheet has them, for light and for dark.
- A chart says in a title what it shows, and a table beside it has the same numbers.
"""

from __future__ import annotations

import math
import re
from html import escape
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from distilabel.untrusted import one_line, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "bars",
    "binned",
    "figure",
    "fold_away",
    "grid",
    "heat_table",
    "lines",
    "missing",
    "nice_number",
    "shown",
    "table",
]

_WIDTH: Final = 360
_HEIGHT: Final = 150
_LEFT, _TOP, _BOTTOM = 4, 18, 22
_GAP_SHARE: Final = 0.18
_HEAT_STEPS: Final = 10
_TEXT_MAX: Final = 400
_TURNS: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    r"""A text as HTML of one line, without control characters and turns of direction.

    >>> shown("<b>\x1b[31m &")
    '&lt;b&gt; [31m &amp;'
    """
    return escape(one_line(_TURNS.sub(" ", storable(text)), characters_max=_TEXT_MAX))


def nice_number(value: float) -> str:
    """A number in as few signs as say it.

    >>> [nice_number(each) for each in (0, 4.0, 3.146, 0.01234, 12345.6)]
    ['0', '4', '3.15', '0.0123', '12,346']
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    if 0 < value < 0.001:
        return "<0.001"
    return f"{value:.3g}"


def bars(title: str, entries: Sequence[tuple[str, float]], *, shares_of: float = 0.0) -> str:
    """Upright bars, a label under each and its number above.

    Args:
        title: what is shown.
        entries: label and number.
        shares_of: above the bars, stand percentages of this in place of numbers; 0: numbers.
    """
    most = max((value for _, value in entries), default=0.0) or 1.0
    step = (_WIDTH - 2 * _LEFT) / max(1, len(entries))
    every = max(1, math.ceil(len(entries) / 10))
    parts: list[str] = []
    for place, (label, value) in enumerate(entries):
        height = (_HEIGHT - _TOP - _BOTTOM) * value / most
        x, y = _LEFT + place * step, _HEIGHT - _BOTTOM - height
        number = f"{100 * value / shares_of:.0f}%" if shares_of else nice_number(value)
        parts.append(
            f'<rect class="bar" x="{x + step * _GAP_SHARE / 2:.1f}" y="{y:.1f}" '
            f'width="{step * (1 - _GAP_SHARE):.1f}" height="{height:.1f}" rx="1.5">'
            f"<title>{shown(label)}: {nice_number(value)}</title></rect>"
        )
        middle = x + step / 2
        if value and every == 1:
            parts.append(_text(number, middle, y - 5, "value"))
        if place % every == 0:
            parts.append(_text(label, middle, _HEIGHT - 7, "label"))
    return _svg(title, [_axis(), *parts])


def lines(
    title: str,
    seconds: Sequence[float],
    values: Sequence[float],
    *,
    limit: Sequence[float] = (),
    marks: Iterable[int] = (),
) -> str:
    """A stepped line over time, from 0 up, and the area under it.

    Args:
        title: what is shown.
        seconds: how long each step is.
        values: how high it is.
        limit: what the values may come to; then this is the line, and they are the area.
        marks: steps at whose beginning an upright line is drawn.
    """
    most = max((*values, *limit), default=0.0) or 1.0
    total_s = sum(seconds) or 1.0
    ends = list(accumulate(seconds, initial=0.0))
    at = [_LEFT + (_WIDTH - 2 * _LEFT) * end_s / total_s for end_s in ends]
    floor = _HEIGHT - _BOTTOM
    area = _steps(at, values, most)
    parts = [f'<path class="area" d="M{_LEFT} {floor}L{area[1:]}V{floor}Z"/>'] if area else []
    parts.append(f'<path class="line" d="{_steps(at, limit or values, most)}"/>')
    for place in marks:
        x = f"{at[place]:.1f}"
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{_TOP}" y2="{floor}"/>')
    parts += [
        _text(f"{nice_number(most)} at most", _LEFT, _TOP - 6, "value start"),
        _text("0 s", _LEFT, _HEIGHT - 7, "label start"),
        _text(f"{nice_number(ends[-1])} s", _WIDTH - _LEFT, _HEIGHT - 7, "label end"),
    ]
    return _svg(title, [_axis(), *parts])


def _steps(at: Sequence[float], values: Sequence[float], most: float) -> str:
    """A path of so many steps, each from one place to the next."""
    floor = _HEIGHT - _BOTTOM
    heights = [floor - (floor - _TOP) * value / most for value in values]
    found = [
        f"L{start:.1f} {y:.1f}H{end:.1f}"
        for (start, end), y in zip(pairwise(at), heights, strict=True)
    ]
    return "M" + "".join(found)[1:] if found else ""


def binned(values: Iterable[float], *, bins: int = 12) -> list[tuple[float, float, int]]:
    """From, to and how many, in bins of one round width; the last has all that lies beyond 99%.

    >>> binned([1.0, 2.0, 9.0], bins=3)
    [(0.0, 5.0, 2), (5.0, 10.0, 1)]
    """
    ordered = sorted(values)
    if not ordered:
        return []
    top = ordered[max(0, math.ceil(0.99 * len(ordered)) - 1)]
    width = _round_width((top or ordered[-1] or 1.0) / bins)
    total = max(1, math.floor(top / width) + 1)
    counts = [0] * total
    for value in ordered:
        counts[min(total - 1, max(0, math.floor(value / width)))] += 1
    ends = [place * width for place in range(total)] + [max(total * width, ordered[-1])]
    return [(low, high, n) for (low, high), n in zip(pairwise(ends), counts, strict=True)]


def _round_width(least: float) -> float:
    """The first of 1, 2, 5, 10, 20, … times a power of ten that is not smaller."""
    least = max(least, 1e-12)
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def table(head: Sequence[str], lines_: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table; the first column names the line, the others hold numbers."""
    top = "".join(f'<th scope="col">{shown(each)}</th>' for each in head)
    body = "".join(
        f'<tr><th scope="row">{shown(first)}</th>'
        + "".join(f"<td>{shown(each)}</td>" for each in rest)
        + "</tr>"
        for first, *rest in lines_
    )
    title = f"<caption>{shown(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table class="numbers">{title}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def heat_table(
    head: Sequence[str], lines_: Iterable[tuple[str, Sequence[float], Sequence[str]]]
) -> str:
    """A table whose cells are the darker the larger their share, with further cells at its end.

    Args:
        head: names of all columns.
        lines_: for each line its name, shares from 0 to 1, and texts of the further cells.
    """
    top = "".join(f'<th scope="col">{shown(each)}</th>' for each in head)
    body = "".join(
        f'<tr><th scope="row">{shown(name)}</th>'
        + "".join(f'<td class="h{_heat(share)}">{100 * share:.1f}%</td>' for share in shares)
        + "".join(f"<td>{shown(each)}</td>" for each in more)
        + "</tr>"
        for name, shares, more in lines_
    )
    return (
        f'<div class="scroll"><table class="numbers heat"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def fold_away(summary: str, html: str) -> str:
    """HTML that is shown on demand."""
    return f"<details><summary>{shown(summary)}</summary>{html}</details>"


def figure(title: str, caption: str, chart: str) -> str:
    """A chart under its title."""
    return (
        f"<figure><figcaption><b>{shown(title)}</b> "
        f'<span class="muted">{shown(caption)}</span></figcaption>{chart}</figure>'
    )


def grid(charts: Sequence[str], total: int) -> str:
    """Charts side by side, and a word on those of `total` that are not there."""
    more = total - len(charts)
    note = f"<p>{more:,} more are not shown.</p>" if more > 0 else ""
    return f'<div class="charts">{"".join(charts)}</div>{note}'


def missing(html: str) -> str:
    """What is said in place of a section's charts."""
    return f'<p class="missing">{html}</p>'


def _heat(share: float) -> int:
    return min(_HEAT_STEPS - 1, int(share * _HEAT_STEPS + 0.5))


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{shown(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _axis() -> str:
    y = _HEIGHT - _BOTTOM
    return f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>'


def _text(text: str, x: float, y: float, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{shown(text)}</text>'
