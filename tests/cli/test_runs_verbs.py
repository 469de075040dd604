"""`distilabel runs` as a real process: in a pipe, on a terminal, beside live and killed runs."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from distilabel.cli import runs_page
from distilabel.cli.app import app
from distilabel.cli.runs import runs_app
from distilabel.dataset import CustomDataset
from distilabel.errors import RowFatalError
from distilabel.journal import RunInfo, find_runs
from distilabel.journal.figures import Spend
from distilabel.journal.known import note_start
from distilabel.pipeline import Pipeline
from distilabel.runs.details import opened_run
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM
from distilabel.types import Usage

DEADLINE_S = 30
MAKE = """
import asyncio, os, sys
from distilabel.events import RowFinished
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM

HANGS_FROM = int(os.environ.get("HANGS_FROM", "1000"))

class Writer(ScriptedLLM):
    async def complete(self, call):
        number = int(call.prompt.rsplit("q", 1)[1])
        if number >= HANGS_FROM:
            await asyncio.Event().wait()
        return [f"answer {number} \\x1b[2J\\x9b31m"]

def tell(event):
    if isinstance(event, RowFinished):
        print(event.row_index, flush=True)

rows = [{"input": f"q{n}"} for n in range(6)]
writer = Writer(TextGenerationTask(), (), model_name="writer\\x1b[2J\\x9b")
Pipeline(generator=writer).generate(rows, verbose=False, on_event=tell)
sys.exit(int(os.environ.get("EXIT", "0")))
"""


class Making:
    """Starts the script that makes a run, in a directory of its own."""

    def __init__(self, place: Path) -> None:
        self.script = place / "make.py"
        self.script.write_text(MAKE)
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, self.script.name, *arguments],
            env={**os.environ, **environment},
            cwd=self.script.parent,
            stdout=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def live(self, **environment: str) -> subprocess.Popen[bytes]:
        """A run that has finished four rows of six, and hangs in the others."""
        process = self(HANGS_FROM="4", **environment)
        assert sorted(int(process.stdout.readline()) for _ in range(4)) == [0, 1, 2, 3]
        return process

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.started:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def make(tmp_path):
    """Starts the script, until the test ends."""
    making = Making(tmp_path)
    yield making
    making.end()


@pytest.fixture
def live(make):
    """A run that is under way: its process."""
    return make.live()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The script, and two runs that it has made: one was killed, one is finished."""
    place = tmp_path_factory.mktemp("made")
    making = Making(place)
    killed = making.live(DISTILABEL_RUNS=str(place / "killed"))
    done = making(DISTILABEL_RUNS=str(place / "done"))
    assert done.stdout.read().count(b"\n") == 6
    assert done.wait() == 0
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    yield place
    making.end()


@pytest.fixture
def killed(made, tmp_path) -> str:
    """The name of a run that was killed with four rows of six, under the test's own root."""
    shutil.copytree(made / "killed", tmp_path / "runs")
    (copy,) = find_runs()
    with opened_run(copy.directory) as opened:
        note_start(copy.directory, opened.description.launch)  # as if it had been made there
    return copy.name


@pytest.fixture
def done(made, tmp_path) -> str:
    """The name of a run that is finished, under the test's own root."""
    return shutil.copytree(made / "done", tmp_path / "runs") and find_runs()[0].name


def test_the_list_is_text_in_a_pipe(run, killed):
    """Piped, there is a line for each run, tab-separated, without escape codes."""
    code, out, err = run("runs", env={"FORCE_COLOR": "1"})
    assert (code, err) == (0, "")
    head, line = (each.split("\t") for each in out.splitlines())
    assert head[:7] == ["run", "state", "rows", "total_rows", "calls", "bytes", "updated"]
    assert (head[7:], line[7:]) == (["tokens", "dollars"], ["0", "-"])
    assert line[:5] == [killed, "unfinished", "4", "6", "4"]
    assert "\x1b" not in out
    assert run("runs", "list")[1] == out


