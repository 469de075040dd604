"""The data set of what a run has finished, whatever became of the run."""

import datetime as dt
import os
import random
import signal
import time
from types import SimpleNamespace

import pytest
from datasets import ClassLabel, Dataset, Features, IterableDataset, List, Value
from runs_kit import HANGING, finish, leave_early, questions, read_indices, running

from distilabel import runs
from distilabel.dataset import CustomDataset
from distilabel.errors import RunLockedError
from distilabel.journal import lock
from distilabel.runs.details import opened_run
from distilabel.tasks import TextGenerationTask


def name() -> str:
    """The run that was written last."""
    return runs.list_runs()[0].name


def rows_of(dataset) -> list[dict]:
    """The rows of a data set."""
    return list(dataset)


def test_a_killed_run_is_exported_by_another_process():
    """After SIGKILL in mid-way, exactly the rows that were acknowledged are there, in order."""
    with running(HANGING, 40, 7) as process:
        acknowledged = read_indices(process, 7)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    dataset = runs.export(name())
    assert dataset["number"] == sorted(acknowledged) == list(range(7))
    assert dataset["generations"] == [[f"answer {number}"] for number in range(7)]
    assert dataset.column_names[:2] == ["input", "number"]
    assert dataset.run.rows == 7


@pytest.mark.parametrize("seed", range(4))
def test_no_acknowledged_row_is_missing_after_a_kill_at_full_speed(seed):
    """Killed at any moment, all rows that were acknowledged are there, and each is its input's."""
    enough = random.Random(seed).randrange(1, 200)
    with running(HANGING, 5_000, 5_000) as process:
        acknowledged = set(read_indices(process, enough))
        process.send_signal(signal.SIGKILL)
        process.wait()
    numbers = runs.export(name())
    assert acknowledged <= set(numbers["number"])
    assert numbers["number"] == sorted(numbers["number"])
    for row in numbers:
        assert (row["input"], row["generations"]) == (
            f"q{row['number']}",
            [f"answer {row['number']}"],
        )


def test_a_live_run_is_refused_at_once():
    """While a process works there, an export is refused in under a second, naming the process."""
    with running(HANGING, 40, 3) as process:
        read_indices(process, 3)
        place = name()
        began_s = time.perf_counter()
        with pytest.raises(RunLockedError, match=f"process {process.pid} ") as caught:
            runs.export(place)
        assert time.perf_counter() - began_s < 1
        assert caught.value.holder_pid == process.pid


@pytest.mark.parametrize("is_dataset", [False, True])
def test_a_finished_run_is_exported_as_it_came_out(is_dataset):
    """The export of a finished run equals its result: rows, columns, their order and types."""
    rows = questions(5)
    result = finish(Dataset.from_list(rows) if is_dataset else rows, num_generations=2)
    exported = runs.export(name())
    assert rows_of(exported) == rows_of(result)
    assert exported.features == result.features
    assert list(exported.features) == list(result.features)
    assert isinstance(exported, CustomDataset)
    assert isinstance(exported.task, TextGenerationTask)


def test_columns_of_the_run_have_types_without_a_value():
    """Where every row failed, the columns have the types that they always have."""
    whole = finish(questions(2), num_generations=2)
    finish(questions(4), num_generations=2, fails=range(4))
    failed = runs.export(name())
    assert failed["generations"] == [[None, None]] * 4
    assert failed.features == whole.features
    assert failed.run.failed_by_cause == {"context_length": 4}


DECLARED = Features(
    {
        "input": Value("string"),
        "number": Value("int32"),
        "texts": List(Value("string")),
        "kind": ClassLabel(names=["a", "b"]),
        "when": Value("timestamp[ms]"),
        "pair": {"left": Value("float32"), "right": List(Value("int8"))},
        "pairs": List({"left": Value("string")}),
        "raw": Value("binary"),
        "never": Value("float16"),
    }
)


