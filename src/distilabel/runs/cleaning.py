"""Clearing runs away. Only what we wrote is deleted, and never a run that is under way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from distilabel.journal import delete_run
from distilabel.runs.listing import list_runs

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from datetime import timedelta

    from distilabel.journal import RunInfo

__all__ = ["clean", "cleanable", "delete"]


def clean(
    root: str | os.PathLike[str] | None = None,
    *,
    only_finished: bool = True,
    older_than: timedelta | None = None,
) -> list[RunInfo]:
    """Delete runs, and say which. Their data sets, if they were saved, are elsewhere.

    Args:
        root: None: `DISTILABEL_RUNS`, else `./distilabel-runs`.
        only_finished: keep those that can be resumed, and those that cannot be read.
        older_than: keep those that were written in this time.

    Raises:
        JournalError: the root cannot be read.
    """
    chosen = cleanable(root, only_finished=only_finished, older_than=older_than)
    return delete(chosen, only_finished=only_finished)


def cleanable(
    root: str | os.PathLike[str] | None = None,
    *,
    only_finished: bool = True,
    older_than: timedelta | None = None,
) -> list[RunInfo]:
    """What `clean` would delete."""
    before = None if older_than is None else datetime.now(UTC) - older_than
    return [
        run
        for run in list_runs(root)
        if run.state != "running" and (run.state == "finished" or not only_finished)
        if before is None or run.updated is None or run.updated < before
    ]


def delete(runs: Iterable[RunInfo], *, only_finished: bool = True) -> list[RunInfo]:
    """Delete these runs, and say which were.

    One that is under way by now, or was written since it was listed, is kept.
    """
    return [run for run in runs if _delete(run, only_finished)]


def _delete(run: RunInfo, only_finished: bool) -> bool:
    if run.updated is None:
        return delete_run(run.directory, only_finished=only_finished)
    since = run.updated.timestamp() + 1e-3  # a float holds no nanoseconds
    return delete_run(
        run.directory,
        only_finished=only_finished,
        written_before=datetime.fromtimestamp(since, UTC),
    )
