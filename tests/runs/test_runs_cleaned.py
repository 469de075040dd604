"""Clearing runs away: what is deleted, and what is kept."""

import os
from datetime import timedelta

import pytest
from runs_kit import HANGING, finish, leave_early, questions, read_indices, running

from distilabel import runs
from distilabel.journal.files import JOURNAL_NAME


def states() -> list[str]:
    """The states of the runs that there are."""
    return sorted(run.state for run in runs.list_runs())


def make_older(run: runs.RunInfo, days: int) -> None:
    """Have a run look as if it was written some days ago."""
    for path in run.directory.iterdir():
        past = path.stat().st_mtime - days * 86_400
        os.utime(path, (past, past))


def test_only_finished_runs_are_deleted():
    """Without a word, what can be resumed is kept."""
    finish(questions(2))
    leave_early(questions(5), after=2, hangs_from=2)
    (deleted,) = runs.clean()
    assert deleted.state == "finished"
    assert not deleted.directory.exists()
    assert states() == ["unfinished"]
    assert runs.clean() == []


def test_all_means_unfinished_runs_too():
    """Asked for, unfinished runs are deleted with the others."""
    finish(questions(2))
    leave_early(questions(5), after=2, hangs_from=2)
    assert len(runs.clean(only_finished=False)) == 2
    assert states() == []


@pytest.mark.parametrize("only_finished", [True, False])
def test_a_live_run_is_never_deleted(only_finished):
    """A run that is under way stays, whatever is asked for."""
    with running(HANGING, 9, 3) as process:
        read_indices(process, 3)
        assert runs.clean(only_finished=only_finished) == []
        assert states() == ["running"]


def test_older_than_keeps_what_is_new():
    """Only what was last written so long ago is deleted."""
    finish(questions(2))
    make_older(runs.list_runs()[0], days=8)
    finish(questions(3))
    old = runs.list_runs()[1]
    assert [run.name for run in runs.clean(older_than=timedelta(days=7))] == [old.name]
    assert states() == ["finished"]


def test_a_run_that_was_written_since_is_kept():
    """What was listed, and then went on, is not deleted."""
    leave_early(questions(5), after=2, hangs_from=2)
    listed = runs.cleanable(only_finished=False)
    finish(questions(5))
    assert runs.delete(listed, only_finished=False) == []
    assert states() == ["finished"]


def test_what_is_not_recognised_is_left_alone():
    """A file that is no journal of ours is not deleted, even if all is asked for."""
    finish(questions(2))
    path = runs.list_runs()[0].directory / JOURNAL_NAME
    path.write_bytes(b"dear" * 100)
    assert runs.clean(only_finished=False) == []
    assert path.read_bytes() == b"dear" * 100


def test_other_files_in_a_run_directory_are_kept():
    """What somebody else put beside a journal stays, and so does its directory."""
    finish(questions(2))
    directory = runs.list_runs()[0].directory
    (directory / "notes.txt").write_text("dear")
    assert len(runs.clean()) == 1
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]