def declared(total: int) -> Dataset:
    """Rows of declared types; all but the last have None where they can."""
    empty = dict.fromkeys(DECLARED)
    full = {
        "texts": ["x", None],
        "kind": 1,
        "when": dt.datetime(2026, 1, 2, 3, 4, 5, 6000),  # noqa: DTZ001 - as Arrow has it
        "pair": {"left": 0.5, "right": [1, None]},
        "pairs": [{"left": "y"}, {"left": None}],
        "raw": b"\x00\xff",
    }
    rows = [{**empty, **row} for row in questions(total)]
    rows[-1] |= full
    return Dataset.from_list(rows, features=DECLARED)


@pytest.mark.parametrize("after", [1, 3])
def test_columns_of_the_user_have_declared_types(after):
    """A partial data set has the declared types, also where all that is done so far is None."""
    rows = declared(3)
    leave_early(rows, after=after, hangs_from=after)
    exported = runs.export(name())
    assert {key: exported.features[key] for key in DECLARED} == DECLARED
    assert rows_of(exported.select_columns(list(DECLARED))) == rows_of(rows.select(range(after)))


def test_an_iterable_data_set_s_types_are_declared_too():
    """Of a source that is read as it goes, the features are kept, where it has some."""
    rows = IterableDataset.from_generator(lambda: iter(declared(3)), features=DECLARED)
    leave_early(rows, after=1, hangs_from=1)
    exported = runs.export(name())
    assert {key: exported.features[key] for key in DECLARED} == DECLARED


def test_a_run_without_rows_has_its_columns():
    """With nothing finished yet, the data set is empty and has all columns and types."""
    leave_early(declared(3), after=0, hangs_from=0)
    exported = runs.export(name())
    assert len(exported) == 0
    assert {key: exported.features[key] for key in DECLARED} == DECLARED
    assert exported.features["generations"] == List(Value("string"))


def test_a_column_that_was_never_kept_is_left_out():
    """Columns that could not be kept on disk do not come back as columns of nothing."""

    class Odd:
        pass

    leave_early([{"input": "q0", "odd": Odd()}, {"input": "q1", "odd": Odd()}], after=1)
    assert "odd" not in runs.export(name()).column_names


def test_rows_that_the_source_no_longer_has_are_left_out():
    """A source that was longer when the run was begun leaves no rows behind in the end."""
    leave_early(iter(questions(9)), after=6, hangs_from=6)
    result = finish(iter(questions(4)))
    assert len(result) == 4
    (run,) = runs.list_runs()
    assert (run.state, run.total_rows) == ("finished", 4)
    assert rows_of(runs.export(run.name)) == rows_of(result)


def test_exporting_leaves_the_run_as_it_was():
    """A run that was exported goes on where it stopped: nothing is bought twice."""
    leave_early(questions(8), after=5, hangs_from=5)
    assert len(runs.export(name())) == 5
    run = finish(questions(8)).run
    assert (run.calls_reused, run.calls) == (5, 3)
    assert len(runs.export(name())) == 8


def test_looking_does_not_keep_a_run_from_being_continued(monkeypatch):
    """A run that starts while somebody looks into it waits for that, and buys nothing twice."""
    leave_early(questions(8), after=5, hangs_from=5)
    directory = runs.list_runs()[0].directory
    looking = lock.RunLock(directory, create=False, is_looking=True)
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            looking.release()

    monkeypatch.setattr(lock, "time", SimpleNamespace(sleep=wait, monotonic=time.monotonic))
    run = finish(questions(8)).run
    assert (run.calls_reused, run.calls) == (5, 3)
    assert [each.directory for each in runs.list_runs()] == [directory]
    assert len(waits) >= 3


def test_who_looks_too_long_is_named(monkeypatch):
    """A lock that somebody who looks does not let go of is refused in the end, with who it is."""
    finish(questions(2))
    (run,) = runs.list_runs()
    monkeypatch.setattr(lock, "_LOOKER_WAIT_S_MAX", 0.0)
    with opened_run(run.directory), pytest.raises(RunLockedError, match=f"process {os.getpid()} "):
        runs.export(run.name)
