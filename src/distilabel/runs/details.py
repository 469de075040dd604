"""All that is known of one run."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from distilabel.errors import JournalError, RunLockedError
from distilabel.journal import RunDescription, describe_run
from distilabel.journal.ancestors import opened_for_reading
from distilabel.journal.description import DESCRIPTION_KEY
from distilabel.journal.directory import last_written
from distilabel.journal.figures import Figures, count_figures
from distilabel.journal.files import JOURNAL_NAME
from distilabel.journal.lock import RunLock
from distilabel.journal.runs import described
from distilabel.journal.state import read_timeline
from distilabel.runs.listing import find_directory
from distilabel.runs.relaunch import Relaunch, relaunch_from
from distilabel.timeline import Timeline
from distilabel.types import RunSummary

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from distilabel.journal import RunInfo, StageDescription
    from distilabel.journal.database import Database
    from distilabel.runs.listing import NameLike
    from distilabel.types import Usage

__all__ = ["OpenedRun", "RunDetails", "info_to_dict", "opened_run", "show"]


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A run, looked into. Of one that is under way, or damaged, only `run` says something."""

    run: RunInfo
    """What a list says of it: its state, rows, calls, size and age."""
    stages: tuple[StageDescription, ...] = ()
    """Stage, model and task of each."""
    figures: Figures = field(default_factory=Figures)
    in_flight_at_end: int = 0
    """At most so many calls were under way when it ended, and may be bought a second time."""
    cost: float | None = None
    """What the calls cost that it keeps, in US dollars; None: the price of some is not known.
    Calls that were reused from another run cost nothing; replies that could not be read are not
    kept, and not in it."""
    relaunch: Relaunch = field(default_factory=Relaunch)
    """How it is started again."""
    timeline: Timeline = field(default_factory=Timeline)
    """What happened when, in all its sessions; empty if it keeps none."""

    @property
    def rows_failed(self) -> int:
        """Rows with at least one error."""
        return self.figures.rows_failed

    @property
    def failed_by_cause(self) -> Mapping[str, int]:
        """Rows by cause; a row with two causes counts under both."""
        return self.figures.failed_by_cause

    @property
    def usage(self) -> Usage:
        """Tokens of all its calls, those that were reused from another run included."""
        return self.figures.usage

    def summary(self) -> RunSummary:
        """The same as the `.run` of a result has it."""
        return RunSummary(
            rows=self.run.rows,
            rows_failed=self.rows_failed,
            failed_by_cause=self.failed_by_cause,
            calls=self.run.calls,
            usage=self.usage,
            cost=self.cost,
            timeline=self.timeline,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **info_to_dict(self.run),
            "stages": [
                {"stage": each.stage, "model": each.model, "task": each.task}
                for each in self.stages
            ],
            "rows_failed": self.rows_failed,
            "failed_by_cause": dict(self.failed_by_cause),
            "calls_by_stage": dict(self.figures.calls_by_stage),
            "in_flight_at_end": self.in_flight_at_end,
            "resume_command": self.relaunch.command or None,
            "can_resume": self.relaunch.can_run,
        }


def info_to_dict(run: RunInfo) -> dict[str, Any]:
    """A line of a list as plain data for JSON. What is not known is None."""
    is_read = run.state in {"finished", "unfinished"}
    usage = None if run.spend is None else run.spend.usage
    return {
        "name": run.name,
        "directory": str(run.directory),
        "state": run.state,
        "pid": None if run.holder is None else run.holder.pid,
        "rows": run.rows if is_read else None,
        "total_rows": run.total_rows,
        "calls": run.calls if is_read else None,
        "prompt_tokens": usage and usage.prompt_tokens,
        "completion_tokens": usage and usage.completion_tokens,
        "cached_tokens": usage and usage.cached_tokens,
        "cost": run.spend and run.spend.cost,
        "size_bytes": run.size_bytes if is_read else None,
        "created": run.created and run.created.isoformat(),
        "updated": run.updated and run.updated.isoformat(),
        "label": run.label,
        "version": run.version,
        "problem": run.problem or None,
    }


def show(name_or_directory: NameLike, root: str | os.PathLike[str] | None = None) -> RunDetails:
    """Look into a run. One that is under way or damaged is no error: its state says so.

    Args:
        name_or_directory: a name under the root, or the path of a run directory.
        root: None: `DISTILABEL_RUNS`, else `./distilabel-runs`.

    Raises:
        ConfigurationError: there is no such run.
    """
    directory = find_directory(name_or_directory, root)
    try:
        with opened_run(directory) as opened:
            return opened.details()
    except (RunLockedError, JournalError):
        return RunDetails(describe_run(directory))


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run that is open for reading, under its lock."""

    database: Database
    run: RunInfo
    description: RunDescription
    """An empty one if the run has none."""
    in_flight_at_end: int
    timeline: Timeline

    def details(self) -> RunDetails:
        """All that is known of it; goes through all its records."""
        figures = count_figures(self.database)
        return RunDetails(
            replace(self.run, spend=figures.spend),
            self.description.stages,
            figures,
            self.in_flight_at_end,
            figures.spend.cost,
            relaunch=relaunch_from(self.run, self.description.launch),
            timeline=self.timeline,
        )


@contextmanager
def opened_run(directory: Path) -> Generator[OpenedRun]:
    """A run, open for reading until the end of the block.

    Raises:
        RunLockedError: it is under way.
        JournalError: it cannot be read.
    """
    updated = datetime.fromtimestamp(last_written(directory), UTC)
    with (
        RunLock(directory, create=False, is_looking=True) as lock,
        opened_for_reading(directory / JOURNAL_NAME, is_locked_already=True) as database,
    ):
        meta = database.meta()
        yield OpenedRun(
            database,
            described(directory, database, updated),
            RunDescription.from_json(meta.get(DESCRIPTION_KEY, "")) or RunDescription(),
            lock.in_flight.left_behind,
            read_timeline(meta),
        )
