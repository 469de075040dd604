"""Opening a run directory for a run: which one, what of it is continued, what else is consulted.

Rules:

- A directory that the user names is the run's own. What lies there is continued if it is the same
  run and not finished; else it is archived beside, as `journal-<n>.sqlite`.
- Otherwise the run has a directory of its own under a root. The newest one there of the same run,
  not finished and not in use, is continued; else a new one is made.
- Calls are looked up in ancestors: unfinished runs with "auto", all with "always", none with
  "never". Those are the archives beside, or the other directories under the root.

All of this blocks; it runs in the writer's thread.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distilabel.errors import (
    JournalCorruptError,
    JournalError,
    JournalWriteError,
    RunLockedError,
)
from distilabel.journal.ancestors import Ancestor, opened_for_reading
from distilabel.journal.database import open_database
from distilabel.journal.directory import archives, make_directory, new_directory, run_directories
from distilabel.journal.files import JOURNAL_NAME, move
from distilabel.journal.key_index import KeyIndex
from distilabel.journal.known import note_start
from distilabel.journal.lock import RunLock
from distilabel.journal.state import JournalState, is_finished, read_timeline, started

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from distilabel.journal.database import Database, Durability
    from distilabel.journal.description import RunDescription
    from distilabel.journal.records import CallRecord
    from distilabel.journal.state import RunIdentity
    from distilabel.types import Resume

__all__ = ["Opened", "Opening", "open_run"]

_log = logging.getLogger("distilabel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is to be opened."""

    identity: RunIdentity
    root: Path
    """Where run directories are made; not looked at if `directory` is given."""
    directory: Path | None = None
    """The run directory itself, if the user names one."""
    resume: Resume = "auto"
    durability: Durability = "power"
    total_rows: int | None = None
    description: RunDescription | None = None
    """What is noted for those who look at the run later."""

    def continues(self, meta: Mapping[str, str]) -> bool:
        """Whether a journal so described is this run's own."""
        if self.resume == "never" or not self.identity.is_of(meta):
            return False
        return self.resume == "always" or not is_finished(meta)

    def repeats(self, meta: Mapping[str, str]) -> bool:
        """Whether a journal so described is of this run, which was finished and is made anew."""
        return self.resume == "auto" and self.identity.is_of(meta) and is_finished(meta)

    def consults(self, meta: Mapping[str, str]) -> bool:
        """Whether calls of a journal so described are reused."""
        return self.resume == "always" or (self.resume == "auto" and not is_finished(meta))


@dataclass(slots=True)
class Opened:
    """An open run. Its files belong to the thread that opened them."""

    lock: RunLock
    database: Database
    keys: KeyIndex
    ancestors: tuple[Ancestor, ...]
    found: JournalState

    def may_hold(self, key: bytes) -> bool:
        """False: no journal holds this call. May be asked in any thread."""
        return self.keys.may_hold(key) or any(a.may_hold(key) for a in self.ancestors)

    def call(self, key: bytes) -> tuple[CallRecord, bool] | None:
        """The call, and whether it is in this run's own journal."""
        if self.keys.may_hold(key) and (own := self.database.call(key)) is not None:
            return own, True
        for ancestor in self.ancestors:
            if (other := ancestor.call(key)) is not None:
                return other, False
        return None

    def close(self) -> None:
        """Close the files, then let go of the locks."""
        with ExitStack() as rest:
            rest.callback(self.lock.release)
            for ancestor in self.ancestors:
                rest.callback(ancestor.close)
            self.database.close()


def open_run(opening: Opening) -> Opened:
    """Choose, lock and open.

    Raises:
        RunLockedError: the named directory is in use.
        JournalCorruptError: the journal to be continued is damaged.
        JournalError: the directory cannot be used.
    """
    if opening.directory is None:
        return _open_under_root(opening)
    make_directory(opening.directory)
    lock = RunLock(opening.directory)
    try:
        return _open_locked(lock, opening, ())
    except BaseException:
        lock.release()
        raise


