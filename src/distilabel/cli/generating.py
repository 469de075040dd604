"""Running a recipe: rows to standard output while they complete, or to a file in the end.

Rules:

- Standard output gets rows and nothing else; what is said goes to standard error.
- When nobody reads standard output any more, the run stops as for Ctrl-C: nothing more is sent, and
  what is in flight lands and is kept. That is no failure.
- A file appears whole in the end, or not at all. Where it goes is checked before the first call;
  what goes wrong with it later costs nothing, as the rows are kept: it is said how to get them.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import anyio.to_thread
import typer

from distilabel import portal
from distilabel.cli import pipes
from distilabel.cli.ending import in_options, say
from distilabel.errors import ConfigurationError, DistilabelError, RunStoppedError
from distilabel.pipeline.source import as_dataset, plain_columns
from distilabel.pipeline.stopping import StopSwitch
from distilabel.pipeline.stream import open_stream
from distilabel.progress.wording import as_count, as_dollars
from distilabel.runs.files import check_output, json_line, save

if TYPE_CHECKING:
    from pathlib import Path

    from distilabel.dataset import CustomDataset
    from distilabel.pipeline import Pipeline
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowsLike
    from distilabel.types import Row, RunSummary

__all__ = ["ROWS_FAILED", "Job", "finish", "first_rows", "run_job", "spent"]

ROWS_FAILED: Final = 3
"""The exit code of a run that came to its end with rows that have failures."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run."""

    pipe: Pipeline
    rows: RowsLike
    settings: RunSettings
    output: str = "-"
    may_replace: bool = False


@dataclass(slots=True)
class _Reader:
    """Who reads standard output."""

    is_gone: bool = False


def run_job(job: Job) -> None:
    """Run it to its end, and end the process as it deserves.

    Raises:
        DistilabelError: the run failed, or what it made cannot be written.
        typer.Exit: rows failed, or the run was stopped by a signal.
    """
    _check(job)
    switch, reader = StopSwitch(), _Reader()
    try:
        run, dataset, kept_in = portal.run(_run, job, switch, reader, on_signal=switch)
    except RunStoppedError as stopped:
        if reader.is_gone:
            say(f"nobody reads any more: {stopped}")
            return
        finish(switch, stopped)
    if dataset is not None:
        _save(dataset, job, kept_in)
    if job.settings.verbose:
        say(_in_the_end(run, job.output))
    if switch.is_pressed and not reader.is_gone:
        finish(switch, RunStoppedError("stopped after the last row: all is done", summary=run))
    if run.rows_failed:
        raise typer.Exit(ROWS_FAILED)


def _save(dataset: CustomDataset, job: Job, kept_in: Path | None) -> None:
    """Write what was made; if that cannot be, say how to get it without buying it again."""
    try:
        save(dataset, job.output, replace=job.may_replace)
    except DistilabelError as error:
        if kept_in is None:
            raise
        place = shlex.quote(os.path.join(os.curdir, kept_in))  # noqa: PTH118 - Path drops the dot
        raise DistilabelError(
            f"{in_options(error)} All rows are kept. Once there is a place for them, this writes "
            f"them, and buys nothing: distilabel runs export {place} FILE"
        ) from error


def finish(switch: StopSwitch, stopped: RunStoppedError) -> NoReturn:
    """End as the signal would have ended a process that does not mind it, but say how to go on."""
    say(str(stopped))
    is_interrupt = isinstance(switch.as_exit(stopped), KeyboardInterrupt)
    raise typer.Exit(128 + (signal.SIGINT if is_interrupt else signal.SIGTERM)) from None


def first_rows(job: Job, number: int) -> tuple[list[Row], RunSummary]:
    """The first rows of a job alone; they are kept, and the whole job reuses them.

    Raises:
        DistilabelError: the run failed.
        typer.Exit: it was stopped by a signal.
    """
    switch = StopSwitch()
    try:
        return portal.run(_first_rows, job, number, switch, on_signal=switch)
    except RunStoppedError as stopped:
        finish(switch, stopped)


async def _first_rows(job: Job, number: int, switch: StopSwitch) -> tuple[list[Row], RunSummary]:
    stream = open_stream(
        job.pipe.generator,
        job.pipe.labeller,
        job.rows,
        job.settings,
        switch=switch,
        only_rows=lambda total: frozenset(range(number if total is None else min(number, total))),
    )
    async with stream as rows:
        found = [row async for row in rows]
    return sorted(found, key=lambda row: row.index), rows.run


async def _run(
    job: Job, switch: StopSwitch, reader: _Reader
) -> tuple[RunSummary, CustomDataset | None, Path | None]:
    """What was done, the data set if one is to be written, and where the run is kept."""
    is_piped = job.output == "-"
    stream = open_stream(
        job.pipe.generator,
        job.pipe.labeller,
        job.rows,
        job.settings,
        switch=switch,
        needs_all_columns=is_piped,
    )
    dataset = None
    async with stream as rows:
        if is_piped:
            async for row in rows:
                await _hand_out(row, switch, reader)
        else:
            assembler = rows.assembler()
            async for row in rows:
                assembler.add(row)
            dataset = await anyio.to_thread.run_sync(rows.build, assembler)
    return rows.run, dataset, rows.directory


async def _hand_out(row: Row, switch: StopSwitch, reader: _Reader) -> None:
    if reader.is_gone:
        return
    try:
        await pipes.write(sys.stdout.fileno(), json_line(row).encode() + b"\n")
    except BrokenPipeError:
        reader.is_gone = True
        switch.press(signal.SIGINT)
        switch.act()
    except OSError as error:
        raise DistilabelError(
            f"standard output cannot be written: {error.strerror}. What was finished is kept; run "
            "the same again"
        ) from error


def _check(job: Job) -> None:
    """Refuse an output that cannot be, before anything is bought."""
    if job.output != "-":
        check_output(job.output, replace=job.may_replace)
    elif sys.stdout is None:
        raise ConfigurationError("standard output is closed. Name a file: -o out.jsonl")
    dataset = as_dataset(job.rows)
    if dataset is None or not job.output.lower().endswith(("-", ".jsonl", ".csv")):
        return
    untold = sorted(set(dataset.column_names) - set(plain_columns(job.rows)))
    if untold:
        raise ConfigurationError(
            f"the columns {', '.join(untold)} hold images or audio, which cannot be written as "
            "text. Write to a .parquet file or a directory: -o NAME"
        )


def spent(run: RunSummary) -> str:
    """Calls, tokens and cost in a few words."""
    tokens = f"{as_count(run.usage.prompt_tokens)} tokens read"
    tokens += f", {as_count(run.usage.completion_tokens)} written"
    cost = "cost not known, as no price is" if run.cost is None else as_dollars(run.cost)
    return f"{run.calls:,} calls, {tokens}, {cost}"


def _in_the_end(run: RunSummary, output: str | Path) -> str:
    failed = f", {run.rows_failed:,} with failures" if run.rows_failed else ""
    written = "" if output == "-" else f"; written to {output}"
    return f"{run.rows:,} rows{failed}, {spent(run)}, {run.seconds:.1f} s{written}"
