"""`distilabel report`: a data set or a run as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from distilabel.cli.ending import clean_end, say

__all__ = ["report"]


def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DATASET_OR_RUN",
            help="The directory of a saved data set or of a run, or a run's name.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; a report is replaced.")
    ] = Path("report.html"),
    root: Annotated[
        Path | None,
        typer.Option(help="Where runs are; else DISTILABEL_RUNS, else ./distilabel-runs."),
    ] = None,
    rows_max: Annotated[
        int, typer.Option(min=1, help="Rows in the table; figures count all of them.")
    ] = 5_000,
    size_max_mb: Annotated[
        float, typer.Option(min=0.1, max=1_000.0, help="Long texts are cut to fit into this.")
    ] = 5.0,
) -> None:
    """Write one HTML file about a data set or a run, to be read in a browser, without a network."""
    from distilabel.report import write_report

    with clean_end():
        written = write_report(
            source,
            output,
            root=root,
            rows_max=rows_max,
            size_max_bytes=int(size_max_mb * 1e6),
        )
        in_table = f", {written.rows_in_table:,} of them in the table"
        some = in_table if written.rows_in_table < written.rows else ""
        rows = f"{written.rows:,} row" + "s" * (written.rows != 1)
        say(f"{rows}{some}: {written.size_bytes / 1e6:.1f} MB in {written.path}")
