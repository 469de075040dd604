"""The journal's files as files: made private, never followed elsewhere, moved aside.

Rules:

- Symlinks and hard links are refused: nothing outside of the run directory is read or written.
- Files are 0600 from their first moment. SQLite gives what it makes beside a file the same mode.
- Nothing here touches a file that a connection of this process has open: closing any descriptor of
  it would drop that connection's locks.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from distilabel import failpoints
from distilabel.errors import JournalCorruptError, JournalError
from distilabel.naming import named

__all__ = [
    "APPLICATION_ID",
    "JOURNAL_NAME",
    "check_files",
    "has_our_header",
    "make_file",
    "move",
]

JOURNAL_NAME = "journal.sqlite"
APPLICATION_ID = int.from_bytes(b"dstl")
"""What SQLite's header calls the application that a file belongs to."""

_SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file, by what is added to its name."""
_HEADER_BYTES = 100
_ID_AT = 68
_ROLLBACK_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""The end of a rollback journal that names a super-journal (sqlite.org/fileformat2.html)."""


def check_files(path: Path) -> None:
    """See that SQLite will open nothing but plain files, and no file but these.

    Raises:
        JournalCorruptError: a rollback journal names further files.
        JournalError: one is a link.
    """
    for name in ("", *_SIDE_FILES):
        file = Path(f"{path}{name}")
        try:
            status = file.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise JournalError(
                f"{file} is a link or no plain file; it is not followed. Remove it.", path=file
            )
    _check_rollback(Path(f"{path}-journal"))


def _check_rollback(path: Path) -> None:
    """A rollback journal may name one more file that SQLite would delete; ours never does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with os.fdopen(fd, "rb") as file:
        file.seek(max(0, os.fstat(fd).st_size - len(_ROLLBACK_MAGIC)))
        names_another = file.read() == _ROLLBACK_MAGIC
    if names_another:
        raise JournalCorruptError(
            f"{path} names further files, which no journal of ours does. Remove it.", path=path
        )


def make_file(path: Path, *, create: bool, is_durable: bool) -> bool:
    """Make the file, private from its first moment; False if it is there and not empty.

    Args:
        path: the file; nobody has it open.
        create: make it if there is none.
        is_durable: a power cut does not undo that.

    Raises:
        JournalError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        link = " (a symbolic link)" if error.errno == errno.ELOOP else ""
        raise JournalError(
            f"{path} cannot be opened{link}: {error.strerror}. Choose another "
            + named("checkpoint_dir")
            + ".",
            path=path,
        ) from error
    is_new = os.fstat(fd).st_size == 0
    os.close(fd)
    if is_new and is_durable:
        for directory in path.absolute().parents:
            _sync_directory(directory)
    return is_new


def _sync_directory(directory: Path) -> None:
    """Have a power cut not undo what was made in it, as far as we may open it for that."""
    with suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def has_our_header(path: Path) -> bool:
    """Whether a file is a journal of ours, by its first bytes. Only under its lock, and closed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        header = os.pread(fd, _HEADER_BYTES, 0)
    except OSError:
        return False
    finally:
        os.close(fd)
    is_sqlite = header.startswith(b"SQLite format 3\0")
    return is_sqlite and header[_ID_AT : _ID_AT + 4] == APPLICATION_ID.to_bytes(4)


def move(path: Path, stem: str) -> Path:
    """Rename a closed journal, and what lies beside it, to `<stem>-<n>.sqlite`; its new path."""
    number = 1
    while (target := path.with_name(f"{stem}-{number}.sqlite")).exists() or target.is_symlink():
        number += 1
    for name in _SIDE_FILES:  # first: a file without its WAL is whole, a WAL without its file lost
        side = Path(f"{path}{name}")
        if side.exists():
            side.rename(f"{target}{name}")
    if failpoints.reached is not None:
        failpoints.reached("archive_rename")
    path.rename(target)
    return target
