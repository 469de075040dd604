"""A data set as a file or a directory: whole or not at all, and over nothing that is dear."""

import csv
import json
import os
import stat

import pytest
from datasets import Dataset, load_dataset

from distilabel import runs
from distilabel.dataset import CustomDataset
from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.types import RunSummary

ROWS = [
    {"text": 'a "quoted", line\nand another', "scores": [4.0, None], "chat": [{"role": "x"}]},
    {"text": "\x1b[2J \x9b31m \x7f \u2028 ü €", "scores": None, "chat": []},
    {"text": None, "scores": [], "chat": None},
]


@pytest.fixture
def dataset() -> CustomDataset:
    """Text, lists, and None in all of them."""
    return CustomDataset.from_dataset(Dataset.from_list(ROWS), run=RunSummary(rows=3))


def files(directory) -> list[str]:
    """What lies in a directory, hidden files included."""
    return sorted(path.name for path in directory.iterdir())


def test_json_lines_are_the_rows(dataset, tmp_path):
    """A line for each row, which reads back as it was."""
    runs.save(dataset, tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == list(dataset) == ROWS
    assert files(tmp_path) == ["out.jsonl"]


def test_json_lines_have_no_control_characters(dataset, tmp_path):
    """What a terminal would obey is written as an escape."""
    runs.save(dataset, tmp_path / "out.jsonl")
    text = (tmp_path / "out.jsonl").read_text()
    assert [c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)] == []
    assert "\u2028" not in text
    assert "ü €" in text


def test_parquet_keeps_types(dataset, tmp_path):
    """Parquet reads back with the same rows and features."""
    runs.save(dataset, tmp_path / "out.parquet")
    again = load_dataset(
        "parquet", data_files=str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache")
    )["train"]
    assert list(again) == ROWS
    assert again.features == dataset.features


def test_csv_holds_lists_as_json(dataset, tmp_path):
    """A cell is the text itself, or JSON; None is an empty cell."""
    runs.save(dataset, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        names, first, _, last = csv.reader(file)
    assert names == ["text", "scores", "chat"]
    assert first == [ROWS[0]["text"], "[4.0,null]", '[{"role":"x"}]']
    assert last == ["", "[]", ""]


def test_a_directory_is_a_saved_data_set(dataset, tmp_path):
    """What has no ending is written for `load_from_disk`, with what the run did."""
    (tmp_path / "empty").mkdir()
    for place in ("out", "empty", "dots.in.it/"):
        runs.save(dataset, f"{tmp_path}/{place}")
        again = CustomDataset.load_from_disk(tmp_path / place)
        assert list(again) == ROWS
        assert again.run == dataset.run
    assert files(tmp_path) == ["dots.in.it", "empty", "out"]


@pytest.mark.parametrize("place", ["out.jsonl", "out.parquet", "out.csv", "out"])
def test_what_exists_is_replaced_only_if_that_is_said(dataset, tmp_path, place):
    """A second time is refused, unless replacing is asked for."""
    runs.save(dataset, tmp_path / place)
    with pytest.raises(ConfigurationError, match="exists"):
        runs.save(dataset.select([0]), tmp_path / place)
    runs.save(dataset.select([0]), tmp_path / place, replace=True)
    assert files(tmp_path) == [place]
    if place == "out":
        assert len(CustomDataset.load_from_disk(tmp_path / place)) == 1
    if place == "out.jsonl":
        assert len((tmp_path / place).read_text().splitlines()) == 1


def test_a_directory_of_other_things_is_never_replaced(dataset, tmp_path):
    """A directory that is no data set, a link to one, and a file are left alone in any case."""
    (tmp_path / "dear").mkdir()
    (tmp_path / "dear" / "letters").write_text("dear")
    (tmp_path / "file").write_text("dear")
    runs.save(dataset, tmp_path / "saved")
    (tmp_path / "link").symlink_to(tmp_path / "saved")
    for place in ("dear", "file", "link"):
        with pytest.raises(ConfigurationError, match="left alone"):
            runs.save(dataset, tmp_path / place, replace=True)
    assert (tmp_path / "dear" / "letters").read_text() == "dear"
    assert (tmp_path / "file").read_text() == "dear"


@pytest.mark.parametrize("place", ["out.json", "out.xlsx", "out.jsonl.gz"])
def test_an_ending_that_is_not_known_is_refused(dataset, tmp_path, place):
    """An ending that would have to be guessed is refused with those that exist."""
    with pytest.raises(ConfigurationError, match=r"\.jsonl, \.parquet, \.csv, or a directory"):
        runs.save(dataset, tmp_path / place)
    assert files(tmp_path) == []


def test_a_directory_in_the_place_of_a_file_is_refused(dataset, tmp_path):
    """A file's name that a directory has is refused."""
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(ConfigurationError, match="is a directory"):
        runs.save(dataset, tmp_path / "out.csv", replace=True)


@pytest.mark.parametrize("place", ["out.jsonl", "out.parquet", "out.csv", "out"])
def test_what_fails_leaves_what_was_there(dataset, tmp_path, monkeypatch, place):
    """A disk that fails in the end leaves the old one as it was, and nothing beside it."""
    runs.save(dataset, tmp_path / place)

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DistilabelError, match="No space left on device"):
        runs.save(dataset.select([0]), tmp_path / place, replace=True)
    assert files(tmp_path) == [place]
    if place == "out":
        assert list(CustomDataset.load_from_disk(tmp_path / place)) == ROWS
    if place == "out.jsonl":
        assert len((tmp_path / place).read_text().splitlines()) == 3


def test_what_came_there_meanwhile_is_not_overwritten(dataset, tmp_path, monkeypatch):
    """A file that appears while ours is written is kept."""
    place = tmp_path / "out.jsonl"
    sync = os.fsync

    def appear(descriptor):
        place.write_text("dear")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", appear)
    with pytest.raises(ConfigurationError, match="exists"):
        runs.save(dataset, place)
    assert place.read_text() == "dear"
    assert files(tmp_path) == ["out.jsonl"]


def test_a_place_that_is_not_there_is_named(dataset, tmp_path):
    """A directory that does not exist is an error of ours, with the path."""
    with pytest.raises(DistilabelError, match="nowhere"):
        runs.save(dataset, tmp_path / "nowhere" / "out.csv")


def test_the_umask_decides_who_reads_a_file(dataset, tmp_path):
    """An exported file has the mode that any program would give it."""
    before = os.umask(0o027)
    try:
        runs.save(dataset, tmp_path / "out.jsonl")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o640
