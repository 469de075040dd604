"""Starting a run again: what is noted of how it was started, and what is run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from runs_kit import HERE, finish, questions

from distilabel import runs
from distilabel.errors import ConfigurationError
from distilabel.journal import Launch
from distilabel.pipeline.describing import launch

KEY = "sk-canary-4711"
MAKE = """
from runs_kit import *
leave_early(questions(6), after=2, hangs_from=2, **json.loads(os.environ.get("SETTINGS", "{}")))
"""


@pytest.fixture
def program(tmp_path):
    """Writes the program that makes a run, and runs it in a directory of its own."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "make.py").write_text(f"import json, os{MAKE}")

    def start(
        *arguments: str, code: str | None = None, root: str | None = None, **settings
    ) -> runs.RunInfo:
        subprocess.run(
            [sys.executable, *(["-c", code] if code else []), *arguments],
            env={**os.environ, "PYTHONPATH": str(HERE), "SETTINGS": json.dumps(settings)},
            cwd=folder,
            check=True,
        )
        return runs.list_runs(root)[0]

    return start


def test_a_script_without_arguments_can_be_started_again(program, tmp_path):
    """The script, where it ran, and where its runs are: all that it takes."""
    run = program("make.py")
    relaunch = runs.relaunch_of(run.name)
    script, work = str(tmp_path / "work" / "make.py"), str(tmp_path / "work")
    assert relaunch.can_run
    assert relaunch.arguments == (sys.executable, script)
    assert relaunch.directory == work
    assert relaunch.environment == {"DISTILABEL_RUNS": str(tmp_path / "runs")}
    assert relaunch.command.startswith(f"cd {work} && DISTILABEL_RUNS=")
    assert runs.show(run.name).relaunch == relaunch


def test_a_module_can_be_started_again(program):
    """What was started by `-m` is started by `-m`."""
    relaunch = runs.relaunch_of(program("-m", "make").name)
    assert relaunch.arguments == (sys.executable, "-m", "make")
    assert relaunch.can_run


def test_arguments_are_not_kept(program):
    """No argument is written anywhere in the run directory, and the run is not started again."""
    run = program("make.py", f"--api-key={KEY}")
    relaunch = runs.relaunch_of(run.name)
    assert not relaunch.can_run
    assert "may hold keys" in relaunch.obstacle
    assert relaunch.command.endswith("make.py ARGUMENTS")
    for path in run.directory.iterdir():
        assert KEY.encode() not in path.read_bytes()
    with pytest.raises(ConfigurationError, match="with the same arguments: cd "):
        runs.resume(run.name)


def test_a_directory_that_the_program_names_is_left_to_it(program, tmp_path):
    """Where the program says `checkpoint_dir`, no variable is set for it."""
    run = program("make.py", root=str(tmp_path), checkpoint_dir=str(tmp_path / "kept"))
    assert run.directory == tmp_path / "kept"
    assert runs.relaunch_of(run.directory).environment == {}


def test_what_was_typed_at_a_prompt_is_not_started_again(program):
    """A run of `-c`, or of a notebook, says to run the same pipeline again."""
    run = program(code=f"import json, os{MAKE}")
    relaunch = runs.relaunch_of(run.name)
    assert (relaunch.can_run, relaunch.command) == (False, "")
    assert "notebook" in relaunch.obstacle


@pytest.mark.parametrize("script", [__file__, None])
def test_a_finished_run_is_not_started_again(monkeypatch, script):
    """There is nothing to resume, by script or at a prompt, and the error says what else to do."""
    main = ModuleType("__main__")
    main.__file__ = script
    monkeypatch.setitem(sys.modules, "__main__", main)
    finish(questions(2))
    with pytest.raises(ConfigurationError, match=r"is finished: .* Export it instead"):
        runs.resume(runs.list_runs()[0].name)


@pytest.mark.parametrize("place", ["", "journal.sqlite"])
def test_what_others_may_write_is_not_trusted(program, place):
    """A run directory or a journal that others may write to does not choose what is run."""
    run = program("make.py")
    (run.directory / place).chmod(0o777)
    assert "others may write to it" in runs.relaunch_of(run.name).obstacle


def test_what_belongs_to_another_user_is_not_trusted(program, monkeypatch):
    """A run of another user does not choose what is run."""
    run = program("make.py")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert "belongs to another user" in runs.relaunch_of(run.name).obstacle


def test_what_is_gone_is_said(program, tmp_path):
    """A script or directory that is gone is named."""
    run = program("make.py")
    (tmp_path / "work" / "make.py").unlink()
    assert "make.py, which made the run, is gone" in runs.relaunch_of(run.name).obstacle
    for path in (tmp_path / "work").rglob("*.pyc"):
        path.unlink()
    (tmp_path / "work").rename(tmp_path / "moved")
    assert "where the run was started, is gone" in runs.relaunch_of(run.name).obstacle


def test_a_prompt_is_no_script(monkeypatch):
    """In an interactive interpreter nothing can be started again, whatever it was started as."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    noted = launch(is_directory_named=False)
    assert (noted.script, noted.module) == (None, None)


def test_a_working_directory_that_is_gone_is_none(tmp_path, monkeypatch):
    """A process whose directory was deleted can run all the same."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert launch(is_directory_named=False).directory == ""
    monkeypatch.chdir(tmp_path)


def test_what_cannot_be_run_is_said(program, tmp_path, monkeypatch):
    """An interpreter that the system does not start is an error of ours."""
    run = program("make.py")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be run: No such file"):
        runs.resume(run.name)


def test_a_command_is_quoted():
    """Names with spaces and quotes are quoted as a shell needs it."""
    relaunch = runs.Relaunch(("/usr/bin/python", "it's.py"), "/a b", {"DISTILABEL_RUNS": "/c d"})
    done = subprocess.run(
        ["sh", "-n", "-c", relaunch.command], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert relaunch.command == (
        """cd '/a b' && DISTILABEL_RUNS='/c d' /usr/bin/python 'it'"'"'s.py'"""
    )


def test_a_launch_has_no_place_for_arguments():
    """What is noted has a directory, a script or module, and two truth values; nothing else."""
    assert Launch.__slots__ == (
        "directory",
        "script",
        "module",
        "has_arguments",
        "is_directory_named",
    )
    assert Path(launch(is_directory_named=True).directory) == Path.cwd()
