"""The command line: its verbs, its exit codes, and what it says when something is wrong."""

import signal
import socket
import subprocess
import sys

import httpx
import pytest
import typer
from typer.testing import CliRunner

import distilabel
import distilabel.cli.demo
from distilabel.cli.app import app
from distilabel.errors import (
    BudgetExceededError,
    ConfigurationError,
    DistilabelError,
    MissingDependencyError,
    RunFatalError,
)
from distilabel.naming import named
from distilabel.testing.serving import READY
from distilabel.types import RunSummary


def test_the_version_is_told(run):
    """`--version` says the package's version."""
    assert run("--version") == (0, f"distilabel {distilabel.__version__}\n", "")


def test_help_names_the_verbs(run):
    """`--help` names every verb."""
    code, out, _ = run("--help")
    assert code == 0
    assert "demo" in out
    assert "simulate" in out


def ask(url):
    """One chat completion from a simulated endpoint."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}
    reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=10, trust_env=False)
    return reply.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_simulate_answers_until_it_is_stopped(start, number):
    """`simulate` says its URL, answers there, and ends well on SIGTERM and on Ctrl-C."""
    options = ("--latency-median", "0.01", "--sigma", "0.1", "--seed", "3")
    process = start("simulate", "--port", "0", *options, "--slots", "4", "--rate", "100")
    line = process.stdout.readline().decode()
    assert line.startswith(READY)
    assert ask(line.removeprefix(READY).strip())
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, b"")


def test_simulate_says_that_a_port_is_taken(run):
    """A port that is taken is one line on standard error, and exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, out, err = run("simulate", "--port", str(other.getsockname()[1]))
    assert (code, out) == (2, "")
    assert err.startswith("distilabel: cannot listen on 127.0.0.1:")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("it cannot\nwork"), 2),
        (MissingDependencyError("p", needed_for="This", extra="e"), 2),
        (RunFatalError("no quota", cause="quota"), 1),
        (DistilabelError("\x1b[2Jdisk full"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_goes_wrong_is_one_line(monkeypatch, error, code):
    """An error of ours ends as one clean line and its exit code, without a traceback."""

    def broken(options):
        raise error

    monkeypatch.setattr(distilabel.cli.demo, "run_demo", broken)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == code
    assert result.stderr.startswith("distilabel: ")
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr


def test_an_error_names_options(monkeypatch):
    """What an error names as an argument of Python is said as the option that it is here."""
    error = BudgetExceededError(
        "Raise " + named("max_cost", "2") + "; " + named("timeout") + " stays.",
        summary=RunSummary(),
        max_cost=1.0,
        spent=1.0,
        needed=1.0,
    )

    def broken(options):
        raise error

    monkeypatch.setattr(distilabel.cli.demo, "run_demo", broken)
    said = CliRunner().invoke(app, ["demo"]).stderr
    assert said == "distilabel: Raise --max-cost 2; timeout stays.\n"
    assert str(error) == "Raise max_cost=2; timeout stays."


@pytest.mark.parametrize("key", ["OPENAI_API_KEY", "HF_TOKEN"])
def test_a_key_that_is_missing_is_asked_for_in_words_of_the_command_line(
    monkeypatch, tmp_path, key
):
    """Without a key it is said which variable to set, and no argument of Python."""
    (tmp_path / "p.jsonl").write_text('{"input": "Why?"}\n')
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    model = "openai:gpt-4o" if key == "OPENAI_API_KEY" else "endpoint:me/mine"
    result = CliRunner().invoke(app, ["generate", "p.jsonl", "-m", model, "-q"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert key in result.stderr
    assert "key_env in a .yaml file" in result.stderr
    assert "=" not in result.stderr


def test_a_directory_that_cannot_be_is_told_with_its_option(monkeypatch, tmp_path):
    """A run directory below a file is refused in words of the command line."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"input": "Why?"}\n')
    command = ["generate", "p.jsonl", "-m", "http://127.0.0.1:1/v1#m", "-q"]
    result = CliRunner().invoke(app, [*command, "--checkpoint-dir", "p.jsonl/run"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert "Choose another --checkpoint-dir, or set DISTILABEL_RUNS." in result.stderr


BUG = """
import sys
import distilabel.cli.demo

def broken(options):
    key = "canary" + "-4711"
    raise ZeroDivisionError("a bug")

distilabel.cli.demo.run_demo = broken
from distilabel.cli import main

sys.argv = ["distilabel", "demo"]
main()
"""


def test_a_traceback_shows_no_local_variables():
    """A bug of ours leaves a traceback without the values of local variables: they may be keys."""
    done = subprocess.run([sys.executable, "-c", BUG], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "canary-4711" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--rows", "0"),
        ("demo", "--rows", "201"),
        ("demo", "--generations", "0"),
        ("simulate", "--port", "70000"),
        ("simulate", "--latency-median", "-1"),
        ("nonsense",),
    ],
)
def test_options_that_cannot_work_are_refused(arguments):
    """A value out of range, or an unknown verb, is a usage error."""
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_the_command_line_loads_little():
    """Importing the command line loads neither datasets nor an HTTP client."""
    code = "import distilabel.cli.app, sys; print(*{n.split('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"datasets", "pyarrow", "aiohttp", "openai"}.isdisjoint(done.stdout.split())
    assert isinstance(app, typer.Typer)
