"""The writer: order, groups, failures, cancellation."""

import asyncio
import sqlite3
import threading

import anyio
import pytest
from journal_kit import RUN, call, key, row

from distilabel.errors import JournalError, JournalWriteError
from distilabel.journal import open_journal
from distilabel.journal.database import Database
from distilabel.journal.writer import GROUP_BYTES_MAX, GROUP_RECORDS_MAX


class Disk:
    """Stands where the journal writes: can hold a commit up, have it fail, and remembers all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.groups: list[tuple[list[int], list[int]]] = []
        self.is_writing = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.fails: Exception | None = None
        self.committed_rows: set[int] = set()
        self.write = Database.write

        def write(database, calls, rows, meta) -> None:
            self._write(database, calls, rows, meta)

        monkeypatch.setattr(Database, "write", write)

    def _write(self, database, calls, rows, meta) -> None:
        if not calls and not rows and "started" in meta:  # the run's description, at its opening
            self.write(database, calls, rows, meta)
            return
        self.is_writing.set()
        assert self.free.wait(20)
        self.groups.append(([c[1] for c in calls], [r[0] for r in rows]))
        if self.fails is not None:
            raise self.fails
        self.write(database, calls, rows, meta)
        self.committed_rows.update(r[0] for r in rows)


@pytest.fixture
def disk(monkeypatch):
    """The disk under the journal."""
    return Disk(monkeypatch)


@pytest.fixture
def held_up(disk):
    """A disk that is held up; let go of at the end, whatever happens."""
    disk.free.clear()
    yield disk
    disk.free.set()


async def test_what_gathers_is_the_next_group(tmp_path, held_up):
    """No timer: while one commit runs, all that is put gathers, up to the most of a group."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        async with anyio.create_task_group() as group:
            group.start_soon(journal.put_row, row(0))
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(held_up.is_writing.wait)
            for number in range(1, 301):
                group.start_soon(journal.put_row, row(number))
            await anyio.wait_all_tasks_blocked()
            held_up.free.set()
        statistics = journal.statistics().writer
    assert [len(rows) for _, rows in held_up.groups] == [1, GROUP_RECORDS_MAX, 300 - 256]
    assert (statistics.rows, statistics.groups, statistics.waiting) == (301, 3, 0)


