"""What a run says before its first call, and how it says to go on."""

import sys
from pathlib import Path

import pytest

from distilabel.journal import JournalState
from distilabel.pipeline.forecast import Forecast
from distilabel.pipeline.telling import beginning, resume_line

HERE = Path("runs/one")


@pytest.mark.parametrize(
    ("found", "forecast"),
    [
        (JournalState(HERE), None),
        (JournalState(HERE, ancestor_calls=36), Forecast(6, 0, 0, 6)),
        (JournalState(HERE, ancestor_calls=36), Forecast(6, 0, 0, 6, may_share=True)),
    ],
)
def test_a_fresh_run_says_only_where_replies_are_kept(found, forecast) -> None:
    """Other runs that have nothing for this one are not spoken of."""
    assert beginning(found, forecast) == "every reply is kept in runs/one"


def test_a_fresh_run_says_what_it_takes_from_others() -> None:
    """Where calls are reused, it says how many, and how many are bought."""
    assert beginning(JournalState(HERE, ancestor_calls=36), Forecast(6, 2, 4, 8)) == (
        "every reply is kept in runs/one; earlier runs hold 36 more calls; of 6 rows 2 need no "
        "call; 4 calls are reused, 8 will be bought"
    )


def test_what_cannot_be_foretold_is_said_as_far_as_it_is_known() -> None:
    """Of a source that is read once, the calls that there are may be of use."""
    said = beginning(JournalState(HERE, ancestor_calls=1), None)
    assert said == "every reply is kept in runs/one; earlier runs hold 1 more call"


def test_one_of_a_kind_is_no_plural() -> None:
    """One row, one call, one in flight."""
    found = JournalState(HERE, calls=1, rows=1, in_flight_at_end=1)
    assert beginning(found, Forecast(1, 1, 1, 0)) == (
        "runs/one holds 1 row and 1 call; of 1 row 1 needs no call; 1 call is reused, 0 will be "
        "bought; at most 1 call was in flight when the earlier run ended, and may be bought a "
        "second time"
    )


def test_a_run_gone_on_with_says_what_is_missing() -> None:
    """What it holds, and what will be bought even where nothing of it is of use."""
    found = JournalState(HERE, calls=2, rows=0)
    assert beginning(found, Forecast(3, 0, 0, 3, may_share=True)) == (
        "runs/one holds 0 rows and 2 calls; of 3 rows 0 need no call; 0 calls are reused, 3 will "
        "be bought, or fewer: equal prompts are asked once"
    )


def test_a_finished_run_is_offered_free_of_charge() -> None:
    """What `resume="always"` would spare is said in plain words, and how a shell asks for it."""
    said = beginning(JournalState(HERE, same_finished=Path("runs/two")), None)
    assert said.endswith(
        'resume="always" (in a shell, --resume always) would reuse its replies free of charge'
    )


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Has the process be one of our program, installed in a directory that may be on the PATH."""

    def start(*arguments: str, is_on_path: bool = True, name: str = "distilabel") -> Path:
        program = tmp_path / "bin" / name
        program.parent.mkdir()
        program.touch(mode=0o755)
        monkeypatch.setattr(sys, "argv", [str(program), *arguments])
        monkeypatch.setattr(sys, "orig_argv", ["/opt/bin/python", str(program), *arguments])
        monkeypatch.setenv("PATH", str(program.parent if is_on_path else tmp_path))
        return program

    return start


@pytest.mark.parametrize("never", [("--resume", "never"), ("--resume=never",)])
def test_going_on_does_not_begin_anew(started, never) -> None:
    """The line that goes on with a run has no `--resume never`, and names the program alone."""
    started("generate", "a b.jsonl", *never, "-m", "openai:w", "--api-key", "abc")
    assert resume_line() == "distilabel generate 'a b.jsonl' -m openai:w --api-key '***'"


def test_other_ways_to_resume_are_kept(started) -> None:
    """Only what would begin anew is left out."""
    started("generate", "never", "--resume", "always")
    assert resume_line() == "distilabel generate never --resume always"


def test_a_program_that_is_not_on_the_path_is_named_in_full(started) -> None:
    """The line works where it is printed: another program of that name would not do."""
    program = started("generate", "rows.jsonl", is_on_path=False)
    assert resume_line() == f"{program} generate rows.jsonl"


def test_a_script_is_started_as_it_was(started) -> None:
    """What a user's script means by its arguments is its own affair."""
    program = started("--resume", "never", name="make.py")
    assert resume_line() == f"/opt/bin/python {program} --resume never"