def test_the_list_is_json_if_that_is_asked_for(run, killed):
    """With `--json` there is an array of what is known of each run."""
    code, out, _ = run("runs", "--json")
    (line,) = json.loads(out)
    assert code == 0
    assert (line["name"], line["state"], line["rows"]) == (killed, "unfinished", 4)
    assert out == run("runs", "list", "--json")[1]


def test_no_runs_are_no_error(run, tmp_path):
    """Without runs the list is empty, and where it looked is said beside it."""
    assert run("runs") == (0, "", f"distilabel: there are no runs in {tmp_path / 'runs'}\n")
    assert run("runs", "--json") == (0, "[]\n", "")
    code, _, err = run("runs", "--root", "elsewhere", "list")
    assert (code, err) == (0, "distilabel: there are no runs in elsewhere\n")


def test_show_says_what_there_is_and_how_to_go_on(run, killed, made):
    """A killed run has its figures, and the command that goes on with it."""
    code, out, _ = run("runs", "show", killed)
    facts = dict(line.split("\t") for line in out.splitlines())
    assert code == 0
    assert facts["state"] == "unfinished"
    assert facts["rows"] == "4 of 6, 0 with failures"
    assert facts["resume"] == f"distilabel runs resume {killed}"
    assert str(made / "make.py") in facts["command"]
    assert "may be bought a second time" in facts["in flight at its end"]
    assert not {"\x1b", "\x9b"} & set(out)
    assert json.loads(run("runs", "show", killed, "--json")[1])["can_resume"] is True


@pytest.mark.parametrize(
    ("texts", "left"), [("So.", "no call, as after an est"), (None, "calls that were given up: ")]
)
def test_show_says_what_is_left_where_all_rows_are_there(monkeypatch, tmp_path, texts, left):
    """After an estimate of all rows nothing more is bought; of rows with failures, those are."""
    monkeypatch.setenv("DISTILABEL_RUNS", str(tmp_path))

    def answer(call):
        if texts is None:
            raise RowFatalError("no", cause="no")
        return texts

    pipe = Pipeline(ScriptedLLM(TextGenerationTask(), answer))
    pipe.estimate([{"input": "Why?"}, {"input": "How?"}], sample=2, verbose=False)
    (run,) = find_runs(tmp_path)
    result = CliRunner().invoke(app, ["runs", "show", run.name])
    assert f"left\t{left}" in result.stdout


def test_a_run_is_named_by_its_directory_too(run, killed, tmp_path):
    """A path names a run as its name does, and so does another root."""
    by_name = run("runs", "show", killed, "--json")
    assert run("runs", "show", str(tmp_path / "runs" / killed), "--json") == by_name
    apart = {"DISTILABEL_RUNS": "elsewhere"}
    for arguments in (("show", killed, "--root", "runs"), ("--root", "runs", "show", killed)):
        assert run("runs", *arguments, env=apart)[0] == 0


@pytest.mark.parametrize(
    ("verb", "name", "further"),
    [
        ("show", "nonsense", ()),
        ("show", "../make.py", ()),
        ("resume", "..", ()),
        ("export", "a\x1b[2J", ("-",)),
    ],
)
def test_an_unknown_name_is_one_line(run, killed, verb, name, further):
    """What is no run is refused in one clean line, with exit code 2."""
    code, out, err = run("runs", verb, name, *further)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert (killed in err) is (name in {"nonsense", "a\x1b[2J"})


def test_a_killed_run_is_exported_to_a_pipe(run, killed):
    """The rows that were acknowledged come as lines of JSON, in order, and as nothing else."""
    code, out, err = run("runs", "export", killed, "-")
    assert (code, err) == (0, "distilabel: 4 rows\n")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["input"] for row in rows] == ["q0", "q1", "q2", "q3"]
    assert rows[3]["generations"] == ["answer 3 \x1b[2J\x9b31m"]
    assert not {"\x1b", "\x9b"} & set(out)


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv", "out.parquet", "out"])
def test_an_export_is_a_file_or_a_directory(run, killed, tmp_path, output):
    """Each kind of output is written, but not over what is there."""
    said = f"distilabel: 4 rows written to {output}\n"
    assert run("runs", "export", killed, output) == (0, "", said)
    code, out, err = run("runs", "export", killed, output)
    assert (code, out) == (2, "")
    assert "--force" in err
    assert {path.name for path in tmp_path.iterdir()} == {"runs", output}
    if output == "out":
        assert len(CustomDataset.load_from_disk(tmp_path / output)) == 4
        assert run("runs", "export", killed, output, "--force") == (0, "", said)


