"""`log_to_argilla` for code that is not async; the servers here are made up."""

import signal
import threading
from contextlib import asynccontextmanager

import anyio
import pytest
from argilla_people import free_port

from distilabel.argilla import log_to_argilla
from distilabel.argilla.streaming import ROWS_WAITING_MAX, LogStatistics, RowPusher, _pushing
from distilabel.argilla.while_running import _iterated
from distilabel.errors import ArgillaError, MissingKeyError, StreamClosedError
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM
from distilabel.types import Row


def rows_of(count: int):
    """Rows of a run."""
    for index in range(count):
        yield Row({"input": f"q{index}", "generations": [f"text of {index}"]}, index=index)


class Taker:
    """Takes records while its gate is open, or fails as it was told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def open(self, layout):
        """Called for each new connection."""
        return self

    def put(self, records) -> None:
        """Takes a batch or fails."""
        self.gate.wait(60)
        if self.failures:
            raise self.failures.pop(0)
        self.taken += [record.fields["input"] for record in records]


def logged_by(taker: Taker, rows, **settings):
    """A log that pushes to a taker."""

    @asynccontextmanager
    async def opened():
        pusher = RowPusher(taker.open, **settings)
        async with _pushing(pusher):
            yield pusher

    return _iterated(rows, opened)


def wait_until(is_so) -> None:
    """Wait for a state."""
    while not is_so():
        threading.Event().wait(0.001)


def test_rows_pass_and_are_pushed():
    """Each row is handed on in order, and pushed once by the time the block is left."""
    taker = Taker()
    with logged_by(taker, rows_of(600)) as log:
        assert [row.index for row in log] == list(range(600))
    assert taker.taken == [f"q{index}" for index in range(600)]
    assert log.statistics() == LogStatistics(rows_pushed=600, rows_waiting=0, rows_missing=0)


def test_a_row_is_pushed_before_the_next_is_taken():
    """A consumer that works on one row finds it in Argilla meanwhile."""
    taker = Taker()
    with logged_by(taker, rows_of(3)) as log:
        for number, row in enumerate(log, start=1):
            wait_until(lambda so_far=number: log.statistics().rows_pushed == so_far)
            assert taker.taken[-1] == row["input"]


def test_a_slow_server_slows_the_run():
    """The buffer for a server that is slow is bounded: the consumer waits for room in it."""
    taker = Taker()
    taker.gate.clear()

    def open_when_full() -> None:
        wait_until(lambda: len(log._pusher._waiting) >= ROWS_WAITING_MAX)
        taker.gate.set()

    waiting: list[int] = []
    with logged_by(taker, rows_of(3_000)) as log:
        opening = threading.Thread(target=open_when_full)
        opening.start()
        waiting.extend(log.statistics().rows_waiting for _ in log)
        opening.join()
    assert ROWS_WAITING_MAX <= max(waiting) <= ROWS_WAITING_MAX + 256
    assert len(waiting) == len(taker.taken) == 3_000


def test_a_server_that_stays_down_stops_nothing(caplog):
    """A server that stays down holds no row up; what is missing is counted and told."""
    taker = Taker(*[ArgillaError("no answer", status=None) for _ in range(10_000)])
    with logged_by(taker, rows_of(5_000), pause_s=60.0) as log:
        assert [row.index for row in log] == list(range(5_000))
    assert log.statistics() == LogStatistics(rows_pushed=0, rows_waiting=0, rows_missing=5_000)
    first, last = [each.getMessage() for each in caplog.records if each.name == "distilabel"]
    assert "no answer The run goes on" in first
    assert "5000 rows are not in Argilla. Push the whole data set" in last


def test_an_error_of_the_block_comes_out_after_the_buffer_is_pushed():
    """An error comes out as it is, and the rows that were taken are in Argilla."""
    taker = Taker()

    def fail_after_two() -> None:
        with logged_by(taker, rows_of(10)) as log:
            next(log)
            next(log)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_two()
    assert taker.taken == ["q0", "q1"]


def test_an_interrupt_waits_for_no_server():
    """Ctrl-C leaves at once, though a request is under way that the server does not answer."""
    taker = Taker()
    taker.gate.clear()

    def press_at_the_first() -> None:
        with logged_by(taker, rows_of(10)) as log:
            next(log)
            wait_until(lambda: log.statistics().rows_waiting and not log._pusher._waiting)
            signal.raise_signal(signal.SIGINT)
            wait_until(lambda: False)

    with pytest.raises(KeyboardInterrupt):
        press_at_the_first()
    assert not taker.gate.is_set()
    assert taker.taken == []
    taker.gate.set()


def test_an_interrupt_ends_the_wait_for_room():
    """Ctrl-C reaches a consumer that waits for a slow server."""
    taker = Taker()
    taker.gate.clear()
    main = threading.get_ident()

    def press(log) -> None:
        wait_until(lambda: len(log._pusher._waiting) == ROWS_WAITING_MAX)
        signal.pthread_kill(main, signal.SIGINT)

    def take_all() -> None:
        with logged_by(taker, rows_of(3_000)) as log:
            threading.Thread(target=press, args=(log,)).start()
            assert len(list(log)) < ROWS_WAITING_MAX

    with pytest.raises(KeyboardInterrupt):
        take_all()
    assert not taker.gate.is_set()
    taker.gate.set()


def test_a_log_that_was_left_takes_no_row():
    """After its block it raises, and the row that comes next is still there."""
    rows = rows_of(3)
    with logged_by(Taker(), rows) as log:
        next(log)
    with pytest.raises(StreamClosedError, match="inside its `with` block"):
        next(log)
    assert next(rows).index == 1


def test_a_run_without_a_server(caplog):
    """A server that is not there is warned of, and the rows of the run come all the same."""
    url = f"http://127.0.0.1:{free_port()}"
    pipe = Pipeline(ScriptedLLM(TextGenerationTask(), ["text"] * 20))
    prompts = [{"input": f"q{number}"} for number in range(20)]
    with (
        pipe.iterate(prompts, verbose=False) as rows,
        log_to_argilla(rows, "x", "admin", api_url=url, api_key="a-key") as logged,
    ):
        taken = list(logged)
    assert len(rows.to_dataset(taken)) == 20
    assert logged.statistics().rows_missing == 20
    assert "no Argilla server answers" in caplog.text


def test_a_block_without_a_key():
    """A missing key is told when the block is entered, before any row is taken."""
    rows = rows_of(1)
    with pytest.raises(MissingKeyError), log_to_argilla(rows, "x", "admin"):
        pytest.fail("the block was entered")
    assert next(rows).index == 0


async def test_it_works_where_a_loop_runs():
    """In a notebook, whose thread has a running loop, rows come and are pushed as well."""
    await anyio.lowlevel.checkpoint()
    taker = Taker()
    with logged_by(taker, rows_of(5)) as log:
        assert len(list(log)) == 5
    assert len(taker.taken) == 5


def test_no_thread_is_left():
    """After the block the thread that pushed is gone."""
    before = set(threading.enumerate())
    with logged_by(Taker(), rows_of(300)) as log:
        assert len(list(log)) == 300
        assert set(threading.enumerate()) - before
    wait_until(lambda: not set(threading.enumerate()) - before)
