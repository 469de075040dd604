"""What the command line says is in words of a shell: options and verbs, nothing of Python."""

import json
import os
import re
import shlex
import threading

import pytest
import yaml
from typer.testing import CliRunner

from distilabel.cli.app import app
from distilabel.testing import SimulatedEndpoint

PYTHON = re.compile(r"dataset\.|\w\(|=True|replace=|async_generator|in Python")


@pytest.fixture(scope="module")
def provider():
    """A provider in a process of its own."""
    with SimulatedEndpoint.process() as endpoint:
        yield endpoint


@pytest.fixture
def refused(provider, tmp_path, monkeypatch):
    """Runs a verb that cannot work, on a file of prompts: the one line that says so."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"input": "Why?", "texts": ["So."]}\n')
    model = f"{provider.openai_url}#m"

    def said(*arguments: str) -> str:
        given = [each.format(model=model) for each in arguments]
        result = CliRunner().invoke(app, given)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
        assert not PYTHON.search(result.stderr), result.stderr
        return result.stderr

    return said


def test_a_missing_column_is_renamed_in_the_input(refused):
    """A column that the labeller lacks is told without a method of a data set."""
    said = refused("generate", "p.jsonl", "--labeller", "{model}")
    assert "no column 'generations'" in said
    assert said.endswith("It has: 'input', 'texts'. Rename one in the input itself.\n")


def test_a_column_in_the_way_is_renamed_in_the_input(refused, tmp_path):
    """A column that the run would overwrite is told without a method of a data set."""
    (tmp_path / "rated.jsonl").write_text('{"input": "Why?", "generations": ["So."]}\n')
    said = refused("generate", "rated.jsonl", "-m", "{model}")
    assert "column 'generations' already" in said
    assert said.endswith("Rename or remove it in the input itself.\n")


def test_a_value_that_no_option_has_is_told_with_the_option(refused):
    """A mistyped --resume is no mistake in a pipeline's file."""
    said = refused("generate", "p.jsonl", "-m", "{model}", "--resume", "sometimes")
    assert said == "distilabel: --resume must be one of auto, always, never, not 'sometimes'\n"


def test_what_exists_is_replaced_by_an_option(refused, tmp_path):
    """An output that exists is told with --force alone."""
    (tmp_path / "out.csv").write_text("dear")
    said = refused("generate", "p.jsonl", "-m", "{model}", "-o", "out.csv")
    assert said.endswith("out.csv exists. Choose another name, or have it replaced: --force.\n")


def test_a_pipe_with_a_name_is_not_estimated(refused, tmp_path):
    """A pipe that a shell has made for a command can be read once, as standard input can."""
    os.mkfifo(tmp_path / "rows")
    write = (tmp_path / "rows").write_text
    writer = threading.Thread(target=write, args=('{"input": "a"}\n',), daemon=True)
    writer.start()
    said = refused("estimate", "rows", "-m", "{model}")
    assert said.startswith("distilabel: rows, a pipe, can be read once, and `generate` after this")
    writer.join(30)


@pytest.mark.parametrize("options", [(), ("--checkpoint-dir", "my run")], ids=["named", "given"])
def test_rows_with_failures_are_told_with_a_command(tmp_path, monkeypatch, options):
    """What happened to rows that failed is shown by the command that the message names."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.chdir(tmp_path)
    rows = [{"input": "short"}, {"input": "x" * 3_000}]
    (tmp_path / "p.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with SimulatedEndpoint.process(max_prompt_chars=2_000) as endpoint:
        command = ["generate", "p.jsonl", "-m", f"{endpoint.openai_url}#m", "-o", "out.jsonl"]
        result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 3, result.output
    (line,) = (line for line in result.stderr.splitlines() if "have failures" in line)
    assert "1 of 2 rows have failures (context_length 1); what happened to each: " in line
    assert ".errors" not in line
    report = re.search(r"distilabel (report .*) \(or ", line)[1]
    assert CliRunner().invoke(app, shlex.split(report)).exit_code == 0
    assert "context_length" in (tmp_path / "report.html").read_text()


def test_doctor_tells_of_one_server_once(provider, tmp_path, monkeypatch):
    """A server that both models of a pipeline use has one line, and another server its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    model = f"{provider.openai_url}#m"
    parts = {"generator": {"model": model}, "labeller": {"model": model}}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(parts))
    other = "http://127.0.0.1:1/v1"
    found = CliRunner().invoke(app, ["doctor", "p.yaml", "-m", f"{other}#m"]).stdout
    assert found.count(provider.openai_url) == 1
    assert found.count(other) == 1
