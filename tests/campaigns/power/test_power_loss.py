"""Power cuts: of a row that was handed out, nothing may be lost with `durability="power"`."""

import random
import shutil
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from power_child import digest, run_of
from power_kit import Disk, Recording, needs_strace, record

from distilabel.errors import JournalError
from distilabel.journal import find_runs, read_rows
from distilabel.journal.database import open_database

pytestmark = needs_strace
CHILD = Path(__file__).with_name("power_child.py")
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 - made private below


def states(recording: Recording, count: int, seed: int, *, lies: bool = False):
    """So many states of the disk: where it was cut, and what had been acknowledged before."""
    chance = random.Random(seed)
    acks = recording.acks
    points = sorted(
        min(len(recording.events), chance.choice(acks) + chance.randint(1, 40))
        if chance.random() < 0.7
        else chance.randint(1, len(recording.events))
        for _ in range(count)
    )
    disk, played, known = Disk(recording.root, lies=lies), 0, {}
    for point in points:
        for event in recording.events[played:point]:
            disk.play(event)
            if event.kind == "ack":
                _, index, mark = event.data.decode().split()
                known[int(index)] = mark
        played = point
        with tempfile.TemporaryDirectory(dir=FAST) as place:
            root = Path(place) / "runs"
            disk.cut(root, chance)
            if not root.exists():
                root.mkdir()
            yield root, dict(known)


def what_is_lost(root: Path, known: dict[int, str]) -> str:
    """How a state falls short of what was promised; "" if it does not."""
    runs = find_runs(root)
    if not runs:
        return "the run is not found" if known else ""
    (found,) = runs
    if found.problem:
        return f"it cannot be read: {found.problem}" if known else ""
    try:
        with closing(open_database(found.directory / "journal.sqlite")):
            pass  # that runs SQLite's quick_check
        kept = {row.index: digest(row.values["generations"]) for row in read_rows(found.directory)}
    except JournalError as error:
        return f"damaged: {error}"
    if any(kept.get(index) != mark for index, mark in known.items()):
        return "rows are lost"
    return ""


def cut(tmp_path: Path, durability: str, *, rows: int, count: int, seed: int, lies: bool = False):
    """How many of so many power cuts fell short, in which way."""
    recording = record(CHILD, tmp_path / "runs", durability, rows, seed)
    assert len(recording.acks) == rows
    shutil.rmtree(tmp_path / "runs")
    found = Counter[str]()
    with_acks = 0
    for root, known in states(recording, count, seed, lies=lies):
        with_acks += bool(known)
        found[what_is_lost(root, known).split(":")[0]] += 1
    assert with_acks > count // 2
    fine = found.pop("", 0)
    print(  # noqa: T201 - what `nox -s power` is for
        f"durability={durability} lies={lies} rows={rows} seed={seed}: {count} power cuts, "
        f"{fine} without loss; {dict(found)}"
    )
    return found


SIZES = [
    pytest.param({"rows": 60, "count": 60, "seed": 1}, id="short"),
    *(
        pytest.param(
            {"rows": 400, "count": 300, "seed": seed}, id=f"{seed}", marks=pytest.mark.campaign
        )
        for seed in (1, 2, 3)
    ),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", SIZES)
def test_a_power_cut_loses_no_row_that_was_handed_out(tmp_path, size):
    """Wherever the power fails and whatever the disk still wrote, acknowledged rows are there."""
    assert cut(tmp_path, "power", **size) == {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", SIZES)
def test_without_syncs_a_power_cut_loses_rows(tmp_path, size):
    """The same rig finds losses with `durability="process"`, and never a damaged file."""
    found = cut(tmp_path, "process", **size)
    assert found["rows are lost"] > 0
    assert found.keys() <= {"rows are lost", "the run is not found"}


def test_a_disk_that_lies_about_syncs_is_found_out(tmp_path):
    """The rig bites where it is the disk that does not sync."""
    assert cut(tmp_path, "power", rows=60, count=40, seed=1, lies=True)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.campaign)])
def test_the_run_goes_on_after_a_power_cut(tmp_path, monkeypatch, seed):
    """Started again, a run makes no call for a row that it had handed out."""
    rows = 40
    recording = record(CHILD, tmp_path / "runs", "power", rows, seed)
    for root, known in states(recording, 8, seed):
        monkeypatch.setenv("DISTILABEL_RUNS", str(root))
        pipe, source = run_of(rows, seed + 1)
        results = pipe.generate(source, durability="process", verbose=False)
        is_over = len(known) == rows and results.run.rows_resumed == 0
        assert is_over or results.run.rows_resumed >= len(known)
        if not is_over:
            marks = {index: digest(results[index]["generations"]) for index in known}
            assert marks == known
