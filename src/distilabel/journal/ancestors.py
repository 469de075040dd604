"""Other runs' journals, in which finished calls are looked up.

Rules:

- An ancestor is only read. It is used under its own lock, which is taken when its keys are read,
  let go of again, and taken for good by the first key that it seems to hold. So a run that is of no
  use to us is not kept from being continued meanwhile.
- A journal that was read keeps its time: when a run was last written is when the run wrote.
- One that a live process uses, or that is damaged, is passed over: it might have saved a call, no
  more. The log says so.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from distilabel.errors import JournalError
from distilabel.journal.database import open_database
from distilabel.journal.lock import RunLock

if TYPE_CHECKING:
    from collections.abc import Generator

    from distilabel.journal.database import Database
    from distilabel.journal.key_index import KeyIndex
    from distilabel.journal.records import CallRecord

__all__ = ["Ancestor", "opened_for_reading"]

_log = logging.getLogger("distilabel")


@contextmanager
def opened_for_reading(
    path: Path, *, is_locked_already: bool = False, is_looking: bool = True
) -> Generator[Database]:
    """A journal, under its lock.

    Args:
        path: the file.
        is_locked_already: it lies in a directory whose lock we hold.
        is_looking: it will not be open for long; who wants to continue that run may wait for it.

    Raises:
        RunLockedError: a live process uses it.
        JournalError: there is none, or it cannot be read.
    """
    lock = (
        nullcontext()
        if is_locked_already
        else RunLock(path.parent, create=False, is_looking=is_looking)
    )
    with lock, _as_old_as_before(path), closing(open_database(path, reads_only=True)) as database:
        yield database


@contextmanager
def _as_old_as_before(path: Path) -> Generator[None]:
    """Leave a file's time as it was: closing it moves what a killed run left in the WAL into it."""
    written_ns = max(map(_modified_ns, (path, Path(f"{path}-wal"))))
    try:
        yield
    finally:
        if written_ns:
            with suppress(OSError):
                os.utime(path, ns=(path.lstat().st_atime_ns, written_ns), follow_symlinks=False)


def _modified_ns(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


class Ancestor:
    """A journal that calls may be taken from. All but `may_hold` belongs to the writer's thread.

    Args:
        path: the file.
        keys: the keys of its calls.
        is_locked_already: it lies in a directory whose lock we hold.
    """

    def __init__(self, path: Path, keys: KeyIndex, *, is_locked_already: bool = False) -> None:
        self.path = path
        self.keys = keys
        self._is_locked_already = is_locked_already
        self._files = ExitStack()
        self._database: Database | None = None
        self._is_given_up = False

    def may_hold(self, key: bytes) -> bool:
        """False: the call is not there."""
        return not self._is_given_up and self.keys.may_hold(key)

    def call(self, key: bytes) -> CallRecord | None:
        """The call with this key."""
        if not self.may_hold(key):
            return None
        try:
            if self._database is None:
                use = opened_for_reading(
                    self.path, is_locked_already=self._is_locked_already, is_looking=False
                )
                self._database = self._files.enter_context(use)
            return self._database.call(key)
        except JournalError as error:
            _log.warning("no more calls are reused of %s: %s", self.path, error)
            self._is_given_up = True
            return None

    def close(self) -> None:
        """Close the file, if it was opened, and let go of its lock."""
        self._files.close()
