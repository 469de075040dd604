"""Disks that are full or broken: the run stops, keeps what it handed out, and says what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from disk_child import PERMITS, run_of

from distilabel.errors import JournalError, JournalWriteError
from distilabel.journal import read_rows
from distilabel.pipeline import Pipeline
from distilabel.testing import Latency

CHILD = Path(__file__).with_name("disk_child.py")
ROWS = 100


def told_by(*command: object) -> dict:
    """What a run in a process of its own says."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hold(told: dict, directory: Path) -> None:
    """The run stopped in order, what it handed out is there, and the next one does the rest."""
    acked = {int(index): text for index, text in told["acked"].items()}
    if told["error"]:
        assert str(directory) in told["message"]
        assert told["path"].startswith(str(directory))
        assert "make room" in told["message"].lower()
        assert told["calls"] <= len(acked) + 3 * PERMITS
    if acked:
        kept = {row.index: row.values["generations"][0] for row in read_rows(directory)}
        assert {index: kept[index] for index in acked} == acked
    pipe, llm, source = run_of(ROWS)
    results = pipe.generate(source, checkpoint_dir=directory, verbose=False)
    assert results.run.rows == ROWS
    if told["error"]:
        assert len(llm.calls) <= ROWS - len(acked)
        assert {index: results[index]["generations"][0] for index in acked} == acked


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, and how to make it larger."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def grow(disk: Path) -> None:
    """Make room."""
    subprocess.run(["mount", "-o", "remount,size=64M", str(disk)], check=True)


def test_a_run_on_a_full_disk_stops_and_goes_on_once_there_is_room(small_disk):
    """All that was handed out is there, read on the full disk itself and reused by the next run."""
    told = told_by(sys.executable, CHILD, small_disk / "run", ROWS, 0)
    assert told["error"] == "JournalWriteError"
    assert "full" in told["message"]
    assert len(told["acked"]) > 10
    kept = {str(row.index): row.values["generations"][0] for row in read_rows(small_disk / "run")}
    assert {index: kept[index] for index in told["acked"]} == told["acked"]
    grow(small_disk)
    hold(told, small_disk / "run")


def test_a_disk_that_stays_full_is_said_again_and_again(small_disk):
    """Run again without room, it buys nothing that it could not keep, and says the same."""
    directory = small_disk / "run"
    told_by(sys.executable, CHILD, directory, ROWS, 0)
    calls = 0
    for _ in range(3):
        told = told_by(sys.executable, CHILD, directory, ROWS, 0)
        assert told["error"] in {"JournalWriteError", "JournalError"}
        assert str(directory) in told["message"]
        assert "make room" in told["message"].lower()
        calls += told["calls"]
    assert calls <= 3 * 3 * PERMITS
    grow(small_disk)
    hold(told, directory)


async def test_dispatch_stops_with_the_first_write_that_fails(small_disk, serve, writer):
    """By the endpoint's ledger: after the failure no more is sent than was about to be."""
    endpoint = serve(latency=Latency.constant(0.02), reply=lambda request: "x" * 8_000)
    source = [{"input": f"row {number}"} for number in range(1_000)]
    done = []
    stream = Pipeline(writer(endpoint, num_threads=8)).stream(
        source, checkpoint_dir=small_disk / "run", verbose=False
    )
    with pytest.raises(JournalWriteError, match="Make room") as failure:  # noqa: PT012
        async with stream as results:
            async for row in results:
                done.append(row)  # noqa: PERF401 - those before the error count
    assert failure.value.path == small_disk / "run" / "journal.sqlite"
    assert endpoint.ledger.requests <= len(done) + 3 * 8
    assert endpoint.ledger.in_flight == 0
    grow(small_disk)
    results = await Pipeline(writer(endpoint, num_threads=8)).agenerate(
        source[:60], checkpoint_dir=small_disk / "run", verbose=False
    )
    assert results.run.rows_failed == 0


@pytest.mark.parametrize(
    "bytes_max",
    [
        200_000,
        *(
            pytest.param(size, marks=pytest.mark.campaign)
            for size in (4_096, 5_000, 20_000, 50_001, 100_000, 150_000, 300_000, 400_000)
        ),
    ],
)
def test_a_run_whose_files_may_not_grow_stops_and_is_resumed(tmp_path, bytes_max):
    """RLIMIT_FSIZE, as a quota would have it."""
    directory = tmp_path / "run"
    told = told_by(sys.executable, CHILD, directory, ROWS, bytes_max)
    assert told["error"] in {"JournalWriteError", "JournalError"}
    hold(told, directory)


def has_injection() -> bool:
    """Whether `strace` is there and can have system calls fail."""
    command = ["strace", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_injection = pytest.mark.skipif(
    not has_injection(), reason="strace is missing or not permitted: apt-get install strace"
)
SHORT = [5, 60]
FULL = [number for number in range(1, 200, 3) if number not in SHORT]
NUMBERS = [*SHORT, *(pytest.param(number, marks=pytest.mark.campaign) for number in FULL)]


@needs_injection
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("call", "errno", "lasts"),
    [
        ("pwrite64", "ENOSPC", True),
        ("pwrite64", "EIO", False),
        ("fdatasync", "EIO", True),
        ("fdatasync", "EIO", False),
    ],
    ids=["full", "one bad write", "no sync", "one bad sync"],
)
def test_the_nth_write_fails(tmp_path, call, errno, lasts, number):
    """Whichever system call fails, once or from then on, nothing that was handed out is lost."""
    directory = tmp_path / "run"
    when = f"{number}+" if lasts else f"{number}"
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={errno}:when={when}"]
    command = ["strace", "-f", "-o", "/dev/null", *inject, sys.executable, CHILD]
    told = told_by(*command, directory, ROWS, 0)
    hold(told, directory)


async def test_a_write_that_fails_ends_the_run_although_later_ones_would_succeed(
    monkeypatch, tmp_path
):
    """After one failed group nothing is written or handed out: its rows would be missing."""
    import sqlite3

    from distilabel.journal.database import Database

    write, calls = Database.write, []

    def sometimes(self, *arguments):
        calls.append(len(arguments))
        if len(calls) == 6:
            raise sqlite3.OperationalError("disk I/O error")
        write(self, *arguments)

    monkeypatch.setattr(Database, "write", sometimes)
    pipe, llm, source = run_of(ROWS)
    done = []
    with pytest.raises(JournalWriteError):  # noqa: PT012
        async with pipe.stream(source, checkpoint_dir=tmp_path / "run", verbose=False) as results:
            async for row in results:
                done.append(row)  # noqa: PERF401 - those before the error count
    assert len(calls) == 6
    assert len(llm.calls) <= len(done) + 3 * PERMITS
    monkeypatch.undo()
    kept = {row.index for row in read_rows(tmp_path / "run")}
    assert kept >= {row.index for row in done}


def test_a_directory_that_cannot_be_written_is_said_before_anything_is_bought(tmp_path):
    """A file in the place of the directory, or a read-only file system: no call is made."""
    (tmp_path / "file").write_text("x")
    pipe, llm, source = run_of(ROWS)
    with pytest.raises(JournalError, match="Choose another"):
        pipe.generate(source, checkpoint_dir=tmp_path / "file" / "run", verbose=False)
    with pytest.raises(JournalError, match=r"Name the directory|Choose"):
        pipe.generate(source, checkpoint_dir=tmp_path / "file", verbose=False)
    assert llm.calls == []
