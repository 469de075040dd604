"""The file of a report: its sections, its rows as data, one style, one script. Pure.

Rules:

- The policy allows the style and the script by their hashes, and nothing else whatever: data that
  became HTML by a bug of ours could still run nothing, load nothing and send nothing.
- The style and the script are files beside this module and are put in as they are; neither holds
  `</`, which could end its element.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from distilabel import __version__
from distilabel.report import sections
from distilabel.report.charts import shown
from distilabel.report.over_time import over_time

if TYPE_CHECKING:
    from distilabel.report.embedding import Embedded
    from distilabel.report.figures import Figures
    from distilabel.report.reading import ReportSource

__all__ = ["FIRST_LINE", "content_policy", "page"]

FIRST_LINE: Final = "<!doctype html><!-- a report by distilabel -->"
"""What every report begins with; a file that does may be replaced by another report."""

_TYPES: Final = {"json": "application/json", "deflate": "application/octet-stream"}
"""Of the data block; a browser runs neither."""
_TITLES: Final = {
    "ratings": "Ratings by model",
    "position": "Position and rating",
    "lengths": "Lengths",
    "seconds": "Seconds a call took",
    "failures": "Failures",
    "cost": "Tokens and cost",
    "time": "Over time",
    "rows": "Rows",
}


def page(source: ReportSource, figures: Figures, embedded: Embedded, *, in_table: int) -> str:
    """The whole file.

    Args:
        source: what is known of the whole.
        figures: its numbers.
        embedded: its rows.
        in_table: how many rows these are.
    """
    parts = {
        "ratings": sections.ratings(figures),
        "position": sections.position(figures),
        "lengths": sections.lengths(figures),
        "seconds": sections.seconds(figures, source),
        "failures": sections.failures(figures, source),
        "cost": sections.tokens_and_cost(source),
        "time": over_time(source.summary),
        "rows": _rows_section(figures.rows, in_table, embedded),
    }
    name = shown(source.name)
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title in _TITLES.items())
    body = "".join(
        f'<section id="{key}"><h2>{_TITLES[key]}</h2>{html}</section>'
        for key, html in parts.items()
    )
    return (
        f'{FIRST_LINE}\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{content_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{name}: report</title>\n<style>{_own('page.css')}</style></head>\n"
        f'<body><header><h1>{name}</h1><nav aria-label="Sections">{links}</nav></header>\n'
        f"<main>{sections.tiles(source, figures)}{body}</main>\n"
        f'<footer class="muted">distilabel {shown(__version__)}</footer>\n'
        f'<script type="{_TYPES[embedded.form]}" id="data">{embedded.block}</script>\n'
        f"<script>{_own('page.js')}</script>\n</body></html>\n"
    )


def content_policy() -> str:
    """What the page may do: show itself with its own style, and run its own script."""
    return (
        f"default-src 'none'; style-src '{_hash('page.css')}'; script-src '{_hash('page.js')}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    )


def _rows_section(total: int, in_table: int, embedded: Embedded) -> str:
    if not total:
        return '<p class="missing">There are no rows.</p>'
    notes: list[str] = []
    if in_table < total:
        notes.append(f"{in_table:,} of {total:,} rows, evenly spread; figures count all of them.")
    notes.append(
        f"Texts of more than {embedded.limit:,} characters are cut. A row opens when you choose it."
    )
    return (
        f'<p class="muted">{" ".join(notes)}</p>'
        '<noscript><p class="missing">The table needs JavaScript: the script in this file.</p>'
        '</noscript><div id="table"></div>'
    )


@cache
def _own(name: str) -> str:
    """A file beside this module."""
    return resources.files("distilabel.report").joinpath(name).read_text("utf-8")


@cache
def _hash(name: str) -> str:
    digest = hashlib.sha256(_own(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