async def test_a_group_is_bounded_in_bytes(tmp_path, held_up):
    """A few long records are a group of their own."""
    long = "x" * (GROUP_BYTES_MAX // 3)
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        journal.put_call(call(0))
        await anyio.to_thread.run_sync(held_up.is_writing.wait)
        for number in range(1, 7):
            journal.put_call(call(number, long))
        held_up.free.set()
        await journal.put_row(row(7))
    assert [calls for calls, _ in held_up.groups] == [[0], [1, 2, 3], [4, 5, 6], []]


async def test_what_is_put_is_written_in_order(tmp_path, disk):
    """A row's group, or one before, has every call that was put before the row."""
    async with (
        open_journal(tmp_path / "run", identity=RUN) as journal,
        anyio.create_task_group() as group,
    ):
        for number in range(2_000):
            journal.put_call(call(number))
            group.start_soon(journal.put_row, row(number))
            if number % 7 == 0:
                await anyio.lowlevel.checkpoint()
    calls = [number for calls, _ in disk.groups for number in calls]
    assert calls == sorted(calls)
    written: set[int] = set()
    for some_calls, some_rows in disk.groups:
        written.update(some_calls)
        assert written.issuperset(some_rows)


async def test_a_row_is_acknowledged_after_its_commit(tmp_path, disk):
    """Whoever sees `put_row` return finds the row committed."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:

        async def put(number: int) -> None:
            await journal.put_row(row(number))
            assert number in disk.committed_rows

        async with anyio.create_task_group() as group:
            for number in range(500):
                group.start_soon(put, number)


async def test_a_group_is_news_once(tmp_path, held_up, monkeypatch):
    """All waiters of a group are told by one call into their loop."""
    loop = asyncio.get_running_loop()
    told = 0
    original = loop.call_soon_threadsafe

    def counted(*arguments):
        nonlocal told
        told += 1
        return original(*arguments)

    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(journal.put_row, row(number))
            await anyio.wait_all_tasks_blocked()
            held_up.free.set()
        assert told <= 2


async def test_a_failed_write_ends_all_writing(tmp_path, disk):
    """What was acknowledged stays; who waits and who puts later gets the error; nothing follows."""
    failures: list[JournalWriteError] = []
    threads: list[threading.Thread] = []

    def on_failure(error: JournalWriteError) -> None:
        failures.append(error)
        threads.append(threading.current_thread())

    async with open_journal(tmp_path / "run", identity=RUN, on_failure=on_failure) as journal:
        journal.sent()
        journal.put_call(call(0))
        await journal.put_row(row(0))
        disk.fails = sqlite3.OperationalError("disk I/O error")
        refused: list[JournalWriteError] = []

        async def put(number: int) -> None:
            with pytest.raises(JournalWriteError) as refusal:
                await journal.put_row(row(number))
            refused.append(refusal.value)

        journal.sent()
        journal.put_call(call(1))
        async with anyio.create_task_group() as group:
            for number in range(1, 20):
                group.start_soon(put, number)
        tries = len(disk.groups)
        disk.fails = None
        with pytest.raises(JournalWriteError, match="disk I/O error") as refusal:
            journal.put_call(call(20))
        assert refusal.value.path == journal.directory / "journal.sqlite"
        assert isinstance(refusal.value.__cause__, sqlite3.OperationalError)
        assert not await journal.finish()
        assert len({id(error) for error in refused}) == 19
        assert journal.failure is not None
        assert [r.index for r in await journal.read_rows()] == [0]
    assert len(disk.groups) == tries
    assert len(failures) == 1
    assert threads == [threading.current_thread()]
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        assert (journal.found.calls, journal.found.rows) == (1, 1)
        assert journal.found.in_flight_at_end == 1
        assert await journal.find(key(0)) == call(0)


async def test_a_row_whose_waiter_is_cancelled_is_written(tmp_path, held_up):
    """Cancelling the wait takes nothing back, and leaves nothing behind."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        async with anyio.create_task_group() as group:
            group.start_soon(journal.put_row, row(3))
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        held_up.free.set()
        assert [r.index for r in await journal.read_rows()] == [3]
        assert journal.statistics().writer.waiting == 0


async def test_leaving_writes_what_was_put(tmp_path, held_up):
    """Calls that no row followed are on disk after the block, also if it is cancelled."""
    with anyio.CancelScope() as scope:
        async with open_journal(tmp_path / "run", identity=RUN) as journal:
            for number in range(10):
                journal.put_call(call(number))
            threading.Timer(0.05, held_up.free.set).start()
            scope.cancel()
            await anyio.sleep_forever()
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        assert journal.found.calls == 10


async def test_a_disk_that_hangs_does_not_hold_the_run_for_ever(
    tmp_path, held_up, monkeypatch, caplog
):
    """Leaving gives up after a deadline, and says so."""
    monkeypatch.setattr("distilabel.journal.journal._CLOSE_S_MAX", 0.01)
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        journal.put_call(call(0))
    assert "not on disk" in caplog.text
    thread = next(t for t in threading.enumerate() if t.name == "distilabel-journal")
    held_up.free.set()
    await anyio.to_thread.run_sync(thread.join)


async def test_a_closed_journal_refuses(tmp_path):
    """Whoever keeps a journal beyond its block is told."""
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        await journal.put_row(row(0))
    with pytest.raises(JournalError, match="was closed"):
        journal.put_call(call(1))
    with pytest.raises(JournalError, match="was closed"):
        await journal.put_row(row(1))
    with pytest.raises(JournalError, match="was closed"):
        await journal.read_rows()
    assert journal.statistics().writer.rows == 1


async def test_opening_can_be_cancelled(tmp_path, monkeypatch):
    """Cancelled while the files are opened, nothing stays open or locked."""
    from distilabel.journal import journal as module

    gate, open_run = threading.Event(), module.open_run

    def slow(opening):
        assert gate.wait(20)
        return open_run(opening)

    monkeypatch.setattr(module, "open_run", slow)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel() -> None:
                scope.cancel()
                gate.set()

            group.start_soon(cancel)
            async with open_journal(tmp_path / "run", identity=RUN):
                pytest.fail("it was opened")
    monkeypatch.setattr(module, "open_run", open_run)
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        assert journal.found.is_new


def test_a_loop_that_is_gone_does_not_stop_the_thread(tmp_path, held_up):
    """The loop is closed while a commit runs: the thread writes, closes and unlocks by itself."""
    loop = asyncio.new_event_loop()

    async def start():
        journal = open_journal(tmp_path / "run", identity=RUN)
        opened = await journal.__aenter__()
        opened.put_call(call(0))
        opened._writer.close()
        return journal

    kept = loop.run_until_complete(start())
    thread = next(t for t in threading.enumerate() if t.name == "distilabel-journal")
    loop.close()
    held_up.free.set()
    thread.join(20)
    assert not thread.is_alive()
    assert held_up.groups == [([0], [])]
    with pytest.raises(RuntimeError):
        kept.gen.aclose().send(None)
