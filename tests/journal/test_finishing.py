"""Noting that a run is finished: whatever fails meanwhile, nothing is bought a second time."""

import asyncio
import signal
import sqlite3
import threading
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from distilabel.errors import RunStoppedError
from distilabel.journal import describe_run, read_rows
from distilabel.journal.database import Database
from distilabel.pipeline import Pipeline
from distilabel.pipeline.settings import RunSettings
from distilabel.pipeline.stopping import StopSwitch
from distilabel.pipeline.stream import open_stream
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM

ROWS = [{"input": f"row {number}"} for number in range(12)]


def writer() -> ScriptedLLM:
    """A backend whose texts differ from call to call."""
    made = iter(range(1_000))
    return ScriptedLLM(TextGenerationTask(), lambda call: f"text {next(made)}", num_threads=4)


@pytest.fixture
def while_noting(monkeypatch):
    """Has something happen where the mark is written, before that or after."""
    write = Database.write

    def arrange(happens, *, is_after: bool = False) -> None:
        def written(self, calls, rows, meta):
            is_mark = meta.get("state") == "finished"
            if is_mark and not is_after:
                happens()
            write(self, calls, rows, meta)
            if is_mark and is_after:
                happens()

        monkeypatch.setattr(Database, "write", written)

    yield arrange
    monkeypatch.undo()


def break_disk() -> None:
    """What SQLite says when a write or a sync fails."""
    raise sqlite3.OperationalError("disk I/O error")


async def by_agenerate(pipe: Pipeline, directory) -> list[str]:
    """The texts, by `agenerate`."""
    result = await pipe.agenerate(ROWS, checkpoint_dir=directory, verbose=False)
    return [row["generations"][0] for row in result]


async def by_stream(pipe: Pipeline, directory) -> list[str]:
    """The texts, by `stream`."""
    async with pipe.stream(ROWS, checkpoint_dir=directory, verbose=False, ordered=True) as rows:
        return [row["generations"][0] async for row in rows]


WAYS = pytest.mark.parametrize("ask", [by_agenerate, by_stream])


@WAYS
@pytest.mark.parametrize("is_durable", [True, False], ids=["yet written", "not written"])
async def test_a_mark_that_cannot_be_noted_costs_nobody_anything(
    while_noting, tmp_path, caplog, ask, is_durable
):
    """The rows are handed out, the log says why, and with or without the mark that is right."""
    directory = tmp_path / "run"
    while_noting(break_disk, is_after=is_durable)
    texts = await ask(Pipeline(writer()), directory)
    assert len(texts) == len(ROWS)
    assert [row.values["generations"][0] for row in read_rows(directory)] == texts
    assert str(directory) in caplog.text
    assert "disk I/O error" in caplog.text
    assert describe_run(directory).is_finished == is_durable
    if not is_durable:
        again = writer()
        assert await ask(Pipeline(again), directory) == texts
        assert again.calls == []


async def test_a_failure_before_the_last_row_is_no_finished_run(monkeypatch, tmp_path):
    """With a group that could not be written nothing is noted, though its rows may be there."""
    write, groups = Database.write, []

    def written(self, calls, rows, meta):
        write(self, calls, rows, meta)
        groups.append(len(rows))
        if sum(groups) == len(ROWS):
            break_disk()

    monkeypatch.setattr(Database, "write", written)
    with pytest.raises(Exception, match="Make room"):
        await by_agenerate(Pipeline(writer()), tmp_path / "run")
    monkeypatch.undo()
    assert not describe_run(tmp_path / "run").is_finished
    again = writer()
    assert len(await by_agenerate(Pipeline(again), tmp_path / "run")) == len(ROWS)
    assert again.calls == []


@WAYS
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
async def test_who_is_cancelled_while_it_is_noted_has_no_finished_run(
    while_noting, tmp_path, ask, is_after
):
    """The caller gets no result, so that the next run must find everything, and buys nothing."""
    is_reached, may_go_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        is_reached.set()
        assert may_go_on.wait(30)

    while_noting(hold_up, is_after=is_after)
    task = asyncio.get_running_loop().create_task(ask(Pipeline(writer()), tmp_path / "run"))
    await anyio.to_thread.run_sync(is_reached.wait, 30)
    task.cancel()
    with suppress(TimeoutError), anyio.fail_after(0):
        await anyio.sleep_forever()  # the cancellation is delivered
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not describe_run(tmp_path / "run").is_finished
    again = writer()
    assert len(await ask(Pipeline(again), tmp_path / "run")) == len(ROWS)
    assert again.calls == []


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
async def test_who_is_stopped_while_it_is_noted_has_no_finished_run(
    while_noting, tmp_path, is_after
):
    """A signal then ends the script without its data set: running it again buys nothing."""
    switch = StopSwitch()
    settings = RunSettings(checkpoint_dir=tmp_path / "run", verbose=False)
    while_noting(lambda: switch.press(signal.SIGINT), is_after=is_after)
    with suppress(RunStoppedError):
        async with open_stream(writer(), None, ROWS, settings, switch=switch) as rows:
            assert len([row async for row in rows]) == len(ROWS)
    assert switch.is_pressed
    assert not describe_run(tmp_path / "run").is_finished
    again = writer()
    assert len(await by_agenerate(Pipeline(again), tmp_path / "run")) == len(ROWS)
    assert again.calls == []


class _FailsToClose(ScriptedLLM):
    """A backend whose connections cannot be closed in order."""

    @asynccontextmanager
    async def session(self):
        async with super().session():
            yield
        raise OSError("the connection was gone")


@WAYS
async def test_what_fails_after_the_last_row_leaves_a_run_to_be_gone_on_with(tmp_path, ask):
    """Whatever raises instead of the result, the mark is not there: the next run buys nothing."""
    failing = _FailsToClose(TextGenerationTask(), "fine", num_threads=4)
    with pytest.raises(OSError, match="connection was gone"):
        await ask(Pipeline(failing), tmp_path / "run")
    assert not describe_run(tmp_path / "run").is_finished
