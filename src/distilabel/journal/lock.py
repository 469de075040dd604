"""The lock of a run directory: one run at a time, in this process or any other.

Rules:

- `run.lock` is held by `flock` for as long as the run lasts. The system lets go of it when the
  process dies, however it dies; a file that was left behind locks nobody out.
- A lock that a run holds is refused at once, with what its file says about the holder. One that is
  held by somebody who only looks (a list of runs, an export) is waited for a moment: looking is
  quick, and must not keep a run from being continued.
- The file is never deleted but together with its directory, and a lock that was won on a deleted
  file counts for nothing: it is tried again on the file that is there now.
- A symlink, a hard link or anything but a plain file in its place is refused, and not written to.

The file is one page: first the counters of `in_flight`, then, as JSON, who holds it: process id,
host, since when, and the program's name. Never its arguments, which may hold keys.

A child that this process forks would hold on to the lock; there the descriptor is closed at once.
The counters are mapped through a descriptor of their own, so that the mapping holds on to nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import sys
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from distilabel.errors import JournalError, RunLockedError
from distilabel.journal.in_flight import COUNTER_BYTES, InFlight
from distilabel.naming import named

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LOCK_NAME", "LockHolder", "RunLock", "read_holder"]

LOCK_NAME = "run.lock"
_FILE_BYTES = 4096
_HOLDER_BYTES = _FILE_BYTES - COUNTER_BYTES
_LOOKER_WAIT_S_MAX = 5.0
_LOOKER_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a run directory, or held it last."""

    pid: int
    host: str
    since: datetime
    program: str
    """The last part of `sys.argv[0]`."""
    is_looking: bool = False
    """It only looks, and will be gone soon."""

    @classmethod
    def here(cls, *, is_looking: bool) -> LockHolder:
        """This process, now."""
        program = Path(sys.argv[0]).name if sys.argv else ""
        now = datetime.now(UTC)
        return cls(os.getpid(), socket.gethostname(), now, program[:200], is_looking)


class RunLock:
    """A run directory's lock, held from `acquire` to `release`.

    Args:
        directory: the run directory; it must exist.
        create: make the lock file if there is none.
        is_looking: nothing will be written, and it will not be held for long.

    Raises:
        RunLockedError: a live process, maybe this one, holds it.
        JournalError: the file is no plain file, or the file system knows no locks.
    """

    def __init__(self, directory: Path, *, create: bool = True, is_looking: bool = False) -> None:
        self.directory = directory
        path = directory / LOCK_NAME
        while True:
            fd = _open(path, os.O_CREAT if create else 0)
            try:
                _flock(fd, directory)
                is_current = _is_at(fd, path)
                if is_current:
                    self.in_flight = _prepare(fd, path, LockHolder.here(is_looking=is_looking))
            except BaseException:
                os.close(fd)
                raise
            if is_current:
                break
            os.close(fd)
        self._fd = fd
        _held.add(self)

    def release(self) -> None:
        """Let go; a second time does nothing."""
        if self._fd >= 0:
            self.in_flight.close()
            fcntl.flock(self._fd, fcntl.LOCK_UN)  # for a child too that has yet to close its copy
            os.close(self._fd)
            self._fd = -1
            _held.discard(self)

    def close_in_child(self) -> None:
        """Drop a forked child's copy; the parent holds on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def read_holder(directory: Path) -> LockHolder | None:
    """Who the lock file names; None if it does not say."""
    try:
        fd = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _read_holder(fd)
    finally:
        os.close(fd)


def _open(path: Path, flags: int) -> int:
    try:
        fd = os.open(path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise JournalError(
                f"{path} is a symbolic link; it is not followed. Remove it.", path=path
            ) from error
        raise JournalError(
            f"{path} cannot be opened: {error.strerror}. Choose a directory you can write to.",
            path=path,
        ) from error
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return fd
    os.close(fd)
    raise JournalError(f"{path} is not a plain file of its own. Remove it.", path=path)


def _flock(fd: int, directory: Path) -> None:
    deadline_s = time.monotonic() + _LOOKER_WAIT_S_MAX
    while not _is_won(fd, directory):
        time.sleep(_LOOKER_POLL_S)  # who has just won it has not yet written who it is
        holder = _read_holder(fd)
        if holder is None:
            raise RunLockedError(directory)
        if not holder.is_looking or time.monotonic() > deadline_s:
            raise RunLockedError(
                directory,
                holder_pid=holder.pid,
                holder_host=holder.host,
                holder_since=holder.since,
            )


def _is_won(fd: int, directory: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise JournalError(
            f"the file system of {directory} cannot lock files ({error.strerror}). "
            "Choose a " + named("checkpoint_dir") + " on a local disk.",
            path=directory,
        ) from error
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _prepare(fd: int, path: Path, holder: LockHolder) -> InFlight:
    """Take over the file: its size, its mode, its holder; map its counters."""
    try:
        os.fchmod(fd, 0o600)
        os.pwrite(fd, _holder_text(holder), COUNTER_BYTES)
        if os.fstat(fd).st_size < _FILE_BYTES:
            raise JournalError(f"{path} cannot be written whole", path=path)
        return InFlight(path)
    except OSError as error:
        raise JournalError(
            f"{path} cannot be written: {error.strerror}. Nothing was spent; make room, or choose "
            "another " + named("checkpoint_dir") + ".",
            path=path,
        ) from error


def _holder_text(holder: LockHolder) -> bytes:
    text = msgspec.json.encode(holder)
    return text[:_HOLDER_BYTES].ljust(_HOLDER_BYTES)


def _read_holder(fd: int) -> LockHolder | None:
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(os.pread(fd, _HOLDER_BYTES, COUNTER_BYTES), type=LockHolder)
    return None


_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _close_in_child() -> None:
    for lock in list(_held):
        lock.close_in_child()


os.register_at_fork(after_in_child=_close_in_child)
