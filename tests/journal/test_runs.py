"""Which run is continued, what is consulted, and runs seen from outside."""

import logging
import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace

import pytest
from journal_kit import OTHER_RUN, RUN, call, files, key, row, running

from distilabel.errors import JournalError, RunLockedError
from distilabel.journal import (
    RunIdentity,
    clean,
    describe_run,
    find_runs,
    open_journal,
    read_rows,
)
from distilabel.journal.directory import default_root, make_directory, new_directory

HOLD = """
import asyncio, sys
from journal_kit import *
from distilabel.journal import open_journal
async def main():
    async with open_journal(identity=RUN, root=sys.argv[1]) as journal:
        journal.put_call(call(9))
        await journal.put_row(row(9))
        print(journal.directory, flush=True)
        sys.stdin.readline()
asyncio.run(main())
"""


async def make(place, identity=RUN, *, numbers=(0,), finishes=False, **settings):
    """A run with some calls and rows; its directory."""
    where = {"root": place} if settings.pop("under_root", False) else {"directory": place}
    async with open_journal(identity=identity, **where, **settings) as journal:
        for number in numbers:
            journal.put_call(call(number))
            await journal.put_row(row(number))
        if finishes:
            await journal.finish()
        return journal.directory


@pytest.mark.parametrize("resume", ["auto", "always"])
async def test_a_named_directory_is_continued(tmp_path, resume):
    """The same run, not finished: its calls and rows are there."""
    await make(tmp_path / "run", numbers=range(3))
    async with open_journal(tmp_path / "run", identity=RUN, resume=resume) as journal:
        assert (journal.found.calls, journal.found.rows) == (3, 3)
    assert files(tmp_path / "run") == ["journal.sqlite", "run.lock"]


@pytest.mark.parametrize(
    ("resume", "finishes", "finds"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("always", True, True),
        ("never", False, False),
    ],
)
async def test_another_run_s_journal_is_archived_beside(tmp_path, resume, finishes, finds):
    """It is never mixed with this run's rows; its calls are reused as `resume` allows."""
    await make(tmp_path / "run", OTHER_RUN, numbers=range(3), finishes=finishes)
    async with open_journal(tmp_path / "run", identity=RUN, resume=resume) as journal:
        assert journal.found.is_new
        assert await journal.find_row(1) is None
        assert (await journal.find(key(1)) == call(1)) is finds
        assert journal.found.ancestor_calls == (3 if finds else 0)
    assert files(tmp_path / "run") == ["journal-1.sqlite", "journal.sqlite", "run.lock"]


async def test_archives_are_numbered_and_the_latest_is_asked_first(tmp_path):
    """Each change of settings leaves one more archive."""
    for number in range(3):
        identity = RunIdentity(bytes([number]), b"", "")
        async with open_journal(tmp_path / "run", identity=identity) as journal:
            journal.put_call(call(7, f"of {number}"))
            if number < 2:
                journal.put_call(call(8, f"of {number}"))
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        names = [path.name for path in journal.found.ancestors]
        assert names == ["journal-3.sqlite", "journal-2.sqlite", "journal-1.sqlite"]
        assert await journal.find(key(7)) == call(7, "of 2")
        assert await journal.find(key(8)) == call(8, "of 1")


@pytest.mark.parametrize(
    ("resume", "finishes"), [("auto", True), ("never", False), ("never", True)]
)
async def test_the_same_run_starts_anew_if_it_is_not_to_be_continued(tmp_path, resume, finishes):
    """Finished with "auto", or anything with "never": archived, not continued."""
    await make(tmp_path / "run", finishes=finishes)
    async with open_journal(tmp_path / "run", identity=RUN, resume=resume) as journal:
        assert journal.found.is_new
        assert await journal.find(key(0)) is None


async def test_what_an_ancestor_had_is_kept_here_too(tmp_path):
    """A call that was found elsewhere is in this run's own journal from then on."""
    old = await make(tmp_path, OTHER_RUN, numbers=range(3), under_root=True)
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert journal.found.ancestors == (old / "journal.sqlite",)
        assert await journal.find(key(1)) == call(1)
        assert journal.statistics().in_flight == 0
        await journal.put_row(row(1))
    assert clean(tmp_path, only_finished=False)
    # all is gone but what was copied before: so it is looked at in a run of its own
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert journal.found.is_new


async def test_a_copied_call_survives_its_ancestor(tmp_path):
    """The ancestor is deleted; the copy is found, and has cost its new run nothing."""
    old = await make(tmp_path, OTHER_RUN, numbers=range(3), under_root=True)
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert await journal.find(key(1)) == call(1)
    for path in old.iterdir():
        path.unlink()
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert (journal.found.calls, journal.found.ancestors) == (1, ())
        copied = call(1)
        free = replace(copied.meta, cost=0.0)
        assert await journal.find(key(1)) == replace(copied, meta=free)


