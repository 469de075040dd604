"""Where `distilabel generate -o` writes to: looked at before a call, and told of afterwards."""

import json
import os
import re
import shlex

import pytest
from typer.testing import CliRunner

from distilabel.cli.app import app
from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.testing import SimulatedEndpoint

PROMPTS = [f"question {n}" for n in range(6)]


@pytest.fixture(scope="module")
def provider():
    """A provider in a process of its own."""
    with SimulatedEndpoint.process() as endpoint:
        yield endpoint


@pytest.fixture
def generate(provider, tmp_path, monkeypatch):
    """Runs the verb in this process, for six prompts: exit code, what is said."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{json.dumps({'input': each})}\n" for each in PROMPTS)
    (tmp_path / "p.jsonl").write_text(rows)
    provider.reset()

    def to_the_end(*arguments: str) -> tuple[int, str]:
        command = ["generate", "p.jsonl", "-m", f"{provider.openai_url}#writer", *arguments]
        result = CliRunner().invoke(app, command)
        return result.exit_code, result.stderr

    return to_the_end


PLACES = {
    "nodir/x.jsonl": "there is no directory {here}/nodir. Make it, mkdir -p {here}/nodir,",
    "p.jsonl/x.csv": "(Not a directory)",
    "p.jsonl/x": "(Not a directory)",
    f"{'x' * 245}.jsonl": "(File name too long)",
    "/proc/x.parquet": "/proc/x.parquet cannot be written: ",
}


@pytest.mark.parametrize("place", PLACES, ids=["none", "file", "below-a-file", "long", "proc"])
def test_a_place_that_cannot_be_written_to_costs_nothing(generate, provider, tmp_path, place):
    """An output that cannot be is refused with code 2 and one line, before any call."""
    code, said = generate("-o", place)
    assert (code, said.count("\n")) == (2, 1), said
    assert PLACES[place].format(here=tmp_path) in said
    assert provider.ledger.requests == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["p.jsonl"]


@pytest.mark.parametrize("place", ["p.jsonl", "./p.jsonl", "link.jsonl"])
def test_the_rows_that_are_read_are_not_written_over(generate, provider, tmp_path, place):
    """Even with --force, and by another name: what lies behind the limit would be lost."""
    (tmp_path / "link.jsonl").symlink_to("p.jsonl")
    before = (tmp_path / "p.jsonl").read_bytes()
    code, said = generate("-o", place, "--force", "--limit", "1")
    assert (code, said) == (
        2,
        f"distilabel: {place} is where the rows come from. Choose another place.\n",
    )
    assert (tmp_path / "p.jsonl").read_bytes() == before
    assert provider.ledger.requests == 0


def test_a_directory_is_made_with_those_above_it(generate, tmp_path):
    """A data set's directory may be below directories that are not there yet."""
    assert generate("-o", "new/newer/rated", "-q") == (0, "")
    assert (tmp_path / "new" / "newer" / "rated" / "state.json").is_file()


FAILURES = {
    "full": (DistilabelError, "cannot be written: No space left on device."),
    "taken": (ConfigurationError, "out.jsonl exists."),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("kept_in", [None, "my run"])
def test_what_cannot_be_written_in_the_end_is_kept(
    generate, provider, tmp_path, monkeypatch, failure, kept_in
):
    """A write that fails after the run ends with code 1 and the command that gets the rows."""
    kind, text = FAILURES[failure]

    def fail(*given, **further):
        raise kind(text)

    monkeypatch.setattr("distilabel.cli.generating.save", fail)
    options = () if kept_in is None else ("--checkpoint-dir", kept_in)
    code, said = generate("-o", "out.jsonl", "-q", *options)
    assert (code, said.count("\n")) == (1, 1), said
    assert said.startswith(f"distilabel: {text} All rows are kept.")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    command = re.search(r"distilabel (runs export .*) FILE$", said.strip())
    arguments = [*shlex.split(command[1]), "late.jsonl"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "late.jsonl").read_text().splitlines()]
    assert [row["input"] for row in rows] == PROMPTS
    assert provider.ledger.paid == len(PROMPTS)
    assert not os.path.lexists("out.jsonl")
