"""`distilabel demo` as a real process: in a pipe, on a terminal, and stopped in the middle."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from distilabel.cli.page import SNIPPET, Page
from distilabel.cli.prompts import PROMPTS_MAX, demo_prompts
from distilabel.dataset import CustomDataset
from distilabel.tasks import UltraFeedbackTask
from distilabel.types import Row

SHORT = ("demo", "--rows", "12", "--latency-median", "0.05")
LONG = ("demo", "--rows", "200", "--latency-median", "10")
FIRST_ROW = "The first finished row"
DEADLINE_S = 30


def test_in_a_pipe_everything_is_plain(run, tmp_path):
    """Piped, the demo shows the first row, ratings, run and code as text without escape codes."""
    code, out, err = run(*SHORT, env={"FORCE_COLOR": "1"})
    assert code == 0
    assert "\x1b" not in out + err
    assert not set("╭│█━") & set(out + err)
    assert re.search(r"after \d+\.\d s; 11 more are on their way:", out)
    assert len(re.findall(r"^  Rated [1-5]  \S", out, re.MULTILINE)) == 2
    assert out.index(FIRST_ROW) < out.index("mean ") < out.index("calls") < out.index(SNIPPET)
    assert "over 24 ratings" in out
    assert "rows      12, 0 with failures" in out
    assert err.count(": 12/12 rows") == 2
    dataset = CustomDataset.load_from_disk(tmp_path / "distilabel-demo")
    assert [row["input"] for row in demo_prompts(12)] == list(dataset["input"])
    assert isinstance(dataset.task, UltraFeedbackTask)
    assert dataset.run.rows == 12


def on_terminal(start, *arguments, columns=80):
    """The command on a pseudo-terminal: the process, and the end to read from."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    return process, ours


def read(descriptor, until=None):
    """What is written to a descriptor, to its end or until a text was seen."""
    seen, deadline_s = b"", time.monotonic() + DEADLINE_S
    while until is None or until.encode() not in seen:
        ready, _, _ = select.select([descriptor], [], [], deadline_s - time.monotonic())
        assert ready, seen.decode(errors="replace")
        try:
            data = os.read(descriptor, 65_536)
        except OSError:  # how Linux says that the other end of a terminal is closed
            data = b""
        if not data:
            break
        seen += data
    return seen.decode(errors="replace")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_a_bar(start, columns):
    """On a terminal bars are redrawn in place, no line is too long, and the cursor comes back."""
    process, terminal = on_terminal(start, *SHORT, columns=columns)
    text = read(terminal)
    os.close(terminal)
    assert process.wait(DEADLINE_S) == 0
    assert "━" in text
    assert "\x1b[1A" in text  # a line up: drawn over
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert max(len(line) for line in re.split(r"[\r\n]+", shown)) <= columns
    assert shown.index(FIRST_ROW) < shown.rindex("12/12")
    assert all(line in shown for line in SNIPPET.splitlines())


def children_of(pid):
    """The processes that a process started."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = (map(int, line.split()) for line in listing.stdout.splitlines())
    return [child for child, parent in pairs if parent == pid]


def is_running(pid):
    """Whether there is such a process; one that ended and was not waited for is none."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["process", "group"])
def test_ctrl_c_ends_it_cleanly(start, tmp_path, send):
    """Ctrl-C in the middle: exit code 130, one clean line, no provider and no directory left."""
    process = start(*LONG)
    read(process.stdout.fileno(), until="distilabel demo:")
    deadline_s = time.monotonic() + DEADLINE_S
    while not (children := children_of(process.pid)):
        assert time.monotonic() < deadline_s
    send(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err.decode().endswith("distilabel: stopped\n")
    assert b"Traceback" not in out + err
    assert [pid for pid in children if is_running(pid)] == []
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_on_a_terminal_gives_the_cursor_back(start):
    """Ctrl-C while the bar is drawn leaves the terminal as it was."""
    process, terminal = on_terminal(start, *LONG)
    text = read(terminal, until="generator")
    os.killpg(process.pid, signal.SIGINT)
    text += read(terminal)
    os.close(terminal)
    assert process.wait(DEADLINE_S) == 130
    assert "Traceback" not in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
    assert text.endswith("distilabel: stopped\r\n")


@pytest.mark.parametrize("name", ["file", "directory"])
def test_what_is_not_ours_is_left_alone(run, tmp_path, name):
    """A file, or a directory that no demo made, is refused at once and keeps what it holds."""
    if name == "directory":
        (tmp_path / name).mkdir()
        (tmp_path / name / "distilabel.json").write_text("dear")
    else:
        (tmp_path / name).write_text("dear")
    code, out, err = run("demo", "--output", name)
    assert (code, out) == (2, "")
    assert err == (
        f"distilabel: {name} exists and was not made by a demo, so it is left alone. "
        "Choose another place with --output.\n"
    )
    kept = tmp_path / name / "distilabel.json" if name == "directory" else tmp_path / name
    assert kept.read_text() == "dear"


def test_a_demos_own_directory_is_replaced(run, tmp_path):
    """The data set of an earlier demo is replaced, and the demo says so."""
    (tmp_path / "distilabel-demo").mkdir()
    (tmp_path / "distilabel-demo" / ".distilabel-demo").touch()
    code, out, _ = run("demo", "--rows", "1", "--latency-median", "0")
    assert code == 0
    assert "distilabel-demo (in place of an earlier demo's)" in out
    assert len(CustomDataset.load_from_disk(tmp_path / "distilabel-demo")) == 1


HOSTILE = "[bold red]x[/] [/] \x1b[2J\x1b]0;title\x07 \x9b31m\r\n:skull:"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_models_text_is_shown_as_text(monkeypatch, capsys, is_terminal):
    """Markup in a model's text is shown as it is; control characters are not shown at all."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    values = {
        "input": HOSTILE,
        "generations": [HOSTILE, None],
        "rating": [3.5, None],
        "rationale": [HOSTILE, None],
    }
    Page().first_row(Row(values, index=0), 1.0, 0)
    out = capsys.readouterr().out
    assert ("\x1b" in out) is is_terminal
    for harmful in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\r"):
        assert harmful not in out
    assert out.count("[bold red]x[/] [/]") == out.count(":skull:") == 3
    assert "Rated 3.5" in out
    assert "no rating" in out


def test_a_row_without_labels_is_shown(capsys):
    """A row that failed altogether is shown with nothing in it."""
    values = {"input": "?", "generations": [None], "rating": None, "rationale": None}
    Page().first_row(Row(values, index=0), 1.0, 3)
    assert "no rating" in capsys.readouterr().out


def test_the_code_that_is_shown_runs(serve):
    """The five lines run as they are, given a key and a provider."""
    assert len(SNIPPET.splitlines()) == 5
    assert max(map(len, SNIPPET.splitlines())) < 80
    endpoint = serve(require_key="canary")
    surroundings = {"OPENAI_API_KEY": "canary", "OPENAI_BASE_URL": endpoint.openai_url}
    done = subprocess.run(
        [sys.executable, "-c", f"{SNIPPET}print(len(dataset[0]['rating']))"],
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2\n"


def test_the_prompts_are_all_different():
    """There are two hundred prompts, and no two are alike."""
    texts = [row["input"] for row in demo_prompts(PROMPTS_MAX)]
    assert len(set(texts)) == len(texts) == 200
