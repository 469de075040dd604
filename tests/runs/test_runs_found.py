"""Which runs there are, which one a name means, and what is known of one."""

import os
import signal
from pathlib import Path

import pytest
from runs_kit import ACCOUNT, HANGING, finish, leave_early, questions, read_indices, running

from distilabel import runs
from distilabel.errors import ConfigurationError, JournalError
from distilabel.journal.files import JOURNAL_NAME


@pytest.fixture
def root(tmp_path) -> Path:
    """Where the runs of a test are."""
    return tmp_path / "runs"


def only(root) -> runs.RunInfo:
    """The one run that there is."""
    (run,) = runs.list_runs(root)
    return run


def test_runs_are_listed_newest_first(root):
    """The run written last comes first, with its state, rows and calls."""
    finish(questions(3))
    leave_early(questions(9), after=2, hangs_from=2)
    unfinished, finished = runs.list_runs()
    assert (finished.state, finished.rows, finished.total_rows) == ("finished", 3, 3)
    assert (unfinished.state, unfinished.rows, unfinished.total_rows) == ("unfinished", 2, 9)
    assert (finished.calls, finished.label) == (3, "writer")
    assert {run.directory.parent for run in (finished, unfinished)} == {root}


def test_looking_does_not_make_a_run_newer(root):
    """A killed run, whose log is folded when it is read, keeps its age and its place."""
    with running(HANGING, 9, 3) as process:
        read_indices(process, 3)
        process.kill()
        process.wait()
    finish(questions(3))
    before = runs.list_runs()
    assert [run.state for run in before] == ["finished", "unfinished"]
    assert runs.show(before[1].name).run.updated == before[1].updated
    assert [(run.name, run.updated) for run in runs.list_runs()] == [
        (run.name, run.updated) for run in before
    ]


def test_a_place_without_runs_has_none(root):
    """A root that is not there, or holds other things, has no runs."""
    assert runs.list_runs() == runs.list_runs(root / "nowhere") == []
    root.mkdir()
    (root / "file").touch()
    (root / "directory").mkdir()
    assert runs.list_runs() == []


def test_a_root_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """A root that the system refuses is an error of ours, with its path."""

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(JournalError, match="Permission denied") as caught:
        runs.list_runs(tmp_path)
    assert caught.value.path == tmp_path


def test_details_say_what_it_took(root):
    """Rows by failure, tokens, stages and version are counted from the records."""
    finish(questions(6), fails=(1, 4))
    details = runs.show(only(root).name)
    assert details.run.state == "unfinished"  # those two are asked for if it is started again
    assert (details.run.rows, details.rows_failed) == (6, 2)
    assert details.failed_by_cause == {"context_length": 2}
    assert (details.usage.prompt_tokens, details.usage.completion_tokens) == (40, 20)
    assert details.usage.cached_tokens == 4 * ACCOUNT.cached_tokens
    assert details.figures.calls_by_stage == {"generator": 4}
    (stage,) = details.stages
    assert (stage.stage, stage.model, stage.task) == ("generator", "writer", "TextGenerationTask")
    assert details.cost is None
    assert details.run.version
    assert details.to_dict()["failed_by_cause"] == {"context_length": 2}
    assert details.summary().usage == details.usage


@pytest.mark.parametrize("price", [None, (1.0, 2.0)])
def test_a_list_says_what_runs_spent(root, price):
    """A listed run has the tokens and dollars that its details have; no price, no dollars."""
    finish(questions(3), price=price)
    run, details = only(root), runs.show(only(root).name)
    assert run.spend is not None
    assert run.spend == details.run.spend == details.figures.spend
    assert run.spend.usage.completion_tokens == 3 * ACCOUNT.completion_tokens
    cost = 3 * (ACCOUNT.prompt_tokens + 2 * ACCOUNT.completion_tokens) / 1e6
    assert run.spend.cost == (None if price is None else pytest.approx(cost))


def test_values_that_json_has_no_word_for_do_not_hide_failures(root):
    """Failures are counted in rows with NaN and with lone surrogates, too."""
    rows = [
        {"input": "q0", "number": float("nan")},
        {"input": "q1", "text": "\ud800"},
        {"input": "q2", "bytes": b"\xff"},
    ]
    finish(rows, fails=(0, 1, 2))
    assert runs.show(only(root).name).rows_failed == 3


