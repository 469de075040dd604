"""A disk that loses power: the calls of a recorded run, replayed up to a moment, then cut off.

How it works: `record` runs a program under `strace` and reads its calls on files below a directory.
A `Disk` replays them. What was written before an `fsync` or `fdatasync` began is durable once it
has ended; a name that was made or removed is durable once its directory was synced. `Disk.cut`
writes down one state that a power cut at this moment may leave: all that is durable, and of the
rest whatever chance lets through, torn at sectors, in any order within a file, and of a directory's
changes the first so many.

Not modelled: what is written through a mapping (the counters of calls in flight in `run.lock`,
which no promise rests on), and drives that lie about having synced.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

CALLS = (
    "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,fsync,fdatasync,rename,"
    "renameat,renameat2,unlink,unlinkat,ftruncate,truncate,fallocate,mkdir,mkdirat,rmdir,link,"
    "linkat,sync_file_range,copy_file_range,sendfile"
)
_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) *= (-?\d+|\?)", re.DOTALL)
_BEGUN = re.compile(r"(\w+)\((.*) <unfinished \.\.\.>", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>.*\) *= (-?\d+|\?)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)>")
_NAMING = {
    "open": "make",
    "openat": "make",
    "creat": "make",
    "mkdir": "mkdir",
    "mkdirat": "mkdir",
    "unlink": "unlink",
    "unlinkat": "unlink",
    "rename": "rename",
    "renameat": "rename",
    "renameat2": "rename",
}
"""Calls that change which names there are."""


def has_strace() -> bool:
    """Whether programs can be traced here."""
    program = [shutil.which("strace") or "strace", "-o", "/dev/null", "true"]
    try:
        return subprocess.run(program, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_strace = pytest.mark.skipif(
    not has_strace(), reason="strace is missing or not permitted: apt-get install strace"
)


@dataclass(frozen=True, slots=True)
class Event:
    """A call on a file, or a part of one."""

    kind: str
    """write, sync, synced, make, unlink, rename, truncate or ack."""
    path: str = ""
    offset: int = 0
    data: bytes = b""
    thread: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a program did."""

    root: Path
    events: list[Event]

    @property
    def acks(self) -> list[int]:
        """Where rows were acknowledged."""
        return [place for place, event in enumerate(self.events) if event.kind == "ack"]


def record(program: Path, root: Path, *arguments: object) -> Recording:
    """Run a program on a root, and note its calls.

    A line that it writes on its standard output and that begins with "ack" is an acknowledgement.
    """
    log = root.with_suffix(".strace")
    strace = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "100000000", "-o", str(log)]
    command = [*strace, "-e", f"trace={CALLS}", sys.executable, str(program), str(root)]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    events = list(_events(log, str(root)))
    log.unlink()
    return Recording(root, events)


def _events(log: Path, root: str) -> Iterator[Event]:
    begun: dict[int, str] = {}
    with log.open(encoding="ascii") as lines:
        for line in lines:
            parts = _LINE.match(line)
            assert parts is not None, line[:200]
            thread, text = int(parts[1]), parts[2]
            if (call := _BEGUN.match(text)) is not None:
                begun[thread] = call[1]
                yield from _begin(call[1], call[2], thread, root)
            elif (call := _RESUMED.match(text)) is not None:
                yield from _end(begun.pop(thread), thread, int(call[2].replace("?", "0")))
            elif (call := _CALL.match(text)) is not None:
                result = int(call[3].replace("?", "0"))
                if result >= 0:
                    yield from _begin(call[1], call[2], thread, root)
                    yield from _end(call[1], thread, result)


def _begin(name: str, text: str, thread: int, root: str) -> Iterator[Event]:
    fd = _FD.match(text)
    path = _text(fd[2]) if fd else ""
    texts = [bytes.fromhex(found.replace("\\x", "")) for found in _TEXT.findall(text)]
    if name == "write" and fd and fd[1] == "1":
        if texts[0].startswith(b"ack"):
            yield Event("ack", data=texts[0])
    elif name in _NAMING:
        place = texts[0].decode()
        is_making = _NAMING[name] != "make" or "O_CREAT" in text
        if is_making and _is_below(place, root):
            assert "O_TRUNC" not in text, text[:300]
            yield Event(_NAMING[name], place, target=texts[-1].decode())
    elif _is_below(path, root) and name not in {"lseek", "fallocate"}:
        yield _writing(name, path, text, texts, thread)


def _writing(name: str, path: str, text: str, texts: list[bytes], thread: int) -> Event:
    """A call on an open file."""
    if name in {"fsync", "fdatasync"}:
        return Event("sync", path, thread=thread)
    if name == "pwrite64":
        return Event("write", path, int(text.rpartition(",")[2]), texts[0])
    if name == "ftruncate":
        return Event("truncate", path, int(text.rpartition(",")[2]))
    raise AssertionError(f"a call that is not modelled: {name}({text[:200]}")


def _end(name: str, thread: int, result: int) -> Iterator[Event]:
    if name in {"fsync", "fdatasync"} and result == 0:
        yield Event("synced", thread=thread)


