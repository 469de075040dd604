"""Which runs there are, and which one a name means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from distilabel.errors import ConfigurationError, JournalError
from distilabel.journal import describe_run
from distilabel.journal.directory import default_root, is_run, run_directories
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from distilabel.journal import RunInfo

__all__ = ["NameLike", "find_directory", "list_runs", "root_or_default"]

NameLike = str | os.PathLike[str]
"""A run's name, or the path of its directory."""

_NAME_MAX: Final = 255
"""Characters that a file's name may have at most."""
_NAMED_MAX: Final = 10
"""How many names an error lists."""


def list_runs(root: str | os.PathLike[str] | None = None) -> list[RunInfo]:
    """The runs under a root, the one written last first.

    Args:
        root: None: `DISTILABEL_RUNS`, else `./distilabel-runs`. One that is not there has no runs.

    Raises:
        JournalError: the root cannot be read.
    """
    return [describe_run(directory) for directory in _directories(root_or_default(root))]


def root_or_default(root: str | os.PathLike[str] | None) -> Path:
    """Where runs are looked for."""
    return default_root() if root is None else Path(root)


def find_directory(name_or_directory: NameLike, root: str | os.PathLike[str] | None = None) -> Path:
    """The directory of a run.

    Args:
        name_or_directory: a name under the root. A text with a separator in it, and anything that
            is no `str`, is the path of a run directory anywhere.
        root: where names are looked for; None: `DISTILABEL_RUNS`, else `./distilabel-runs`.

    Raises:
        ConfigurationError: there is no such run; the message names those that there are.
    """
    text = os.fspath(name_or_directory)
    if "\0" in text or not text or any(len(part) > _NAME_MAX for part in Path(text).parts):
        raise ConfigurationError(f"{one_line(text)!r} is no name of a run")
    is_path = not isinstance(name_or_directory, str) or any(
        separator in text for separator in (os.sep, os.altsep) if separator
    )
    if is_path:
        return _named_directory(Path(text))
    return _under(root_or_default(root), text)


def _named_directory(directory: Path) -> Path:
    if directory.is_symlink():
        raise ConfigurationError(
            f"{directory} is a symbolic link, which is not followed. Name the run directory itself."
        )
    if not is_run(directory):
        raise ConfigurationError(
            f"{directory} holds no run: there is no journal in it. `distilabel runs --root "
            f"{directory}` lists the runs in the directories under it."
        )
    return directory


def _under(root: Path, name: str) -> Path:
    if name in {os.curdir, os.pardir}:
        raise ConfigurationError(
            f"{name!r} is no name of a run. A path of a run directory ends with its name, or has a "
            f"separator, such as {name}/."
        )
    directory = root / name
    if directory.is_symlink():
        raise ConfigurationError(
            f"{directory} is a symbolic link, which is not followed. Name the run directory itself."
        )
    if is_run(directory):
        return directory
    raise ConfigurationError(f"there is no run {one_line(name)!r} in {root}. {_what_exists(root)}")


def _what_exists(root: Path) -> str:
    names = [one_line(directory.name) for directory in _directories(root)]
    if not names:
        return "There is none at all; runs are made there, unless DISTILABEL_RUNS names a place."
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return f"There are: {', '.join(names[:_NAMED_MAX])}{more}."


def _directories(root: Path) -> list[Path]:
    try:
        return run_directories(root)
    except OSError as error:
        raise JournalError(
            f"the runs in {root} cannot be listed: {error.strerror}. Choose another root.",
            path=root,
        ) from error