def test_what_reads_only_the_first_lines_is_no_error_of_ours(start, killed):
    """A reader that has enough leaves no traceback."""
    process = start("runs", "export", killed, "-")
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait(DEADLINE_S)


@pytest.mark.parametrize("verb", ["resume", "export"])
def test_a_live_run_is_refused_by_its_process(run, live, verb):
    """What needs a run that is under way is refused, with exit code 1 and the process's number."""
    (listed,) = find_runs()
    further = ("-",) if verb == "export" else ()
    code, out, err = run("runs", verb, listed.name, *further)
    assert (code, out) == (1, "")
    assert f"in use by process {live.pid} on " in err
    assert err.count("\n") == 1
    assert f"running (pid {live.pid} on " in run("runs", "show", listed.name)[1]
    assert live.poll() is None


def test_resume_goes_on_where_it_stopped(run, killed):
    """The script is started again, buys what is missing, and its exit code is the command's."""
    code, out, err = run("runs", "resume", killed, env={"EXIT": "7"})
    assert code == 7
    assert err.startswith("distilabel: resuming: cd ")
    assert sorted(map(int, out.split())) == list(range(6))
    (finished,) = find_runs()
    assert (finished.name, finished.state, finished.calls) == (killed, "finished", 6)
    code, _, err = run("runs", "resume", killed)
    assert code == 2
    assert "nothing to resume" in err


def test_resume_stops_by_the_signal_that_it_gets(start, killed):
    """The script stands in the command's place, so a signal stops it as it would by hand."""
    process = start("runs", "resume", killed, env={"HANGS_FROM": "5"})
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)  # lets what is in flight land
    process.send_signal(signal.SIGTERM)  # drops it
    assert process.wait(DEADLINE_S) in {-signal.SIGINT, 128 + signal.SIGTERM}
    assert [(each.state, each.rows) for each in find_runs()] == [("unfinished", 5)]


def test_resume_without_the_arguments_says_what_to_run(run, make):
    """A run that was started with arguments is not started again, and none of them is shown."""
    process = make("--key", "sk-canary", HANGS_FROM="1")
    process.stdout.readline()
    process.kill()
    process.wait()
    code, out, err = run("runs", "resume", find_runs()[0].name)
    assert (code, out) == (2, "")
    assert "make.py ARGUMENTS" in err
    assert "sk-canary" not in err


def test_clean_wants_a_yes_where_nobody_can_be_asked(run, done, tmp_path):
    """Without a terminal nothing is deleted unless that is said."""
    code, _, err = run("runs", "clean", stdin=subprocess.DEVNULL)
    assert (code, err.count("--yes")) == (2, 1)
    assert (tmp_path / "runs" / done).exists()
    code, _, err = run("runs", "clean", "--yes", stdin=subprocess.DEVNULL)
    assert code == 0
    assert err.startswith("distilabel: deleted 1 run, ")
    assert not (tmp_path / "runs" / done).exists()


def test_clean_keeps_what_can_be_resumed(run, killed, tmp_path):
    """An unfinished run is deleted only with `--all`."""
    code, _, err = run("runs", "clean", "--yes")
    assert (code, err) == (0, "distilabel: there is nothing to clean; unfinished runs are kept\n")
    assert run("runs", "clean", "--all", "--older-than", "1h", "--yes")[0] == 0
    assert (tmp_path / "runs" / killed).exists()
    assert run("runs", "clean", "--all", "--yes")[0] == 0
    assert not (tmp_path / "runs" / killed).exists()