def test_calls_in_flight_are_told(root):
    """A killed run says how many calls may be bought a second time."""
    with running(HANGING, 9, 3) as process:
        read_indices(process, 3)
        process.kill()
        process.wait()
    assert 1 <= runs.show(only(root).name).in_flight_at_end <= 4


def test_a_run_that_is_under_way_names_its_process(root):
    """A live run is listed and shown at once, with the process that works there."""
    with running(HANGING, 9, 3) as process:
        read_indices(process, 3)
        run = only(root)
        details = runs.show(run.name)
        assert run.state == details.run.state == "running"
        assert run.holder is not None
        assert run.holder.pid == process.pid
        assert details.to_dict()["pid"] == process.pid
        assert details.to_dict()["rows"] is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert only(root).state == "unfinished"


def test_a_damaged_run_says_so(root):
    """A journal that is no database any more is damaged, and kept as it is."""
    finish(questions(3))
    directory = only(root).directory
    (directory / JOURNAL_NAME).write_bytes(b"not a database" * 100)
    run = only(root)
    assert (run.state, run.rows) == ("damaged", 0)
    assert str(directory) in run.problem
    assert runs.show(run.name).run.state == "damaged"
    assert (directory / JOURNAL_NAME).exists()


def test_a_run_of_a_later_version_is_not_called_damaged(root):
    """What another version wrote is unreadable here, which is not damage."""
    finish(questions(3))
    path = only(root).directory / JOURNAL_NAME
    content = bytearray(path.read_bytes())
    content[60:64] = (99).to_bytes(4)  # SQLite's user_version
    path.write_bytes(content)
    assert only(root).state == "unreadable"
    assert "format 99" in only(root).problem


def test_a_description_that_is_none_hides_nothing_else(root):
    """A run whose description cannot be read is shown and exported without it."""
    from distilabel.journal.database import open_database

    finish(questions(3))
    run = only(root)
    database = open_database(run.directory / JOURNAL_NAME)
    database.write((), (), {"description": '{"stages": 7}'})
    database.close()
    details = runs.show(run.name)
    assert (details.run.rows, details.stages) == (3, ())
    assert not details.relaunch.can_run
    assert runs.export(run.name)["generations"] == [[f"answer {n}"] for n in range(3)]


def test_a_name_that_is_unknown_lists_those_that_exist(root):
    """An unknown name is refused with the names that there are, the newest ten of them."""
    for total in range(1, 13):
        finish(questions(total))
    with pytest.raises(ConfigurationError, match=r"no run 'x' in .*There are: writer-.* and 2 mor"):
        runs.show("x")


def test_where_there_is_no_run_that_is_said():
    """With no runs at all, the error says where they would be."""
    with pytest.raises(ConfigurationError, match="There is none at all"):
        runs.export("x")


@pytest.mark.parametrize("name", ["..", ".", "", "a\0b"])
def test_a_name_does_not_lead_out_of_the_root(root, name):
    """What is no single component is no name."""
    root.mkdir()
    with pytest.raises(ConfigurationError, match="no name of a run"):
        runs.show(name)


def test_a_path_with_a_separator_is_a_directory(root, monkeypatch):
    """A directory is taken as one if it has a separator, or is a path; a bare name is a name."""
    finish(questions(3))
    directory = only(root).directory
    monkeypatch.chdir(root)
    monkeypatch.setenv("DISTILABEL_RUNS", "elsewhere")
    for place in (
        str(directory),
        f"./{directory.name}",
        f"{directory.name}/",
        Path(directory.name),
    ):
        assert runs.show(place).run.rows == 3
    with pytest.raises(ConfigurationError, match="there is no run"):
        runs.show(directory.name)
    with pytest.raises(ConfigurationError, match="holds no run"):
        runs.show(root)


@pytest.mark.parametrize("is_path", [False, True])
def test_a_link_is_refused(root, is_path):
    """A link to a run directory is not followed, by name or by path, and not listed."""
    finish(questions(3))
    real = only(root)
    link = root / "link"
    link.symlink_to(real.directory, target_is_directory=True)
    for use in (runs.show, runs.export, runs.relaunch_of):
        with pytest.raises(ConfigurationError, match="symbolic link"):
            use(f"{link}{os.sep}" if is_path else "link")
    assert [run.name for run in runs.list_runs()] == [real.name]