def _text(hexadecimal: str) -> str:
    return bytes.fromhex(hexadecimal.replace("\\x", "")).decode()


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/") or path == posixpath.dirname(root)


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)


class Disk:
    """Files below a root, what of them is durable, and what is not."""

    def __init__(self, root: Path, *, lies: bool = False) -> None:
        self._root = str(root)
        self._lies = lies
        self._names: dict[str, _File | None] = {}
        """What is at a path now; None: a directory."""
        self._durable_names: dict[str, _File | None] = {}
        self._pending_names: list[Event] = []
        self._syncs: dict[int, tuple[str, int]] = {}
        self._made: dict[str, list[_File | None]] = {}

    def play(self, event: Event) -> None:
        """Have a call happen."""
        kind = event.kind
        if kind == "make":
            if event.path not in self._names:
                self._names[event.path] = made = _File()
                self._pending_names.append(event)
                self._made.setdefault(event.path, []).append(made)
        elif kind == "mkdir":
            self._names[event.path] = None
            self._pending_names.append(event)
        elif kind == "unlink":
            del self._names[event.path]
            self._pending_names.append(event)
        elif kind == "rename":
            self._names[event.target] = self._names.pop(event.path)
            self._pending_names.append(event)
        elif kind in {"write", "truncate"}:
            self._file(event.path).pending.append(event)
        elif kind == "sync":
            is_file = isinstance(self._names.get(event.path), _File)
            pending = self._file(event.path).pending if is_file else self._pending_names
            self._syncs[event.thread] = (event.path, len(pending))
        elif kind == "synced" and event.thread in self._syncs:
            self._synced(*self._syncs.pop(event.thread))

    def _file(self, path: str) -> _File:
        file = self._names[path]
        assert file is not None, f"{path} is a directory"
        return file

    def _synced(self, path: str, count: int) -> None:
        if self._lies:
            return
        if isinstance(file := self._names.get(path), _File):
            for event in file.pending[:count]:
                _apply(file.durable, event)
            del file.pending[:count]
            return
        rest = []
        for place, event in enumerate(self._pending_names):
            if place < count and posixpath.dirname(event.path) == path:
                self._rename(self._durable_names, event)
            else:
                rest.append(event)
        self._pending_names = rest

    def _rename(self, names: dict[str, _File | None], event: Event) -> None:
        """Have a change of names take effect."""
        if event.kind == "mkdir":
            names[event.path] = None
        elif event.kind == "make":
            names[event.path] = self._made[event.path][-1]
        elif event.kind == "unlink":
            names.pop(event.path, None)
        elif event.path in names:
            names[event.target] = names.pop(event.path)

    def cut(self, target: Path, chance: random.Random) -> None:
        """Write down below `target` what a power cut at this moment may leave."""
        names = dict(self._durable_names)
        let_through: dict[str, int] = {}
        for event in self._pending_names:
            parent = posixpath.dirname(event.path)
            if parent not in let_through:
                count = sum(posixpath.dirname(e.path) == parent for e in self._pending_names)
                let_through[parent] = chance.randint(0, count)
            if let_through[parent]:
                let_through[parent] -= 1
                self._rename(names, event)
        for path, file in sorted(names.items()):
            place = target / posixpath.relpath(path, self._root)
            if not place.parent.is_dir():
                continue  # its directory's own name was lost
            if file is None:
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(_left(file, chance))
                place.chmod(0o600)


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        if event.offset < len(content):
            del content[event.offset :]
        else:
            content.extend(bytes(event.offset - len(content)))
        return
    end = event.offset + len(event.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[event.offset : end] = event.data


def _left(file: _File, chance: random.Random) -> bytes:
    """What is on the disk of a file: what is durable, and some of the rest."""
    content = bytearray(file.durable)
    way = chance.choice(["none", "all", "first", "last", "512", "512", "4096", "4096"])
    pending = file.pending
    if way == "none":
        return bytes(content)
    if way in {"first", "last"}:
        cut = chance.randint(0, len(pending))
        pending = pending[:cut] if way == "first" else pending[cut:]
    share = 1.0 if way in {"all", "first", "last"} else chance.choice([0.1, 0.5, 0.9, 0.98])
    sector = 512 if way == "512" else 4096
    for event in pending:
        if event.kind == "truncate":
            if chance.random() < share:
                _apply(content, event)
            continue
        for piece in _pieces(event, sector) if share < 1.0 else [event]:
            if chance.random() < share:
                _apply(content, piece)
    longest = max((e.offset + len(e.data) for e in pending if e.kind == "write"), default=0)
    if longest > len(content) and chance.random() < 0.3:
        content.extend(bytes(longest - len(content)))  # the length arrived, the data did not
    return bytes(content)


def _pieces(event: Event, sector: int) -> Iterator[Event]:
    """A write, cut at the sectors' bounds."""
    begin, data = event.offset, event.data
    while data:
        size = sector - begin % sector
        yield Event("write", event.path, begin, data[:size])
        begin, data = begin + size, data[size:]
