"""What a pipe gets of the help, of usage errors and of tables; and a pipe that nobody reads."""

import os

import pytest

COLOURED = ({"FORCE_COLOR": "1"}, {"PY_COLORS": "1"}, {"TTY_COMPATIBLE": "1"})


@pytest.fixture
def unread():
    """The writing end of a pipe whose reader has gone."""
    ours, theirs = os.pipe()
    os.close(ours)
    yield theirs
    os.close(theirs)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("generate", "--help"),
        ("--version",),
        ("init", "-"),
        ("runs",),
        ("demo", "--rows", "2", "--latency-median", "0.01"),
    ],
    ids=" ".join,
)
def test_a_reader_that_goes_away_is_no_failure(start, unread, arguments):
    """Whatever writes to a pipe that nobody reads ends with 0, and says nothing of it."""
    process = start(*arguments, stdout=unread)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in err, b"Errno" in err) == (0, False, False), err


def test_a_usage_error_that_nobody_reads_is_still_one(start, unread):
    """A command that cannot work does not end well because its message has no reader."""
    process = start("generate", "--bad", stderr=unread)
    process.communicate(timeout=60)
    assert process.returncode != 0


@pytest.mark.parametrize("environment", COLOURED, ids=lambda each: next(iter(each)))
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("generate", "--help"), 0), (("generate", "--bad"), 2), (("runs", "show"), 2)],
    ids=["help", "unknown-option", "missing-argument"],
)
def test_a_pipe_gets_no_escape_codes(run, environment, arguments, code):
    """Help and usage errors in a pipe are plain text, whatever the environment says of colours."""
    found, out, err = run(*arguments, env=environment)
    assert found == code
    assert "Usage: " in out + err
    assert "\x1b" not in out + err