def _open_locked(lock: RunLock, opening: Opening, others: Iterable[Path]) -> Opened:
    path = lock.directory / JOURNAL_NAME
    database = open_database(path, opening.durability)
    try:
        meta = database.meta()
        if meta and not opening.continues(meta):
            database.close()
            move(path, "journal")
            database = open_database(path, opening.durability)
            meta = {}
        return _described(lock, database, opening, meta, others)
    except BaseException:
        database.close()
        raise


def _described(
    lock: RunLock,
    database: Database,
    opening: Opening,
    meta: Mapping[str, str],
    others: Iterable[Path],
) -> Opened:
    keys = KeyIndex(database.key_prefixes())
    looked_at = [_consulted(path, opening, is_beside=True) for path in archives(lock.directory)]
    looked_at += [_consulted(path, opening, is_beside=False) for path in others]
    ancestors = tuple(a for a in looked_at if isinstance(a, Ancestor))
    found = JournalState(
        lock.directory,
        calls=len(keys),
        rows=database.count("row"),
        in_flight_at_end=lock.in_flight.left_behind if meta else 0,
        spent_noted=lock.in_flight.spent if meta else 0,
        was_finished=is_finished(meta),
        ancestors=tuple(a.path for a in ancestors),
        ancestor_calls=sum(len(a.keys) for a in ancestors),
        same_finished=next((path for path in looked_at if isinstance(path, Path)), None),
        timeline=read_timeline(meta),
    )
    program = Path(sys.argv[0]).name if sys.argv else ""
    noted = started(
        opening.identity,
        total_rows=opening.total_rows,
        program=program,
        description=opening.description,
    )
    try:
        database.write((), (), {"created": noted["started"]} | dict(meta) | noted)
    except sqlite3.Error as error:
        raise JournalWriteError(
            f"the journal {database.path} cannot be written: {error}. Nothing was spent, and what "
            f"it holds is kept. Make room on the disk, or mend it, and run again.",
            path=database.path,
        ) from error
    lock.in_flight.start()
    lock.in_flight.spent = found.spent_noted
    if opening.description is not None and opening.description.launch is not None:
        note_start(lock.directory, opening.description.launch)
    return Opened(lock, database, keys, ancestors, found)


def _consulted(path: Path, opening: Opening, *, is_beside: bool) -> Ancestor | Path | None:
    """A journal as an ancestor; its path if it repeats this run; None if it is of no use."""
    if opening.resume == "never":
        return None
    try:
        with opened_for_reading(path, is_locked_already=is_beside) as database:
            meta = database.meta()
            if not opening.consults(meta):
                return path if opening.repeats(meta) else None
            keys = KeyIndex(database.key_prefixes())
    except RunLockedError:
        return None
    except JournalError as error:
        _log.warning("no calls are reused of %s: %s", path, error)
        return None
    return Ancestor(path, keys, is_locked_already=is_beside) if len(keys) else None


def _open_under_root(opening: Opening) -> Opened:
    make_directory(opening.root, may_be_link=True)
    directories = [] if opening.resume == "never" else run_directories(opening.root)
    lock = _continued(directories, opening)
    if lock is None:
        lock = RunLock(new_directory(opening.root, opening.identity))
    others = [path / JOURNAL_NAME for path in directories if path != lock.directory]
    try:
        return _open_locked(lock, opening, others)
    except BaseException:
        lock.release()
        raise


def _continued(directories: Iterable[Path], opening: Opening) -> RunLock | None:
    """The lock of the newest run to be continued."""
    mark = f"-{opening.identity.short}-"
    for directory in directories:
        if mark not in directory.name:
            continue
        try:
            lock = RunLock(directory, create=False)
        except RunLockedError as error:
            _log.warning("the same run is already under way, and this is another: %s", error)
            continue
        except JournalError as error:
            _log.warning("%s is not continued: %s", directory, error)
            continue
        if _is_continued(lock, opening):
            return lock
        lock.release()
    return None


def _is_continued(lock: RunLock, opening: Opening) -> bool:
    path = lock.directory / JOURNAL_NAME
    try:
        with opened_for_reading(path, is_locked_already=True) as database:
            return opening.continues(database.meta())
    except JournalCorruptError:
        return True  # it is this run's, by its name; opening it will move it aside and refuse
    except JournalError as error:
        _log.warning("%s is not continued: %s", lock.directory, error)
        return False
