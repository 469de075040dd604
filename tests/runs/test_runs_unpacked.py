"""Run directories that came from elsewhere: they can be read, and start nothing."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from runs_kit import HERE, finish, questions

from distilabel import runs
from distilabel.errors import ConfigurationError
from distilabel.journal import Launch, known

MAKE = """
from pathlib import Path
from runs_kit import *
Path("started").write_text(str(Path("started").exists()))
leave_early(questions(6), after=2, hangs_from=2, checkpoint_dir=CHECKPOINT_DIR)
"""
REFUSAL = "is not noted as made here by you"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    """What is noted, in a place of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "distilabel" / "known-runs"


@pytest.fixture
def work(tmp_path) -> Path:
    """Where the program lies that makes the run."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def make(work):
    """Runs that program, for a directory that it names or none, and tells the run."""

    def start(directory: Path | None = None) -> runs.RunInfo:
        named = None if directory is None else str(directory)
        (work / "make.py").write_text(MAKE.replace("CHECKPOINT_DIR", repr(named)))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
        subprocess.run([sys.executable, "make.py"], env=environment, cwd=work, check=True)
        (work / "started").unlink()
        return runs.list_runs(None if directory is None else directory.parent)[0]

    return start


def packed(directory: Path) -> Path:
    """An archive of a run directory, times and modes and all."""
    archive = directory.parent / "run.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(directory, directory.name)
    return archive


def unpacked(archive: Path, place: Path) -> Path:
    """The run directory, unpacked in a place."""
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="fully_trusted")  # noqa: S202 - our own
        return place / tar.getnames()[0]


def hold_refused(directory: Path, work: Path) -> None:
    """It is not started: the error says why, and what to type."""
    relaunch = runs.relaunch_of(directory)
    assert not relaunch.can_run
    with pytest.raises(ConfigurationError, match=REFUSAL) as refusal:
        runs.resume(directory)
    assert relaunch.command
    assert str(refusal.value).endswith(f"run it yourself: {relaunch.command}")
    assert not (work / "started").exists()
    assert len(runs.export(directory)) == 2, "it is read all the same"


def test_an_archive_that_is_unpacked_elsewhere_starts_nothing(make, work, tmp_path):
    """Whoever unpacks it owns every file of it, and yet it chooses nothing that is run."""
    run = make()
    assert runs.relaunch_of(run.directory).can_run
    hold_refused(unpacked(packed(run.directory), tmp_path / "elsewhere"), work)


def test_an_archive_that_is_unpacked_in_its_own_place_starts_nothing(make, work):
    """The file system may even give it the numbers that the first one had."""
    run = make()
    archive = packed(run.directory)
    shutil.rmtree(run.directory)
    hold_refused(unpacked(archive, run.directory.parent), work)


def test_an_archive_that_is_unpacked_over_a_run_starts_nothing(make, work):
    """A journal that names another script than the one that was noted is not obeyed."""
    run = make()
    path = run.directory / "journal.sqlite"
    with closing(sqlite3.connect(path)) as journal, journal:
        (text,) = journal.execute("SELECT value FROM meta WHERE key = 'description'").fetchone()
        described = json.loads(text)
        described["launch"]["script"] = str(work / "evil.py")
        changed = (json.dumps(described),)
        journal.execute("UPDATE meta SET value = ? WHERE key = 'description'", changed)
    hold_refused(run.directory, work)


def test_a_copy_starts_nothing(make, work, tmp_path):
    """A copy that keeps times and modes is not the directory that was noted, mark or no mark."""
    run = make()
    copy = tmp_path / "copy"
    shutil.copytree(run.directory, copy)
    hold_refused(copy, work)
    (copy / known.MARK_NAME).unlink()
    hold_refused(copy, work)
    os.link(run.directory / known.MARK_NAME, copy / known.MARK_NAME)
    hold_refused(copy, work)
    (copy / known.MARK_NAME).unlink()
    (copy / known.MARK_NAME).symlink_to(run.directory / known.MARK_NAME)
    hold_refused(copy, work)


def test_a_directory_that_was_moved_is_still_the_same(make, tmp_path):
    """Who renames a run directory of their own resumes it there."""
    run = make()
    moved = tmp_path / "moved"
    moved.mkdir()
    run.directory.rename(moved / run.name)
    relaunch = runs.relaunch_of(moved / run.name)
    assert relaunch.can_run
    assert relaunch.environment == {"DISTILABEL_RUNS": str(moved)}


def test_who_goes_on_with_an_unpacked_run_has_made_it_theirs(make, tmp_path):
    """Running the program by hand, as the error says, is enough."""
    directory = tmp_path / "kept" / "run"
    directory.parent.mkdir()
    make(directory)
    archive = packed(directory)
    shutil.rmtree(directory)
    unpacked(archive, directory.parent)
    assert REFUSAL in runs.relaunch_of(directory).obstacle
    make(directory)
    assert runs.relaunch_of(directory).can_run


def test_another_user_s_notes_are_none(make, work, monkeypatch):
    """With another state directory nothing is known, and with none nothing can be noted."""
    run = make()
    monkeypatch.setenv("XDG_STATE_HOME", str(work / "make.py"))
    hold_refused(run.directory, work)
    hold_refused(make().directory, work)


@pytest.mark.parametrize("note", [b"", b"[]", b"{" * 70_000, b"\xff", None], ids=str)
def test_a_note_that_cannot_be_read_is_none(make, work, state, note):
    """Damaged notes, and those that others may write to, are not obeyed."""
    run = make()
    (path,) = state.iterdir()
    if note is None:
        path.chmod(0o666)
    else:
        path.write_bytes(note)
    hold_refused(run.directory, work)


def test_notes_are_private_and_go_with_the_run(make, state):
    """They are for the user alone, and clearing a run away forgets it."""
    run = make()
    (note,) = state.iterdir()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert stat.S_IMODE((run.directory / known.MARK_NAME).stat().st_mode) == 0o600
    assert set(json.loads(note.read_bytes())) == {"mark", "launch"}
    runs.clean(only_finished=False)
    assert not run.directory.exists()
    assert list(state.iterdir()) == []


def test_so_many_directories_are_known_and_no_more(state, tmp_path, monkeypatch):
    """The one that was noted longest ago is forgotten first."""
    monkeypatch.setattr(known, "KNOWN_MAX", 3)
    launch = Launch("/work", script="/work/make.py")
    made = []
    for number in range(5):
        made.append(tmp_path / f"run-{number}")
        made[-1].mkdir()
        known.note_start(made[-1], launch)
        for path in state.iterdir():
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert [known.how_it_was_started(path) for path in made] == [None, None, launch, launch, launch]


def test_a_mark_that_is_no_file_keeps_nobody_from_running(tmp_path):
    """A directory in the place of the mark: the run works, and is not started from here."""
    directory = tmp_path / "runs" / "named"
    (directory / known.MARK_NAME / "x").mkdir(parents=True)
    assert len(finish(questions(2), checkpoint_dir=directory)) == 2
    assert known.how_it_was_started(directory) is None
