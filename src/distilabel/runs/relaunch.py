"""Starting a run again: what is run, and when it is not.

Rules:

- A run notes which script or module made it, and where; never the arguments, which may hold keys.
  So one that was started with arguments is not started again from here: it is said what to run.
- What is run is what this user's own process noted outside of the run directory, as `journal.known`
  says, and only if the directory is the one that it was noted of, says the same about itself, and
  nobody else may write to it. A directory that was sent, copied or unpacked starts nothing.
- It runs under the Python that runs now, with this process's environment; keys come from there.
  Where the program does not name its run directory itself, `DISTILABEL_RUNS` leads it there.
- It takes this process's place, so that signals, the terminal and the exit code are its own.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from distilabel.errors import ConfigurationError
from distilabel.journal.directory import journal_files
from distilabel.journal.known import how_it_was_started
from distilabel.runs.listing import find_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.journal import Launch, RunInfo
    from distilabel.runs.listing import NameLike

__all__ = ["Relaunch", "execute", "relaunch_from", "relaunch_of", "resume"]

_RUNS: Final = "DISTILABEL_RUNS"


@dataclass(frozen=True, slots=True)
class Relaunch:
    """How a run is started again."""

    arguments: tuple[str, ...] = ()
    """The interpreter and what it is to run; empty if that is not known."""
    directory: str = ""
    """Where it is to be run."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that are set for it, beside those that are there."""
    obstacle: str = ""
    """Why it is not started from here, and what to do; empty if it is."""
    has_arguments: bool = False
    """It was started with arguments, which are not kept."""

    @property
    def can_run(self) -> bool:
        """Whether `resume` starts it."""
        return not self.obstacle and bool(self.arguments)

    @property
    def command(self) -> str:
        """As one types it in a shell; empty if it is not known.

        >>> Relaunch(("python", "make it.py"), "/work").command
        "cd /work && python 'make it.py'"
        """
        if not self.arguments:
            return ""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        end = ["ARGUMENTS"] if self.has_arguments else []
        line = " ".join([*settings, shlex.join(self.arguments), *end])
        return f"cd {shlex.quote(self.directory)} && {line}"


def relaunch_of(
    name_or_directory: NameLike, root: str | os.PathLike[str] | None = None
) -> Relaunch:
    """How a run is started again.

    Args:
        name_or_directory: a name under the root, or the path of a run directory.
        root: None: `DISTILABEL_RUNS`, else `./distilabel-runs`.

    Raises:
        ConfigurationError: there is no such run.
        RunLockedError: it is under way.
        JournalError: it cannot be read.
    """
    from distilabel.runs.details import opened_run

    with opened_run(find_directory(name_or_directory, root)) as opened:
        return relaunch_from(opened.run, opened.description.launch)


def resume(name_or_directory: NameLike, root: str | os.PathLike[str] | None = None) -> NoReturn:
    """Start an unfinished run again, in the place of this process. For command lines.

    In a program, run the same pipeline on the same rows again: that is all it takes.

    Args:
        name_or_directory: a name under the root, or the path of a run directory.
        root: None: `DISTILABEL_RUNS`, else `./distilabel-runs`.

    Raises:
        ConfigurationError: it cannot be started from here; the message says what to run.
        RunLockedError: it is under way.
        JournalError: it cannot be read.
    """
    execute(relaunch_of(name_or_directory, root))


def execute(relaunch: Relaunch) -> NoReturn:
    """Run it in the place of this process.

    Raises:
        ConfigurationError: it cannot be.
    """
    if relaunch.obstacle:
        raise ConfigurationError(relaunch.obstacle)
    try:
        os.chdir(relaunch.directory)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(  # noqa: S606 - no shell
            relaunch.arguments[0], relaunch.arguments, {**os.environ, **relaunch.environment}
        )
    except OSError as error:
        raise ConfigurationError(
            f"{relaunch.command} cannot be run: {error.strerror}. Run the same again yourself."
        ) from error


def relaunch_from(run: RunInfo, launch: Launch | None) -> Relaunch:
    """How a run is started again that was started like this, by what it says itself."""
    if launch is None or (launch.script is None and launch.module is None):
        return Relaunch(
            obstacle=_nothing_to_resume(run)
            or f"the run {run.name} was not started by a script, but in a notebook, at a "
            "prompt or with -c. Run the same pipeline on the same rows again, and it goes on."
        )
    what = ("-m", launch.module) if launch.module is not None else (str(launch.script),)
    runs = {} if launch.is_directory_named else {_RUNS: str(run.directory.absolute().parent)}
    arguments = (sys.executable, *what)
    plain = Relaunch(arguments, launch.directory, runs, has_arguments=launch.has_arguments)
    return Relaunch(
        arguments,
        launch.directory,
        runs,
        _obstacle(run, launch, plain.command),
        has_arguments=launch.has_arguments,
    )


def _nothing_to_resume(run: RunInfo) -> str:
    if not run.is_finished:
        return ""
    return f"the run {run.name} is finished: there is nothing to resume. Export it instead."


def _obstacle(run: RunInfo, launch: Launch, command: str) -> str:
    if finished := _nothing_to_resume(run):
        return finished
    if launch.has_arguments:
        return (
            f"the run {run.name} was started with arguments, and these are not kept, as they may "
            f"hold keys. Run it again with the same arguments: {command}"
        )
    if doubt := _doubt(run.directory, launch):
        return (
            f"{run.directory} {doubt}, so the script that it names is not run. Look at that "
            f"script, and if you trust it, run it yourself: {command}"
        )
    if not Path(launch.directory).is_dir():
        return f"the directory {launch.directory}, where the run was started, is gone."
    if launch.script is not None and not Path(launch.script).is_file():
        return f"the script {launch.script}, which made the run, is gone."
    return ""


def _doubt(directory: Path, launch: Launch) -> str:
    """Why what the run says about itself is not obeyed; empty if it is."""
    if not _is_ours(directory):
        return "belongs to another user, or others may write to it"
    if how_it_was_started(directory) != launch:
        return (
            "is not noted as made here by you (it was copied, or unpacked from an archive, or "
            "comes from another machine or version)"
        )
    return ""


def _is_ours(directory: Path) -> bool:
    """Whether nobody else can have written what the run says about itself."""
    paths = [directory, *journal_files(directory)]
    return all(
        status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        for status in (path.lstat() for path in paths)
    )
