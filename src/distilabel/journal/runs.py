"""Runs on disk, seen from outside: listing them, reading their rows, clearing them away.

Rules:

- Whatever looks into a run holds its lock meanwhile. Of a run that is under way nothing is read but
  its lock file.
- Only what we wrote is deleted: the files of a journal whose first bytes say that it is ours, and
  then the directory, if nothing else is in it. Links are not followed.

All of this blocks; in async code, call it in a thread.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from distilabel.errors import JournalCorruptError, JournalError, RunLockedError
from distilabel.journal.ancestors import opened_for_reading
from distilabel.journal.database import read_all_rows
from distilabel.journal.directory import (
    default_root,
    journal_files,
    last_written,
    run_directories,
)
from distilabel.journal.figures import count_spend
from distilabel.journal.files import JOURNAL_NAME, has_our_header
from distilabel.journal.known import forget
from distilabel.journal.lock import LOCK_NAME, RunLock, read_holder
from distilabel.journal.state import RunInfo, is_finished

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from distilabel.journal.database import Database
    from distilabel.journal.records import RowRecord

__all__ = ["clean", "delete_run", "describe_run", "described", "find_runs", "read_rows"]

_ROWS_AT_A_TIME = 256


def find_runs(root: Path | None = None) -> list[RunInfo]:
    """The runs under a root, the one written last first.

    Args:
        root: None: `DISTILABEL_RUNS`, else `./distilabel-runs`.
    """
    return [describe_run(path) for path in run_directories(root or default_root())]


def describe_run(directory: Path) -> RunInfo:
    """What is known of one run; a run that cannot be read has a `problem`."""
    try:
        updated = _updated(directory)  # before a WAL is made by looking
        with opened_for_reading(directory / JOURNAL_NAME) as database:
            return replace(described(directory, database, updated), spend=count_spend(database))
    except RunLockedError:
        holder = read_holder(directory)
        return RunInfo(directory, holder=holder, is_locked=True, updated=_updated(directory))
    except (JournalError, OSError) as error:
        return RunInfo(
            directory,
            problem=str(error),
            is_damaged=isinstance(error, JournalCorruptError),
            updated=_updated(directory),
            size_bytes=_size(directory),
        )


def read_rows(directory: Path) -> Generator[RowRecord]:
    """The finished rows of a run that is not under way, in the order of the input.

    The run is locked until the last row was taken or the generator was closed.

    Raises:
        RunLockedError: the run is under way.
        JournalError: there is none, or it cannot be read.
    """
    with opened_for_reading(directory / JOURNAL_NAME) as database:
        yield from read_all_rows(database, _ROWS_AT_A_TIME)


def clean(root: Path | None = None, *, only_finished: bool = True) -> list[Path]:
    """Delete runs that are not under way; the directories of those that were deleted.

    Args:
        root: None: `DISTILABEL_RUNS`, else `./distilabel-runs`.
        only_finished: keep those that can be resumed.
    """
    directories = run_directories(root or default_root())
    return [path for path in directories if delete_run(path, only_finished=only_finished)]


def delete_run(
    directory: Path, *, only_finished: bool = True, written_before: datetime | None = None
) -> bool:
    """Delete a run that is not under way; whether it was deleted.

    Args:
        directory: the run directory.
        only_finished: not if it can be resumed.
        written_before: not if it was written at this moment or later.
    """
    path = directory / JOURNAL_NAME
    try:
        with RunLock(directory, create=False):
            if not has_our_header(path):
                return False
            if written_before and last_written(directory) >= written_before.timestamp():
                return False
            if only_finished and not _is_finished(path):
                return False
            for file in journal_files(directory):
                file.unlink(missing_ok=True)
            forget(directory)
            (directory / LOCK_NAME).unlink()
            with suppress(OSError):  # something else is in it, which is not ours to delete
                directory.rmdir()
    except (JournalError, OSError):
        return False
    return True


def _is_finished(path: Path) -> bool:
    with opened_for_reading(path, is_locked_already=True) as database:
        return is_finished(database.meta())


def described(directory: Path, database: Database, updated: datetime) -> RunInfo:
    """What is known of a run whose journal is open for reading."""
    meta = database.meta()
    return RunInfo(
        directory,
        is_finished=is_finished(meta),
        label=meta.get("label", ""),
        version=meta.get("version", ""),
        created=_moment(meta),
        updated=updated,
        calls=database.count("call"),
        rows=database.count("row"),
        total_rows=_number(meta.get("total_rows", "")),
        size_bytes=_size(directory),
    )


def _updated(directory: Path) -> datetime:
    return datetime.fromtimestamp(last_written(directory), UTC)


def _size(directory: Path) -> int:
    with suppress(OSError):
        return sum(file.lstat().st_size for file in journal_files(directory))
    return 0


def _moment(meta: Mapping[str, str]) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(meta.get("created", ""))
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 else None