@pytest.mark.parametrize("length", ["7", "d", "7 days", "-7d", "7y"])
def test_a_length_of_time_that_is_none_is_refused(run, length):
    """What is no length of time is refused with what would be one."""
    code, _, err = run("runs", "clean", f"--older-than={length}", "--yes")
    assert code == 2
    assert "90m, 12h, 7d or 4w" in err


def on_terminal(start, *arguments):
    """The command on a pseudo-terminal: the process, and our end."""
    ours, theirs = pty.openpty()
    process = start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    return process, ours


def read(descriptor, until=None) -> str:
    """What is written to a terminal, to its end or until a text was seen."""
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


@pytest.mark.parametrize(("answer", "is_deleted"), [("y", True), ("n", False), ("", False)])
def test_clean_asks_on_a_terminal(start, done, tmp_path, answer, is_deleted):
    """On a terminal what would be deleted is shown, and a yes is waited for."""
    process, terminal = on_terminal(start, "runs", "clean")
    text = read(terminal, until="[y/N]")
    os.write(terminal, f"{answer}\n".encode())
    text += read(terminal)
    os.close(terminal)
    assert process.wait(DEADLINE_S) == 0
    assert "Delete 1 run?" in text
    assert ("deleted 1 run" in text) is is_deleted
    assert (tmp_path / "runs" / done).exists() is not is_deleted


def test_a_terminal_shows_a_table(start, killed):
    """On a terminal there is a table with the whole name in it, and no control bytes of a model."""
    for arguments in (("runs",), ("runs", "show", killed)):
        process, terminal = on_terminal(start, *arguments)
        text = read(terminal)
        os.close(terminal)
        assert process.wait(DEADLINE_S) == 0
        assert "unfinished" in text
        assert killed in text.replace("\r\n", "")
        assert not any(bad in text for bad in ("\x1b[2J", "\x9b", "\t"))


SPENDS = {
    "priced": (Spend(Usage(10_000, 2_345), 0.0421), "$0.04210", ["12345", "0.0421"]),
    "unpriced": (Spend(Usage(10_000, 2_345)), "- (12.3k tokens)", ["12345", "-"]),
    "unread": (None, "", ["", ""]),
}


@pytest.mark.parametrize("case", SPENDS)
def test_the_list_says_what_a_run_has_spent(monkeypatch, capsys, tmp_path, case):
    """A run has its dollars; a dash and its tokens, where a price is not known; else nothing."""
    spend, shown, fields = SPENDS[case]
    listed = RunInfo(tmp_path / "a-run", calls=3, spend=spend)
    runs_page.print_list([listed])
    assert capsys.readouterr().out.splitlines()[1].split("\t")[7:] == fields
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    runs_page.print_list([listed])
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split("3  ")[1].split("  0 kB")[0].strip() == shown


HOSTILE = "[bold red]x[/] \x1b[2J\x1b]0;title\x07 \x9b31m\r\n\tend"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_a_run_is_called_is_untrusted(monkeypatch, capsys, tmp_path, is_terminal):
    """Control characters and markup in names and problems reach no terminal."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    listed = RunInfo(tmp_path / HOSTILE.replace("/", "|"), problem=HOSTILE, is_damaged=True)
    runs_page.print_list([listed])
    runs_page.print_details(runs_page_details(listed))
    out = capsys.readouterr().out
    for harmful in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\r", "31m\n"):
        assert harmful not in out
    assert "[bold red]x[" in out


def runs_page_details(listed):
    """The details of a run of which nothing could be read."""
    from distilabel.runs import RunDetails

    return RunDetails(listed)


def test_every_verb_has_an_example():
    """The help of each verb ends with a command that can be typed."""
    names = [command.name for command in runs_app.registered_commands]
    for name in names:
        result = CliRunner().invoke(app, ["runs", *([name] if name else []), "--help"])
        assert result.exit_code == 0
        assert "Example: distilabel runs" in result.stdout
    assert len(names) == 5


def test_json_stands_after_the_verb():
    """An option that would be passed over is refused."""
    result = CliRunner().invoke(app, ["runs", "--json", "show", "x"])
    assert result.exit_code == 2
