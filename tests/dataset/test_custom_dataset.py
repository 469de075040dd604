"""A data set stays a CustomDataset, with its task and its run."""

from __future__ import annotations

import copy
import inspect
import json
import pickle  # noqa: TID251  # data sets have to survive it
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import fsspec
import pytest
from datasets import Dataset, DatasetDict, Features, Value

from distilabel.dataset import CustomDataset
from distilabel.dataset.with_origin import DatasetWithOrigin
from distilabel.errors import ConfigurationError
from distilabel.tasks import Task, TextGenerationTask, UltraFeedbackTask
from distilabel.types import RunSummary, Usage

TASK = UltraFeedbackTask.for_instruction_following()
RUN = RunSummary(
    rows=4, failed_by_cause={"timeout": 1}, usage=Usage(prompt_tokens=3), cost=0.5, seconds=1.5
)


# datasets 5.2 sorts with an argument that pyarrow 25 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Specifying null_placement:FutureWarning")


@pytest.fixture
def dataset() -> CustomDataset:
    """Four rows, with a task and a run."""
    plain = Dataset.from_dict({"n": [3, 1, 2, 0], "text": ["d", "b", "c", "a"]})
    return CustomDataset.from_dataset(plain, task=TASK, run=RUN)


METHODS: dict[str, Any] = {
    "add_column": lambda ds: ds.add_column("m", [1, 2, 3, 4]),
    "add_item": lambda ds: ds.add_item({"n": 9, "text": "z"}),
    "align_labels_with_mapping": lambda ds: ds.class_encode_column(
        "text"
    ).align_labels_with_mapping({"a": 3, "b": 2, "c": 1, "d": 0}, "text"),
    "batch": lambda ds: ds.batch(2),
    "cast": lambda ds: ds.cast(Features({"n": Value("int8"), "text": Value("string")})),
    "cast_column": lambda ds: ds.cast_column("n", Value("int32")),
    "class_encode_column": lambda ds: ds.class_encode_column("text"),
    "filter": lambda ds: ds.filter(lambda row: row["n"] > 1),
    "flatten": lambda ds: ds.flatten(),
    "flatten_indices": lambda ds: ds.select([2, 0]).flatten_indices(),
    "map": lambda ds: ds.map(lambda row: {"n": row["n"] + 1}),
    "map of nothing": lambda ds: ds.select([]).map(lambda row: row),
    "map in processes": lambda ds: ds.map(lambda row: {"n": row["n"] + 1}, num_proc=2),
    "remove_columns": lambda ds: ds.remove_columns("n"),
    "rename_column": lambda ds: ds.rename_column("n", "k"),
    "rename_columns": lambda ds: ds.rename_columns({"n": "k"}),
    "repeat": lambda ds: ds.repeat(2),
    "select": lambda ds: ds.select([3, 1]),
    "select a range": lambda ds: ds.select(range(1, 3)),
    "select_columns": lambda ds: ds.select_columns(["n"]),
    "shard": lambda ds: ds.shard(2, 0),
    "shuffle": lambda ds: ds.shuffle(seed=1),
    "skip": lambda ds: ds.skip(1),
    "sort": lambda ds: ds.sort("n"),
    "take": lambda ds: ds.take(2),
    "train_test_split": lambda ds: ds.train_test_split(0.5, seed=1)["train"],
    "train_test_split, test": lambda ds: ds.train_test_split(0.5, seed=1)["test"],
    "with_format": lambda ds: ds.with_format("arrow"),
    "with_transform": lambda ds: ds.with_transform(dict),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda ds: pickle.loads(pickle.dumps(ds)),  # noqa: S301
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_class_task_and_run(dataset, name):
    """What a method makes of a CustomDataset is one, with the same task, run, and data."""
    result = METHODS[name](dataset)
    assert type(result) is CustomDataset
    assert result.task == TASK
    assert result.run == RUN
    plain = METHODS[name](Dataset.from_dict(dataset.to_dict()))
    assert result.features == plain.features
    assert result.with_format(None).to_dict() == plain.with_format(None).to_dict()


def test_every_method_that_returns_a_data_set_is_tried_and_typed():
    """No method that makes a data set is missing above, or from what type checkers are told."""
    making = {
        name
        for name, method in inspect.getmembers(Dataset, inspect.isfunction)
        if not name.startswith("_") and method.__annotations__.get("return") in {"Dataset", Dataset}
    } - {"load_from_disk"}
    making = {name for name in making if not isinstance(vars(Dataset)[name], staticmethod)}
    source = Path(inspect.getfile(DatasetWithOrigin)).read_text(encoding="utf-8")
    typed = {name for name in METHODS if f"        {name}: ClassVar[Callable[..., Self]]" in source}
    assert making - METHODS.keys() == set()
    assert making - typed == set()


def test_both_splits_of_a_data_set_are_kept(dataset):
    """A split gives a DatasetDict of CustomDatasets, an empty data set's as well."""
    for whole in (dataset, dataset.select([])):
        splits = whole.train_test_split(0.5)
        assert type(splits) is DatasetDict
        assert [type(split) for split in splits.values()] == [CustomDataset] * 2
        assert all(split.run is whole.run for split in splits.values())


def test_a_chain_of_methods_shares_one_task(dataset):
    """However a data set was made, its task and its run are the very objects of the first."""
    result = dataset.shuffle(seed=2).map(lambda row: row).sort("n").filter(bool).take(1)
    assert result.task is TASK
    assert result.run is RUN
    assert copy.deepcopy(dataset).task is TASK


def test_a_task_that_cannot_be_copied_is_no_hindrance():
    """Methods copy the data set deeply, but never its task."""

    class Locked(TextGenerationTask):
        def __deepcopy__(self, memo):
            raise TypeError("cannot be copied")

    plain = Dataset.from_dict({"n": [1, 2]})
    dataset = CustomDataset.from_dataset(plain, task=Locked())
    assert type(dataset.rename_column("n", "m").select([0]).task) is Locked


def test_from_dataset_leaves_the_original_alone(dataset):
    """Giving a data set an origin makes a new one, which shares no state with it."""
    plain = Dataset.from_dict({"n": [1]})
    custom = CustomDataset.from_dataset(plain, run=RUN)
    custom.set_format("arrow")
    custom.info.description = "changed"
    assert type(plain) is Dataset
    assert plain.format["type"] is None
    assert not plain.info.description
    assert custom.task is None


def test_constructors_of_the_class_make_one():
    """A CustomDataset made by hand has no task and an empty run."""
    dataset = CustomDataset.from_dict({"n": [1]})
    assert type(dataset) is CustomDataset
    assert (dataset.task, dataset.run) == (None, RunSummary())
    assert dataset.select([0]).run == RunSummary()


def test_subclasses_stay_themselves(dataset):
    """A subclass of CustomDataset is kept as that subclass."""

    class Mine(CustomDataset):
        pass

    assert type(Mine.from_dataset(dataset).select([0]).sort("n")) is Mine


def test_methods_that_make_something_else_are_untouched(dataset):
    """Conversions, batches and the plain data set of another library stay what they are."""
    assert type(dataset.to_iterable_dataset()) is datasets.IterableDataset
    assert [len(batch["n"]) for batch in dataset.iter(3)] == [3, 1]
    assert dataset.unique("n") == [3, 1, 2, 0]
    assert dataset.map.__doc__ == Dataset.map.__doc__


def test_fingerprints_are_those_of_the_plain_data_set(dataset):
    """Wrapping a method does not change what caches are named by, nor does having an origin."""
    plain = Dataset.from_dict(dataset.to_dict())
    other = CustomDataset.from_dataset(plain, task=TextGenerationTask(), run=RunSummary())
    first = CustomDataset.from_dataset(plain, task=TASK, run=RUN)
    changes = [lambda ds: ds.select([1]), lambda ds: ds.map(_add_one), lambda ds: ds.sort("n")]
    for change in changes:
        prints = {change(each)._fingerprint for each in (plain, first, other)}
        assert len(prints) == 1


def test_a_cached_result_is_kept_too(dataset, tmp_path, caplog):
    """A map that is found in the cache is a CustomDataset as well, and nothing warns."""
    dataset.save_to_disk(tmp_path / "saved")
    loaded = CustomDataset.load_from_disk(tmp_path / "saved")
    for _ in range(2):
        mapped = loaded.map(_add_one)
        assert type(mapped) is CustomDataset
        assert mapped["n"][:] == [4, 2, 3, 1]
    assert len(list((tmp_path / "saved").glob("cache-*.arrow"))) == 1
    assert not caplog.records


def _add_one(row):
    return {"n": row["n"] + 1}


class TestOnDisk:
    def test_what_is_saved_is_loaded(self, dataset, tmp_path):
        """Data, task and run come back from disk, also of a data set that was picked from."""
        dataset.select([1, 0]).save_to_disk(tmp_path / "saved")
        loaded = CustomDataset.load_from_disk(tmp_path / "saved")
        assert type(loaded) is CustomDataset
        assert loaded.to_dict() == {"n": [1, 3], "text": ["b", "d"]}
        assert loaded.task == TASK
        assert loaded.run == RUN
        assert loaded.sort("n").run == RUN

    def test_an_empty_result_is_loaded(self, assemble, tmp_path):
        """A data set without rows keeps its features on disk."""
        empty = assemble([])
        empty.save_to_disk(str(tmp_path / "saved"))
        loaded = CustomDataset.load_from_disk(str(tmp_path / "saved"))
        assert loaded.features == empty.features
        assert loaded.task is None

    def test_saving_in_processes(self, dataset, tmp_path):
        """A data set saved by several processes has its task and run."""
        dataset.save_to_disk(tmp_path / "saved", num_proc=2)
        assert CustomDataset.load_from_disk(tmp_path / "saved").task == TASK

    def test_datasets_can_read_it(self, dataset, tmp_path):
        """To `datasets` it is a data set like any other."""
        dataset.save_to_disk(tmp_path / "saved")
        loaded = datasets.load_from_disk(tmp_path / "saved")
        assert type(loaded) is Dataset
        assert loaded.to_dict() == dataset.to_dict()

    def test_a_plain_data_set_can_be_read(self, tmp_path):
        """A directory that `datasets` has written has no task and an empty run."""
        Dataset.from_dict({"n": [1]}).save_to_disk(tmp_path / "saved")
        loaded = CustomDataset.load_from_disk(tmp_path / "saved")
        assert type(loaded) is CustomDataset
        assert (loaded.task, loaded.run) == (None, RunSummary())

    def test_splits_keep_their_origin(self, dataset, tmp_path):
        """A split data set that is saved as one can be loaded split by split."""
        dataset.train_test_split(0.5).save_to_disk(tmp_path / "saved")
        assert CustomDataset.load_from_disk(tmp_path / "saved" / "train").task == TASK

    def test_another_data_set_written_over_it_has_no_task(self, dataset, tmp_path):
        """A file that was left by an earlier data set does not speak for a later one."""
        dataset.save_to_disk(tmp_path / "saved")
        Dataset.from_dict({"n": [1]}).save_to_disk(tmp_path / "saved")
        assert CustomDataset.load_from_disk(tmp_path / "saved").task is None

    def test_the_file_is_its_owners_and_whole(self, dataset, tmp_path):
        """Only the owner can read the file, and no draft of it stays."""
        dataset.save_to_disk(tmp_path)
        file = tmp_path / "distilabel.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["version"] == 1
        assert not list(tmp_path.glob(".distilabel*"))

    def test_a_failed_write_leaves_what_was_there(self, dataset, tmp_path, monkeypatch):
        """When the file cannot be put in place, the earlier one is whole and no draft stays."""
        dataset.save_to_disk(tmp_path)
        before = (tmp_path / "distilabel.json").read_bytes()

        def refuse(self, target):
            raise OSError("disk full")

        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="disk full"):
            dataset.sort("n").save_to_disk(tmp_path)
        assert (tmp_path / "distilabel.json").read_bytes() == before
        assert not list(tmp_path.glob(".distilabel*"))

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"version": 1}', '{"version": 1, "fingerprint": 1}', "\udcff"]
    )
    def test_a_damaged_file_is_named(self, dataset, tmp_path, content):
        """A file that makes no sense is an error which says that the data can still be had."""
        dataset.save_to_disk(tmp_path)
        file = tmp_path / "distilabel.json"
        file.write_text(content, errors="surrogateescape")
        if '"fingerprint"' in content:
            data = {"version": 1, "fingerprint": dataset._fingerprint, "task": None, "run": 7}
            file.write_text(json.dumps(data))
        with pytest.raises(ConfigurationError, match=r"distilabel\.json is damaged"):
            CustomDataset.load_from_disk(tmp_path)
        file.unlink()
        assert len(CustomDataset.load_from_disk(tmp_path)) == 4

    def test_a_later_format_is_refused(self, dataset, tmp_path):
        """A file of a later release is not guessed at."""
        dataset.save_to_disk(tmp_path)
        file = tmp_path / "distilabel.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "version": 2}))
        with pytest.raises(ConfigurationError, match="another release"):
            CustomDataset.load_from_disk(tmp_path)

    def test_a_task_that_is_no_plain_data_stops_before_anything_is_written(self, tmp_path):
        """Settings that JSON does not take are found before any data is on disk."""

        class Odd(TextGenerationTask):
            def settings(self):
                return {"model": object()}

        dataset = CustomDataset.from_dataset(Dataset.from_dict({"n": [1]}), task=Odd())
        with pytest.raises(ConfigurationError, match=r"Odd\.settings"):
            dataset.save_to_disk(tmp_path / "saved")
        assert not (tmp_path / "saved").exists()

    def test_a_task_can_wait_for_its_class(self, tmp_path):
        """Data loads without the task's class, saving it loses nothing, and the class mends it."""

        @dataclass(frozen=True)
        class Later(Task):
            tone: str = "dry"

            def generate_prompt(self, text: str) -> str:
                return f"{self.tone} {text}"

        task, name = Later("wry"), Later.type_name()
        CustomDataset.from_dataset(Dataset.from_dict({"n": [1]}), task=task).save_to_disk(
            tmp_path / "first"
        )
        defined = Task.registered.pop(name)
        loaded = CustomDataset.load_from_disk(tmp_path / "first").select([0])
        with pytest.raises(ConfigurationError, match="Later"):
            _ = loaded.task
        loaded.save_to_disk(tmp_path / "second")
        Task.registered[name] = defined
        assert loaded.task == task
        assert CustomDataset.load_from_disk(tmp_path / "second").task == task

    def test_other_file_systems(self, dataset):
        """Data, task and run are also kept where `fsspec` reaches."""
        dataset.save_to_disk("memory://distilabel/saved")
        try:
            loaded = CustomDataset.load_from_disk("memory://distilabel/saved")
            assert loaded.to_dict() == dataset.to_dict()
            assert loaded.task == TASK
        finally:
            fsspec.filesystem("memory").rm("/distilabel", recursive=True)


def test_a_task_of_a_script_goes_through_processes(tmp_path):
    """The guide's way, a task defined in the script itself, works with processes and on disk."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import datasets
from distilabel.dataset import CustomDataset
from distilabel.tasks import TextGenerationTask

class MyTask(TextGenerationTask):
    def generate_prompt(self, input: str) -> str:
        return input

if __name__ == "__main__":
    plain = datasets.Dataset.from_dict({"n": [1, 2, 3]})
    data = CustomDataset.from_dataset(plain, task=MyTask(system_prompt="Be kind."))
    data = data.map(lambda row: {"n": row["n"] + 1}, num_proc=2)
    data.save_to_disk("saved")
    loaded = CustomDataset.load_from_disk("saved")
    assert loaded.task == data.task and type(loaded.task) is MyTask
    assert loaded["n"][:] == [2, 3, 4]
"""
    )
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