async def test_under_a_root_the_newest_unfinished_run_is_continued(tmp_path):
    """Finished runs of the same identity, and other runs, are not."""
    finished = await make(tmp_path, finishes=True, under_root=True)
    older = await make(tmp_path, numbers=range(2), under_root=True)
    assert older != finished
    os.utime(older / "journal.sqlite", (1, 1))
    async with open_journal(identity=RUN, root=tmp_path, resume="never") as journal:
        newer = journal.directory
    assert len({finished, older, newer}) == 3
    other = await make(tmp_path, OTHER_RUN, under_root=True)
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert journal.directory == newer
        assert set(journal.found.ancestors) == {
            older / "journal.sqlite",
            other / "journal.sqlite",
        }
    async with open_journal(identity=RUN, root=tmp_path, resume="never") as journal:
        assert journal.directory not in {finished, older, newer, other}
        assert journal.found.ancestors == ()


async def test_with_always_finished_runs_are_consulted_too(tmp_path):
    """Any identical finished call is reused."""
    old = await make(tmp_path, OTHER_RUN, finishes=True, under_root=True)
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert journal.found.ancestors == ()
    async with open_journal(identity=RUN, root=tmp_path, resume="always") as journal:
        assert journal.found.ancestors == (old / "journal.sqlite",)
        assert await journal.find(key(0)) == call(0)


async def test_a_run_that_is_under_way_is_left_alone(tmp_path, caplog):
    """The same run in another process: this one has a directory of its own, and a warning."""
    with running(HOLD, tmp_path) as process:
        assert process.stdout is not None
        theirs = process.stdout.readline().strip()
        async with open_journal(identity=RUN, root=tmp_path) as journal:
            assert str(journal.directory) != theirs
            assert journal.found.ancestors == ()
        async with open_journal(identity=OTHER_RUN, root=tmp_path, resume="always") as journal:
            assert theirs + "/journal.sqlite" not in map(str, journal.found.ancestors)
    assert "already under way" in caplog.text


async def test_an_ancestor_that_is_of_no_use_is_not_locked(tmp_path):
    """It can be continued by somebody else meanwhile; one that was of use cannot."""
    old = await make(tmp_path, OTHER_RUN, numbers=range(3), under_root=True)
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert await journal.find(key(100)) is None
        async with open_journal(old, identity=OTHER_RUN) as theirs:
            assert theirs.found.calls == 3
            assert await journal.find(key(1)) is None, "it is in use: passed over"
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert await journal.find(key(1)) == call(1)
        with pytest.raises(RunLockedError):
            async with open_journal(old, identity=OTHER_RUN):
                pytest.fail("it was opened")
    async with open_journal(old, identity=OTHER_RUN) as theirs:
        assert theirs.found.calls == 3


