"""Rows of a stream on their way to a server that is slow, down, or says no; all made up."""

import threading

import anyio
import pytest
from argilla_people import free_port

from distilabel.argilla import log_to_argilla
from distilabel.argilla.streaming import ROWS_WAITING_MAX, ArgillaLog, LogStatistics
from distilabel.errors import ArgillaError, MissingKeyError
from distilabel.types import Row


async def stream(count: int, *, generations: int = 2):
    """Rows of a run."""
    for index in range(count):
        await anyio.lowlevel.checkpoint()
        texts = [f"text {number} of {index}" for number in range(generations)]
        yield Row({"input": f"q{index}", "generations": texts}, index=index)


class Taker:
    """Takes records, as its `failures` say; and only while its gate is open."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[str] = []
        self.layouts = []
        self.gate = threading.Event()
        self.gate.set()

    def open(self, layout):
        """Called for each new connection."""
        self.layouts.append(layout)
        return self

    def put(self, records) -> None:
        """Takes a batch or fails."""
        self.gate.wait(30)
        if self.failures:
            raise self.failures.pop(0)
        self.taken += [record.fields["input"] for record in records]


def down() -> ArgillaError:
    """What a server that does not answer raises."""
    return ArgillaError("no answer", status=None)


async def consume(log: ArgillaLog) -> list[int]:
    """All rows of a log, which is closed and waited for at the end."""
    async with anyio.create_task_group() as group:
        group.start_soon(log.push)
        indices = [row.index async for row in log]
        log.close()
    return indices


async def test_rows_pass_and_are_pushed():
    """Each row is handed on in order, and pushed once."""
    taker = Taker()
    log = ArgillaLog(stream(600), taker.open)
    assert await consume(log) == list(range(600))
    assert taker.taken == [f"q{i}" for i in range(600)]
    assert len(taker.layouts) == 1
    assert log.statistics() == LogStatistics(rows_pushed=600, rows_waiting=0, rows_missing=0)


async def test_a_slow_server_slows_the_run():
    """The buffer for a server that is slow is bounded: the consumer waits for room in it."""
    taker = Taker()
    taker.gate.clear()
    log = ArgillaLog(stream(3_000), taker.open)
    seen = []

    async def read() -> None:
        async for row in log:
            seen.append(row.index)  # noqa: PERF401  # it is looked at while it grows
        log.close()

    async with anyio.create_task_group() as group:
        group.start_soon(log.push)
        group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        assert len(log._waiting) == ROWS_WAITING_MAX
        assert len(seen) <= ROWS_WAITING_MAX + 256
        taker.gate.set()
    assert len(seen) == len(taker.taken) == 3_000


async def test_a_server_that_comes_back(caplog):
    """A server that failed is tried again, and warned of once."""
    taker = Taker(down(), down(), ArgillaError("busy", status=503))
    log = ArgillaLog(stream(5), taker.open, pause_s=0.0)

    async with anyio.create_task_group() as group:
        group.start_soon(log.push)
        async for _ in log:
            pass
        while len(taker.taken) < 5:  # the end of the block would be the last try
            await anyio.lowlevel.checkpoint()
        log.close()
    assert log.statistics() == LogStatistics(rows_pushed=5, rows_waiting=0, rows_missing=0)
    assert len([each for each in caplog.records if each.name == "distilabel"]) == 1


async def test_a_server_that_stays_down(caplog):
    """A server that stays down holds no row up; what is missing is counted and told."""
    taker = Taker(*[down() for _ in range(10_000)])
    log = ArgillaLog(stream(5_000), taker.open, pause_s=60.0)
    assert await consume(log) == list(range(5_000))
    assert log.statistics() == LogStatistics(rows_pushed=0, rows_waiting=0, rows_missing=5_000)
    first, last = [each.getMessage() for each in caplog.records if each.name == "distilabel"]
    assert "no answer The run goes on" in first
    assert "5000 rows are not in Argilla. Push the whole data set" in last


async def test_a_refusal_ends_the_pushing(caplog):
    """What the server refuses is not sent again, and the run goes on."""
    taker = Taker(ArgillaError("refused", status=422))
    log = ArgillaLog(stream(1_000), taker.open)
    assert len(await consume(log)) == 1_000
    assert taker.taken == []
    assert log.statistics().rows_missing == 1_000
    assert "no more rows are pushed" in caplog.text


async def test_rows_that_cannot_be_records(caplog):
    """Rows without texts are handed on, and it is told that none can be pushed."""
    taker = Taker()
    log = ArgillaLog(stream(10, generations=0), taker.open)
    assert len(await consume(log)) == 10
    assert log.statistics().rows_missing == 10
    assert "nothing to push" in caplog.text


async def test_rows_with_more_texts_are_missing():
    """A row with more texts than the data set has fields for is counted as missing."""
    taker = Taker()
    log = ArgillaLog(stream(4, generations=3), taker.open, num_generations=2)
    await consume(log)
    assert log.statistics() == LogStatistics(rows_pushed=0, rows_waiting=0, rows_missing=4)


async def test_being_cancelled_waits_for_no_server():
    """A log that is cancelled ends at once, while its request is still held by the server."""
    taker = Taker()
    taker.gate.clear()
    log = ArgillaLog(stream(10), taker.open)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(log.push)
            async for _ in log:
                pass
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    taker.gate.set()
    assert log.statistics().rows_pushed == 0


async def test_a_block_without_a_server(caplog):
    """A server that is not there is warned of, and the rows come all the same."""
    url = f"http://127.0.0.1:{free_port()}"
    async with log_to_argilla(stream(20), "x", "admin", api_url=url, api_key="a-key") as logged:
        indices = [row.index async for row in logged]
    assert indices == list(range(20))
    assert logged.statistics().rows_missing == 20
    assert "no Argilla server answers" in caplog.text


async def test_a_block_without_a_key():
    """A missing key is told when the block is entered, before any row."""
    with pytest.raises(MissingKeyError):
        async with log_to_argilla(stream(1), "x", "admin"):
            pytest.fail("the block was entered")


async def test_an_error_of_the_block_comes_out():
    """An error raised inside comes out as it is, not in a group."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ZeroDivisionError):
        async with log_to_argilla(stream(3), "x", "admin", api_url=url, api_key="k"):
            raise ZeroDivisionError
