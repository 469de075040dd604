"""`ProgressBar`: its observer is quick, its thread shows every run to its end."""

import io
import logging
import threading

import pytest
from blockbuster import blockbuster_ctx
from datasets import ClassLabel, Dataset, Features, Value
from rich.console import Console

from distilabel.events import RunFinished, RunStarted, StageFinished, StageInfo
from distilabel.pipeline import Pipeline
from distilabel.progress import ProgressBar
from distilabel.types import RunSummary

STARTED = RunStarted(1, (StageInfo("generator", "writer", 1),))
FINISHED = RunFinished(RunSummary(), is_complete=True)
TIMEOUT_S = 10


class Paper(io.StringIO):
    """A file to write lines to."""


def on(file):
    """A console that is no terminal."""
    return Console(file=file, width=100)


def test_each_run_is_shown_to_its_end():
    """Two runs, one after another, leave the last line of each."""
    paper = Paper()
    with ProgressBar(on(paper)) as bar:
        for _ in range(2):
            for event in (STARTED, StageFinished("generator", 0), FINISHED):
                bar.observe(event)
    lines = paper.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("generator writer: 1/1 rows")
        assert line.endswith("done")


def test_a_run_that_was_left_is_shown_as_it_is():
    """Leaving the bar before the run's end shows how far it came."""
    paper = Paper()
    with ProgressBar(on(paper)) as bar:
        bar.observe(STARTED)
    assert "0/1 rows" in paper.getvalue()


def test_without_a_run_nothing_is_shown():
    """Events of no run, or none at all, leave no line."""
    paper = Paper()
    with ProgressBar(on(paper)) as bar:
        bar.observe(StageFinished("generator", 0))
    assert not paper.getvalue()


def test_a_terminal_that_hangs_holds_nobody_up():
    """The observer returns while the file that is written to does not."""
    is_writing, may_write = threading.Event(), threading.Event()

    class Hanging(Paper):
        def write(self, text):
            is_writing.set()
            may_write.wait(TIMEOUT_S)
            return super().write(text)

    paper = Hanging()
    with ProgressBar(on(paper)) as bar:
        for event in (STARTED, FINISHED):
            bar.observe(event)
        assert is_writing.wait(TIMEOUT_S)
        for event in (STARTED, StageFinished("generator", 0), FINISHED):
            bar.observe(event)
        assert not paper.getvalue()
        may_write.set()
    assert len(paper.getvalue().splitlines()) == 2


def test_a_broken_terminal_costs_no_run(caplog):
    """Where nothing can be written, the log says so and the events go on."""

    class Broken(Paper):
        def write(self, text):
            raise BrokenPipeError

    with caplog.at_level(logging.WARNING, "distilabel"), ProgressBar(on(Broken())) as bar:
        for event in (STARTED, FINISHED, STARTED, FINISHED):
            bar.observe(event)
    assert "the run goes on without it" in caplog.text


@pytest.fixture
def pipe(serve, writer, judge):
    """A pipeline with both stages over a simulated endpoint."""
    endpoint = serve()
    return Pipeline(writer(endpoint), judge(endpoint))


QUIET = {"enable_checkpoints": False, "verbose": False}
"""Nothing else is said on standard error, then."""
PROMPTS = [{"input": f"Question {number}?"} for number in range(5)]


def assert_shown(capsys):
    """Both stages were shown on standard error, and nothing elsewhere."""
    out, err = capsys.readouterr()
    assert not out
    assert "\x1b" not in err
    assert [line.split()[0] for line in err.splitlines()] == ["generator", "labeller"]
    assert err.count(": 5/5 rows") == err.count("done") == 2


def test_generate_shows_progress(pipe, capsys):
    """`display_progress_bar=True` shows both stages on standard error."""
    pipe.generate(PROMPTS, display_progress_bar=True, **QUIET)
    assert_shown(capsys)


def test_iterate_shows_progress(pipe, capsys):
    """The sync stream shows progress too."""
    with pipe.iterate(PROMPTS, display_progress_bar=True, **QUIET) as rows:
        assert len(list(rows)) == 5
    assert_shown(capsys)


async def test_stream_shows_progress_without_blocking(pipe, capsys):
    """Showing progress blocks the event loop nowhere."""
    with blockbuster_ctx("distilabel.progress"):
        async with pipe.stream(PROMPTS, display_progress_bar=True, **QUIET) as rows:
            assert len([row async for row in rows]) == 5
    assert_shown(capsys)


async def test_a_stream_that_is_left_stops_its_bar(pipe, capsys):
    """Leaving early ends the bar's thread, and the last line says that the run was stopped."""
    async with pipe.stream(PROMPTS * 40, display_progress_bar=True, **QUIET) as rows:
        await anext(rows)
    assert "progress-bar" not in {thread.name for thread in threading.enumerate()}
    assert capsys.readouterr().err.endswith("stopped\n")


def test_no_progress_is_shown_unasked(pipe, capsys):
    """Without `display_progress_bar` nothing is written anywhere."""
    pipe.generate(PROMPTS, **QUIET)
    assert capsys.readouterr() == ("", "")


def test_the_bar_follows_any_observer(pipe):
    """A bar of one's own is given to `on_event`."""
    paper = Paper()
    with ProgressBar(on(paper)) as bar:
        pipe.generate(PROMPTS, on_event=bar.observe, **QUIET)
    assert paper.getvalue().count("5/5 rows") == 2


async def test_rows_of_a_stream_make_a_data_set(pipe):
    """Rows taken in any order become the data set that `agenerate` would have made."""
    async with pipe.stream(PROMPTS, seed=1, **QUIET) as rows:
        taken = [row async for row in rows]
    dataset = rows.to_dataset(reversed(taken))
    assert dataset["input"] == [prompt["input"] for prompt in PROMPTS]
    assert (dataset.task, dataset.run) == (pipe.labeller.task, rows.run)
    whole = await pipe.agenerate(PROMPTS, seed=1, **QUIET)
    assert dataset.features == whole.features
    assert dataset.to_list() == whole.to_list()


def test_rows_of_a_data_set_keep_its_types(pipe):
    """What came as a `datasets.Dataset` keeps its own columns as they were."""
    features = Features({"input": Value("string"), "kind": ClassLabel(names=["a", "b"])})
    source = Dataset.from_dict({"input": ["x?", "y?"], "kind": [1, 0]}, features=features)
    with pipe.iterate(source, **QUIET) as rows:
        dataset = rows.to_dataset(list(rows))
    assert dataset.features["kind"] == features["kind"]
    assert dataset["kind"] == [1, 0]