async def test_odd_things_under_a_root_are_passed_over(tmp_path):
    """Files, links to runs, empty directories and other people's data are no runs."""
    run = await make(tmp_path, numbers=range(3), under_root=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link-00000000-1").symlink_to(run)
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    for name in ("run.lock", "journal.sqlite"):
        (tmp_path / "begun" / name).touch()
    assert [info.directory for info in find_runs(tmp_path)] == [run]
    async with open_journal(identity=OTHER_RUN, root=tmp_path) as journal:
        assert journal.found.ancestors == (run / "journal.sqlite",)
    assert files(tmp_path / "begun") == ["journal.sqlite", "run.lock"]


async def test_runs_are_listed_with_what_is_in_them(tmp_path):
    """The one written last comes first; of one under way only the holder is known."""
    done = await make(
        tmp_path, OTHER_RUN, numbers=range(2), finishes=True, under_root=True, total_rows=2
    )
    os.utime(done / "journal.sqlite", (1_000_000_000, 1_000_000_000))
    with running(HOLD, tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        locked, finished = find_runs(tmp_path)
        assert locked.is_locked
        assert locked.holder is not None
        assert locked.holder.pid == process.pid
        with pytest.raises(RunLockedError):
            next(read_rows(locked.directory))
    assert (finished.directory, finished.label) == (done, RUN.label)
    assert (finished.is_finished, finished.calls, finished.rows) == (True, 2, 2)
    assert finished.total_rows == 2
    assert finished.created is not None
    assert finished.updated is not None
    assert finished.updated.year == 2001
    assert finished.size_bytes > 4096
    assert finished.version
    info = describe_run(locked.directory)
    assert (info.is_finished, info.calls, info.rows, info.total_rows) == (False, 1, 1, None)
    assert [record.index for record in read_rows(locked.directory)] == [9]
    assert find_runs(tmp_path / "nowhere") == []


async def test_rows_of_a_dead_run_are_read_in_order(tmp_path):
    """More rows than are read at a time, put in any order; the run is locked meanwhile."""
    await make(tmp_path / "run", numbers=[n * 37 % 600 for n in range(600)])
    rows = read_rows(tmp_path / "run")
    assert next(rows).index == 0
    with pytest.raises(RunLockedError):
        async with open_journal(tmp_path / "run", identity=RUN):
            pytest.fail("it was opened")
    assert [record.index for record in rows] == list(range(1, 600))
    rows = read_rows(tmp_path / "run")
    assert next(rows) == row(0)
    rows.close()
    async with open_journal(tmp_path / "run", identity=RUN) as journal:
        assert journal.found.rows == 600
    with pytest.raises(JournalError, match="cannot be opened"):
        next(read_rows(tmp_path))


async def test_clearing_away_takes_what_is_ours_only(tmp_path):
    """Unfinished runs stay unless asked for; files of other people's stay always."""
    finished = await make(tmp_path, finishes=True, under_root=True)
    kept_file = await make(tmp_path, OTHER_RUN, finishes=True, under_root=True)
    (kept_file / "notes.txt").write_text("mine")
    unfinished = await make(tmp_path, RunIdentity(b"3", b"", ""), under_root=True)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in ("run.lock", "journal.sqlite"):
        (foreign / name).write_text("not a journal")
    outside = await make(tmp_path / "elsewhere" / "run", finishes=True)
    (tmp_path / "link").symlink_to(outside)
    with running(HOLD, tmp_path) as process:
        assert process.stdout is not None
        locked = process.stdout.readline().strip()
        assert set(clean(tmp_path)) == {finished, kept_file}
        assert clean(tmp_path, only_finished=False) == [unfinished]
        assert files(tmp_path) == sorted(
            ["elsewhere", "foreign", "link", kept_file.name, locked.rpartition("/")[2]]
        )
    assert files(kept_file) == ["notes.txt"]
    assert files(outside) == ["journal.sqlite", "run.lock"]


async def test_archives_and_damaged_files_are_cleared_away_too(tmp_path):
    """A run directory goes with all that we put there."""
    await make(tmp_path / "run", OTHER_RUN)
    await make(tmp_path / "run", RUN, finishes=True)
    (tmp_path / "run" / "journal.corrupt-1.sqlite-wal").touch()
    assert clean(tmp_path) == [tmp_path / "run"]
    assert not files(tmp_path)


async def test_names_hold_nothing_dangerous(tmp_path):
    """A model's name may be anything; a directory's may not."""
    for label in ("../../etc/passwd", "a/b\\c:d\0e\x1b[31m", "…", "", "x" * 300, ".", "-rf"):
        directory = new_directory(tmp_path, RunIdentity(b"", b"", label))
        assert directory.parent == tmp_path
        assert len(directory.name) < 70
        assert set(directory.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert not directory.name.startswith("-")
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert len(files(tmp_path)) == 7


async def test_the_root_may_be_named_by_the_environment(tmp_path, monkeypatch):
    """`DISTILABEL_RUNS`, which may be a link to a larger disk."""
    (tmp_path / "large").mkdir(mode=0o755)
    (tmp_path / "runs").symlink_to(tmp_path / "large")
    monkeypatch.setenv("DISTILABEL_RUNS", str(tmp_path / "runs"))
    async with open_journal(identity=RUN) as journal:
        assert journal.directory.parent == tmp_path / "runs"
    assert len(files(tmp_path / "large")) == 1
    assert stat.S_IMODE((tmp_path / "large").stat().st_mode) == 0o755, "it is its owner's"
    monkeypatch.delenv("DISTILABEL_RUNS")
    assert str(default_root()) == "distilabel-runs"


def test_a_place_that_is_no_directory_is_named(tmp_path):
    """The error says what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"no directory|cannot be made"):
        make_directory(tmp_path / "file")
    with pytest.raises(JournalError, match="cannot be made"):
        make_directory(tmp_path / "file" / "run")
    with pytest.raises(JournalError, match="cannot be made"):
        new_directory(tmp_path / "nowhere", RUN)


async def test_a_run_of_the_same_name_but_another_identity_is_not_continued(tmp_path):
    """Names hold 8 digits of the identity; the journal holds all of it."""
    directory = await make(tmp_path, OTHER_RUN, under_root=True)
    (tmp_path / directory.name).rename(tmp_path / f"x-{RUN.short}-1")
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert journal.found.is_new
        assert len(journal.found.ancestors) == 1


async def test_a_run_of_a_later_version_is_passed_over(tmp_path, caplog):
    """It cannot be read, and is not ours to touch: a warning, and a directory of its own."""
    directory = await make(tmp_path, under_root=True)
    with closing(sqlite3.connect(directory / "journal.sqlite")) as db:
        db.execute("PRAGMA user_version=2")
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert journal.directory != directory
    assert "format 2" in caplog.text
    assert files(directory) == ["journal.sqlite", "run.lock"]


async def test_a_run_whose_lock_is_no_file_is_passed_over(tmp_path, caplog):
    """Something else in the lock's place: a warning, and a directory of its own."""
    caplog.set_level(logging.WARNING)
    directory = await make(tmp_path, under_root=True)
    (directory / "run.lock").chmod(0)
    (tmp_path / "twin").hardlink_to(directory / "run.lock")
    async with open_journal(identity=RUN, root=tmp_path) as journal:
        assert journal.found.is_new
    assert "is not continued" in caplog.text
