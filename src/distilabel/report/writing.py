"""Makes a report and writes it, whole or not at all.

What is there is replaced only if it is a report, by its first line.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.report.embedding import embed
from distilabel.report.figures import Figures
from distilabel.report.page import FIRST_LINE, page
from distilabel.report.reading import ReportRow, opened_source

if TYPE_CHECKING:
    import datasets

    from distilabel.report.reading import ReportSource

__all__ = ["ROWS_MAX", "SIZE_MAX_BYTES", "Written", "write_report"]

ROWS_MAX: Final = 5_000
SIZE_MAX_BYTES: Final = 5_000_000
_FRAME_BYTES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written."""

    path: Path
    rows: int
    """Rows that the figures count."""
    rows_in_table: int
    size_bytes: int
    text_limit: int
    """Characters at which texts were cut."""


def write_report(
    source: datasets.Dataset | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    rows_max: int = ROWS_MAX,
    size_max_bytes: int = SIZE_MAX_BYTES,
) -> Written:
    """Write an HTML file that shows a data set or a run, for a browser without a network.

    Args:
        source: a data set; the path of a saved one or of a run's directory; or a run's name.
        path: where to write. A report that is there is replaced, anything else is refused.
        root: where names of runs are looked for; None: `DISTILABEL_RUNS`, else `./distilabel-runs`.
        rows_max: how many rows the table holds at most; figures count all of them.
        size_max_bytes: how large the file may be; long texts are cut to fit.

    Raises:
        ConfigurationError: there is no such source, the rows do not fit, or something else is at
            `path`. Nothing was written.
        ColumnError: there are no texts in the source.
        RunLockedError: the run is under way.
        JournalError: the run cannot be read.
        DistilabelError: the file cannot be written.
    """
    if rows_max < 1 or size_max_bytes < 1:
        raise ConfigurationError("rows_max and size_max_bytes must be 1 or more")
    target = Path(path)
    _check(target)
    with opened_source(source, root) as opened:
        figures, rows = _gather(opened, rows_max)
    frame = page(opened, figures, embed([], _FRAME_BYTES), in_table=len(rows))
    embedded = embed(rows, size_max_bytes - len(frame.encode()))
    html = page(opened, figures, embedded, in_table=len(rows)).encode()
    _write(target, html)
    return Written(target, figures.rows, len(rows), len(html), embedded.limit)


def _gather(source: ReportSource, rows_max: int) -> tuple[Figures, list[ReportRow]]:
    """The figures of all rows, and the rows for the table: all, or some evenly spread."""
    figures, rows = Figures(source.calls is None), list[ReportRow]()
    for place, row in enumerate(source.rows):
        figures.add(row)
        if _is_chosen(place, source.total, rows_max):
            rows.append(row)
    for call in source.calls or ():
        figures.add_call(call)
    return figures, rows


def _is_chosen(place: int, total: int, rows_max: int) -> bool:
    """Whether a row is one of `rows_max` that are evenly spread over `total`.

    >>> [place for place in range(10) if _is_chosen(place, 10, 4)]
    [0, 3, 5, 8]
    """
    if total <= rows_max:
        return place < rows_max
    return place * rows_max // total != (place - 1) * rows_max // total


def _check(target: Path) -> None:
    """Raise if a report is not to be written there."""
    if not os.path.lexists(target):
        return
    if target.is_dir():
        raise ConfigurationError(f"{target} is a directory. Name a file, such as report.html.")
    try:
        with target.open("rb") as file:
            is_report = file.read(len(FIRST_LINE)) == FIRST_LINE.encode()
    except OSError:
        is_report = False
    if not is_report:
        raise ConfigurationError(
            f"{target} exists and is no report, so it is left alone. Choose another name."
        )


def _write(target: Path, html: bytes) -> None:
    draft = target.with_name(f".{target.name}.{token_hex(4)}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(html)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise DistilabelError(
            f"the report cannot be written to {target}: {error.strerror or error}. What was there "
            "is unchanged."
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
