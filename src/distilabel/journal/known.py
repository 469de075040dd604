"""Which run directories this user's own programs have made, noted outside of them.

Rules:

- What a run directory says may come from anybody: an archive that was sent belongs, once unpacked,
  to who unpacked it. So how a run was started is noted a second time, in the user's own state
  directory, and only what is noted there is ever started again.
- A directory is known by a file in it, `run.mark`, that is written once and never touched again: by
  the random word in it, by its number on the file system, and by the time of its last change, which
  is the system's to set and no program's. A copy has others, and so has an archive that is unpacked
  in the very place of what it was made of. A directory that is moved on its file system keeps them.
- Nothing of this is secret, and nothing but starting a run again rests on it: where it cannot be
  written, a run works all the same.

All of this blocks.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

import msgspec

from distilabel.journal.description import Launch  # noqa: TC001 - msgspec looks it up

__all__ = ["KNOWN_MAX", "MARK_NAME", "forget", "how_it_was_started", "note_start"]

MARK_NAME: Final = "run.mark"
KNOWN_MAX: Final = 1000
"""As many directories are known; the one noted longest ago is forgotten first."""

_WORD: Final = re.compile(r"[0-9a-f]{32}")
_NOTE_BYTES_MAX: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class _Mark:
    """A mark as it lies in a directory."""

    word: str
    number: int
    """Its inode."""
    changed_ns: int
    """When its status was last changed (`st_ctime_ns`)."""


@dataclass(frozen=True, slots=True)
class _Note:
    """What is known of a directory."""

    mark: _Mark
    launch: Launch


def note_start(directory: Path, launch: Launch) -> None:
    """Note that this process works in a run directory, and how it was started.

    Called under the directory's lock. What cannot be noted is not: nobody has to know.
    """
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        known = _known_directory()
        known.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = _read_note(directory)
        mark = _make_mark(directory) if note is None else note.mark
        _write(known / f"{mark.word}.json", msgspec.json.encode(_Note(mark, launch)))
        _forget_oldest(known)


def how_it_was_started(directory: Path) -> Launch | None:
    """How the process was started that worked in this directory last; None: none of this user's."""
    with suppress(OSError, RuntimeError):
        note = _read_note(directory)
        return None if note is None else note.launch
    return None


def forget(directory: Path) -> None:
    """Remove the mark, and what is noted of it. The directory is being cleared away."""
    with suppress(OSError, RuntimeError):
        if _read_note(directory) is not None and (mark := _read_mark(directory)) is not None:
            (_known_directory() / f"{mark.word}.json").unlink(missing_ok=True)
    (directory / MARK_NAME).unlink(missing_ok=True)


def _known_directory() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")  # the XDG base directory specification
    state = Path(given) if given.startswith("/") else Path.home() / ".local" / "state"
    return state / "distilabel" / "known-runs"


def _read_note(directory: Path) -> _Note | None:
    """What is known of a directory, if it is the one that it is known of."""
    mark = _read_mark(directory)
    if mark is None:
        return None
    found = _read(_known_directory() / f"{mark.word}.json", _NOTE_BYTES_MAX)
    if found is None:
        return None
    text, status = found
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return None
    try:
        note = msgspec.json.decode(text, type=_Note)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return note if note.mark == mark else None


def _read_mark(directory: Path) -> _Mark | None:
    found = _read(directory / MARK_NAME, bytes_max=64)
    if found is None:
        return None
    text, status = found
    word = text.decode("ascii", "replace")
    return _Mark(word, status.st_ino, status.st_ctime_ns) if _WORD.fullmatch(word) else None


def _make_mark(directory: Path) -> _Mark:
    path = directory / MARK_NAME
    path.unlink(missing_ok=True)  # it came from elsewhere, with the rest of an archive
    _make(path, token_hex(16).encode())
    mark = _read_mark(directory)
    if mark is None:
        raise OSError(f"{path} is not there after it was written")
    return mark


def _write(path: Path, text: bytes) -> None:
    """Whole, or not at all."""
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        _make(draft, text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _make(path: Path, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.pwrite(fd, text, 0) < len(text):
            raise OSError(f"{path} cannot be written whole")
    finally:
        os.close(fd)


def _read(path: Path, bytes_max: int) -> tuple[bytes, os.stat_result] | None:
    """A plain file of its own; None: there is none, or it is longer."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            return None
        text = file.read(bytes_max + 1)
    return (text, status) if len(text) <= bytes_max else None


def _forget_oldest(known: Path) -> None:
    notes = list(known.glob("*.json"))
    if len(notes) > KNOWN_MAX:
        notes.sort(key=lambda path: path.lstat().st_mtime)
        for path in notes[:-KNOWN_MAX]:
            path.unlink(missing_ok=True)
