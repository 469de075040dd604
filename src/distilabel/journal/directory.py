"""Run directories: their names, how they are made and how they are found.

Rules:

- A directory that we make is 0700. One that was there keeps its mode: it is its owner's.
- A run directory that is a symbolic link is refused. The root may be one; that is how people put
  their runs on a larger disk.
- Names that we make hold letters, digits and dashes, whatever the models are called.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from distilabel.errors import JournalError
from distilabel.journal.files import JOURNAL_NAME
from distilabel.journal.lock import LOCK_NAME
from distilabel.naming import named

if TYPE_CHECKING:
    from distilabel.journal.state import RunIdentity

__all__ = [
    "archives",
    "default_root",
    "is_run",
    "journal_files",
    "last_written",
    "make_directory",
    "new_directory",
    "run_directories",
]

_ROOT_VARIABLE = "DISTILABEL_RUNS"
_ODD = re.compile(r"[^a-z0-9]+")
_SLUG_CHARACTERS = 40
_OURS = re.compile(
    r"journal(-[1-9][0-9]{0,8}|\.corrupt-[1-9][0-9]{0,8})?\.sqlite(-wal|-shm|-journal)?"
)
_ARCHIVE = re.compile(r"journal-[1-9][0-9]{0,8}\.sqlite")


def default_root() -> Path:
    """Where run directories are made if nobody says: `DISTILABEL_RUNS`, else `distilabel-runs`."""
    return Path(os.environ.get(_ROOT_VARIABLE) or "distilabel-runs")


def slug(label: str) -> str:
    """A label as a part of a file name.

    >>> slug("gpt-4 + ../../Meta-Llama-3"), slug("…")
    ('gpt-4-meta-llama-3', 'run')
    """
    return _ODD.sub("-", label.lower())[:_SLUG_CHARACTERS].strip("-") or "run"


def make_directory(directory: Path, *, may_be_link: bool = False) -> None:
    """Make the directory, and those above it, unless it is there.

    Raises:
        JournalError: it cannot be, or it is a link or no directory.
    """
    try:
        for place in (*reversed(directory.parents), directory):
            if not os.path.lexists(place):
                place.mkdir(mode=0o700, exist_ok=True)
        status = directory.stat(follow_symlinks=may_be_link)
    except OSError as error:
        raise JournalError(
            f"the run directory {directory} cannot be made: {error.strerror}. Choose another "
            + named("checkpoint_dir")
            + f", or set {_ROOT_VARIABLE}.",
            path=directory,
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise JournalError(
            f"{directory} is a link or no directory. Name the directory itself.", path=directory
        )


def new_directory(root: Path, identity: RunIdentity) -> Path:
    """A directory for a run, made under the root: `<models>-<identity>-<n>`.

    Raises:
        JournalError: it cannot be made.
    """
    stem = f"{slug(identity.label)}-{identity.short}"
    number = 1
    while True:
        directory = root / f"{stem}-{number}"
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise JournalError(
                f"the run directory {directory} cannot be made: {error.strerror}. Choose a "
                + named("checkpoint_dir")
                + f", or set {_ROOT_VARIABLE}.",
                path=directory,
            ) from error
        else:
            return directory


def run_directories(root: Path) -> list[Path]:
    """The directories under a root that hold a run, the one written last first. Links are not."""
    try:
        inside = [path for path in root.iterdir() if is_run(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(inside, key=last_written, reverse=True)


def last_written(directory: Path) -> float:
    """When the run's files were last written, as seconds since 1970; 0: there are none now."""
    try:
        return max((_modified(path) for path in journal_files(directory)), default=0.0)
    except OSError:  # cleared away meanwhile
        return 0.0


def journal_files(directory: Path) -> list[Path]:
    """The journal and what lies beside it, archives included."""
    return [path for path in directory.iterdir() if _OURS.fullmatch(path.name)]


def archives(directory: Path) -> list[Path]:
    """The archived journals in a run directory, the latest first."""
    names = [path for path in directory.iterdir() if _ARCHIVE.fullmatch(path.name)]
    return sorted(names, key=lambda path: int(path.stem.rpartition("-")[2]), reverse=True)


def is_run(directory: Path) -> bool:
    """Whether it is a directory, and no link to one, that holds a run."""
    try:
        is_directory = stat.S_ISDIR(directory.lstat().st_mode)
        lock, journal = ((directory / name).lstat() for name in (LOCK_NAME, JOURNAL_NAME))
    except OSError:
        return False
    if not (is_directory and stat.S_ISREG(lock.st_mode) and stat.S_ISREG(journal.st_mode)):
        return False
    return journal.st_size > 0  # a power cut may leave the lock's file empty, the journal not


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
