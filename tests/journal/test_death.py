"""A process dies, or its disk is full: what was acknowledged is there."""

import random
import signal

import pytest
from journal_kit import RUN, call, files, key, row, run_program, running

from distilabel.journal import describe_run, open_journal, read_rows

WORK = """
import asyncio, sys
import anyio
from journal_kit import *
from distilabel.errors import JournalWriteError
from distilabel.journal import open_journal
ROWS, AT_ONCE, TEXT = int(sys.argv[2]), int(sys.argv[3]), "x" * 1500
async def work(journal, numbers):
    for number in numbers:
        journal.sent()
        await anyio.lowlevel.checkpoint()
        journal.put_call(call(number, TEXT))
        await journal.put_row(row(number, TEXT))
        print(number, flush=True)
async def main():
    try:
        async with open_journal(sys.argv[1], identity=RUN) as journal:
            for _ in range(3):
                journal.sent()  # never come back
            numbers = iter(range(ROWS))
            async with anyio.create_task_group() as group:
                for _ in range(AT_ONCE):
                    group.start_soon(work, journal, numbers)
            await journal.finish()
    except* JournalWriteError as error:
        print(len(error.exceptions), "waiters:", error.exceptions[0])
        sys.exit(5)
asyncio.run(main())
"""


async def check(directory, acknowledged) -> int:
    """See that every row that was acknowledged is there, with its call; how many rows there are."""
    rows = {record.index: record for record in read_rows(directory)}
    assert set(acknowledged) <= set(rows)
    async with open_journal(directory, identity=RUN) as journal:
        assert journal.found.rows == len(rows)
        assert 3 <= journal.found.in_flight_at_end <= 3 + 8
        for number, record in rows.items():
            assert record == row(number, "x" * 1500)
            assert await journal.find(key(number)) == call(number, "x" * 1500)
    return len(rows)


@pytest.mark.parametrize("seed", range(10))
async def test_no_acknowledged_row_is_lost_to_a_kill(tmp_path, seed):
    """SIGKILL at any moment: each row that was reported done is there, with the calls before it."""
    enough = random.Random(seed).randrange(1, 400)
    acknowledged = []
    with running(WORK, tmp_path / "run", 1_000_000, 8) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(int(line))
            if len(acknowledged) == enough:
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert len(acknowledged) >= enough
    await check(tmp_path / "run", [number for number in acknowledged if number < 1_000_000])


@pytest.mark.parametrize(
    "point",
    [
        "open",
        "enqueue:1",
        "enqueue:41",
        "before_begin:2",
        "before_begin:7",
        "after_begin:7",
        "before_commit:1",
        "before_commit:2",
        "before_commit:7",
        "after_commit:1",
        "after_commit:7",
        "close",
    ],
)
async def test_no_acknowledged_row_is_lost_wherever_the_process_dies(tmp_path, point):
    """A process that dies at a named point leaves a journal that opens, with all it had told."""
    died = run_program(WORK, tmp_path / "run", 200, 4, DISTILABEL_FAILPOINT=point)
    assert died.returncode == 77, died.stderr
    acknowledged = [int(line) for line in died.stdout.split()]
    if point in {"open", "enqueue:1", "before_commit:1", "after_commit:1", "before_begin:2"}:
        assert not acknowledged
    rows = {record.index for record in read_rows(tmp_path / "run")} if point != "open" else set()
    assert rows >= set(acknowledged)
    async with open_journal(tmp_path / "run", identity=RUN, resume="always") as journal:
        for number in rows:
            assert await journal.find(key(number)) is not None
    assert files(tmp_path / "run") == ["journal.sqlite", "run.lock"]


async def test_a_process_that_dies_while_archiving_loses_nothing(tmp_path):
    """The other run's journal is there, under its old name or its new one."""
    from journal_kit import OTHER_RUN

    async with open_journal(tmp_path / "run", identity=OTHER_RUN) as journal:
        journal.put_call(call(1))
    died = run_program(WORK, tmp_path / "run", 5, 1, DISTILABEL_FAILPOINT="archive_rename")
    assert died.returncode == 77, died.stderr
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        assert await journal.find(key(1)) == call(1)


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"


async def test_a_full_disk_stops_the_run_and_keeps_what_was_acknowledged(tmp_path):
    """A clear error with the path; more room, and the run goes on where it stopped."""
    stopped = run_program(FULL + WORK, tmp_path / "run", 100_000, 8)
    assert stopped.returncode == 5, stopped.stderr
    *numbers, last = stopped.stdout.splitlines()
    assert str(tmp_path / "run" / "journal.sqlite") in last
    assert "cannot be written" in last
    assert "run again" in last
    assert last.startswith("8 waiters")
    assert len(numbers) > 20
    kept = await check(tmp_path / "run", [int(number) for number in numbers])
    assert kept < 1_000
    finished = run_program(WORK, tmp_path / "run", 300, 8)
    assert finished.returncode == 0, finished.stderr
    info = describe_run(tmp_path / "run")
    assert (info.is_finished, info.rows) == (True, 300)


def test_a_disk_that_is_full_at_the_start_is_named(tmp_path):
    """Nothing was spent: the error says where there is no room."""
    text = FULL.replace("400_000", "6_000") + WORK
    stopped = run_program(text, tmp_path / "run", 10, 1)
    assert stopped.returncode == 1
    assert "JournalError" in stopped.stderr
    assert str(tmp_path / "run") in stopped.stderr
