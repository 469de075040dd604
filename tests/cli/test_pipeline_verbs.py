"""`init`, `preview`, `estimate`, `doctor` and `push`, as real processes; pipelines in YAML."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from typer.testing import CliRunner

from distilabel.cli.app import app
from distilabel.cli.recipe import recipe_of
from distilabel.cli.template import TEMPLATE
from distilabel.dataset import CustomDataset
from distilabel.testing import SimulatedEndpoint

KEY = "sk-canary-of-the-pipelines"
HOSTILE = "\x1b[2J\x1b]0;title\x07 [bold]x[/] \u009b31m"
DEADLINE_S = 30


@pytest.fixture(scope="module")
def provider():
    """A provider in a process of its own."""
    with SimulatedEndpoint.process(require_key=KEY, models=("gpt-4o-mini",)) as endpoint:
        yield endpoint


@pytest.fixture
def keyed(provider, monkeypatch):
    """The provider, to which the environment leads."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
    monkeypatch.setenv("FORCE_COLOR", "1")
    provider.reset()
    return provider


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Runs the command in this process, for what ends before a run."""
    monkeypatch.chdir(tmp_path)

    def to_the_end(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, arguments)
        return result.exit_code, result.stdout, result.stderr

    return to_the_end


PRICED = ("--price", "0.15,0.60", "--labeller-price", "0.15,0.60")


def test_what_init_writes_runs_and_its_preview_is_kept(run, keyed, tmp_path):
    """The file of `init` runs unchanged, on any server; what the preview bought is reused."""
    assert run("init")[0] == 0
    code, out, err = run("preview", "pipeline.yaml")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert out.count("generation 2 by gpt-4o-mini: raw reply") == 3
    assert out.count("labeller by gpt-4o-mini: raw reply") == 3
    assert "[user] Why is the sky blue?" in out
    assert "3 rows, 6 calls" in out.splitlines()[-1]
    assert "cost not known" in out.splitlines()[-1]
    assert keyed.ledger.paid == 6
    code, out, _ = run("preview", "pipeline.yaml", *PRICED, "--max-cost", "1")
    assert (code, "$0.00" in out.splitlines()[-1]) == (0, True)
    code, out, err = run("generate", "pipeline.yaml")
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [len(row["rating"]) for row in rows] == [2, 2, 2]
    assert keyed.ledger.paid == 6


def test_a_pipeline_in_yaml_does_what_it_says(run, keyed, tmp_path):
    """Settings of a file reach the requests and the output; options go before them."""
    (tmp_path / "p.jsonl").write_text('{"ask": "a"}\n{"ask": "b"}\n{"ask": "c"}\n')
    recipe = {
        "input": "p.jsonl",
        "input_column": "ask",
        "limit": 2,
        "output": "out.jsonl",
        "generator": {
            "model": "openai:gpt-4o-mini",
            "system_prompt": "Be brief.",
            "stop": ["END"],
            "price": [0.15, 0.60],
        },
        "num_generations": 3,
        "include_metadata": True,
        "max_cost": 1,
    }
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(recipe))
    code, out, err = run("generate", "mine.yml", "-n", "2", "-q")
    assert (code, out, err) == (0, "", "")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["input"] for row in rows] == ["a", "b"]
    assert [len(row["generations"]) for row in rows] == [2, 2]
    assert rows[0]["generation_prompt"][0][0] == {"role": "system", "content": "Be brief."}
    assert "call_metadata" in rows[0]


MISTAKES = {
    "generater: {model: 'openai:m'}": "generater, which is not known. Did you mean generator?",
    "generator: {model: 'openai:m', temprature: 1}": "Did you mean generator.temperature?",
    "labeller: {model: 'openai:m', system_prompt: x}": "labeller.system_prompt, which is not known",
    "generator: {model: 'openai:m', api_key: abc}": "holds a key, at api_key; keys are read from",
    "generator: {model: 'openai:m', headers: {authorization: abc}}": "at authorization",
    "generator: {model: 'openai:m', system_prompt: sk-aaaaaaaaaaaaaaaaaaaa}": "looks like a key",
    "generator: {model: 'openai:m', key_env: hf_aaaa}": "key_env must be the name of a variable",
    "generator: {model: 'openai:m', key_env: NOT_THERE}": "NOT_THERE, which is not set",
    "generator: {model: 'openai:m', max_new_tokens: many}": "Expected int, got str - at generator.",
    "generator: {model: 'openai:m', top_k: 3}": "top_k cannot be set for openai: models",
    "generator: openai:m": "the pipeline cannot be read",
    "generator: {model: 'http://me:abc@127.0.0.1/v1#m'}": "base_url must hold no key",
    "num_generations: 0\ngenerator: {model: 'openai:m'}": "must be a whole number of at least 1",
    "- 1": "holds no pipeline",
    "a: [abc": "is no YAML: line 1",
    "!!python/object/apply:os.system ['touch harm']": "is no YAML",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_pipeline_is_told_without_its_text(invoke, keyed, tmp_path, text):
    """A file that cannot work is refused in one line that repeats no key, before any call."""
    (tmp_path / "p.yaml").write_text(text)
    arguments = () if "input" in text else ("--input", "nowhere.jsonl")
    code, out, err = invoke("generate", "p.yaml", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert MISTAKES[text] in err
    assert "abc" not in err
    assert "aaaa" not in err
    assert not (tmp_path / "harm").exists()
    assert keyed.ledger.requests == 0


def test_init_leaves_what_is_there(invoke, tmp_path):
    """`init` replaces nothing unless it is told to, and writes to standard output for `-`."""
    (tmp_path / "pipeline.yaml").write_text("dear")
    assert invoke("init")[0] == 2
    assert (tmp_path / "pipeline.yaml").read_text() == "dear"
    assert invoke("init", "--force")[0] == 0
    assert invoke("init", "-") == (0, TEMPLATE, "")
    assert invoke("init", "pipeline.json")[0] == 2


def test_every_setting_of_the_template_is_known():
    """What stands in comments of the template is known, too: uncommented, it is a pipeline."""
    found = re.findall(r"^ *# ([a-z_]+): ", TEMPLATE, re.MULTILINE)
    assert {"input", "limit", "num_threads", "key_env", "price", "resume"} <= set(found)
    uncommented = re.sub(r"^( *)# ([a-z_]+: )", r"\1\2", TEMPLATE, flags=re.MULTILINE)
    recipe = recipe_of(yaml.safe_load(uncommented))
    assert recipe.input == "prompts.jsonl"
    assert recipe.generator.price == recipe.labeller.price == (0.15, 0.60)
    assert recipe.max_cost == 1
    assert recipe.settings(shows_progress=False, is_quiet=True).seed == 0


def test_preview_shows_a_models_text_as_text(run, monkeypatch, tmp_path):
    """What a model sends is shown without control characters, and of three rows alone."""
    rows = [{"input": f"{HOSTILE} {n}"} for n in range(5)]
    (tmp_path / "p.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with SimulatedEndpoint(reply=lambda request: f"{HOSTILE}\nsecond line") as endpoint:
        code, out, _ = run("preview", "p.jsonl", "-m", f"{endpoint.openai_url}#m")
        asked = endpoint.ledger.requests
    assert (code, asked) == (0, 3)
    assert not {"\x1b", "\x07", "\u009b"} & set(out)
    assert out.count("[bold]x[/]") == 6
    assert out.count("\nsecond line\n") == 3
    assert "cost not known" in out


def test_preview_reads_no_more_of_standard_input_than_it_needs(start, keyed):
    """`preview -` is done after three lines, though standard input stays open."""
    process = start("preview", "-", "-m", "openai:gpt-4o-mini", stdin=subprocess.PIPE)
    process.stdin.write(b"".join(b'{"input": "%d"}\n' % n for n in range(3)))
    process.stdin.flush()
    assert process.wait(DEADLINE_S) == 0
    assert b"== row 2\n" in process.stdout.read()


def test_estimate_tells_what_all_will_take(run, keyed, tmp_path):
    """`estimate` does the sample alone, prints the figures, and the run buys the others only."""
    rows = "".join(f'{{"input": "{n}"}}\n' for n in range(40))
    (tmp_path / "p.jsonl").write_text(rows)
    options = ("p.jsonl", "-m", "openai:gpt-4o-mini", "--price", "1,1", "-q")
    code, out, err = run("estimate", *options, "--sample", "5")
    assert (code, err) == (0, "")
    assert out.startswith("40 rows, told by 5;")
    assert "cost" in out
    assert keyed.ledger.paid == 5
    assert run("generate", *options)[0] == 0
    assert keyed.ledger.paid == 40


def test_estimate_of_standard_input_is_refused(run, keyed):
    """What can be read only once is refused, in one line."""
    code, _, err = run("estimate", "-", "-m", "openai:gpt-4o-mini", stdin=subprocess.DEVNULL)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("distilabel: standard input can be read once")
    assert "name that" in err


def test_a_reader_that_goes_away_is_no_failure(start, keyed, tmp_path):
    """What is said to nobody who reads is no error of any verb."""
    reader, writer = os.pipe()
    os.close(reader)
    process = start("init", "-", stdout=writer)
    os.close(writer)
    assert (process.wait(DEADLINE_S), process.stderr.read()) == (0, b"")


def test_doctor_is_content_where_all_is_well(run, keyed, tmp_path):
    """Where key, server and disk are well, the exit code is 0; no key is shown, nothing is left."""
    code, out, err = run("doctor", "-m", "openai:gpt-4o-mini", "--root", "runs-to-be")
    assert (code, err) == (0, "")
    assert "OPENAI_API_KEY is set" in out
    assert f"{keyed.openai_url} is there and takes the key" in out
    assert KEY not in out
    assert "wrong" not in out
    assert list(tmp_path.iterdir()) == []
    assert keyed.ledger.paid == 0


def wrong_key(patch, place):
    """A key that the server refuses."""
    patch.setenv("OPENAI_API_KEY", "sk-another-canary")
    return ["-m", "openai:gpt-4o-mini"]


def broken_key(patch, place):
    """A key with a line break."""
    patch.setenv("HF_TOKEN", "sk-another-canary\n")
    return []


def no_server(patch, place):
    """A port where nobody listens."""
    return ["-m", "http://127.0.0.1:1/v1#m"]


def no_directory(patch, place):
    """Runs that are to be below a file."""
    (place / "file").write_text("")
    return ["--root", str(place / "file" / "runs")]


def missing_key_of_a_pipeline(patch, place):
    """A pipeline whose model has a key of its own, which is not set."""
    (place / "p.yaml").write_text("labeller: {model: 'http://127.0.0.1:1#m', key_env: NO_SUCH}")
    return ["p.yaml"]


TROUBLES = {
    wrong_key: "refuses the key (status 401)",
    broken_key: "HF_TOKEN holds a space or a line break",
    no_server: "http://127.0.0.1:1/v1 cannot be reached",
    no_directory: "runs cannot be kept in",
    missing_key_of_a_pipeline: "NO_SUCH, which is not set",
}


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_doctor_says_what_is_wrong(invoke, keyed, monkeypatch, tmp_path, trouble):
    """What is wrong is named, with a remedy, and the exit code is 1; no key is shown."""
    code, out, _ = invoke("doctor", *trouble(monkeypatch, tmp_path))
    assert code == 1
    (line,) = (line for line in out.splitlines() if line.startswith("wrong"))
    assert TROUBLES[trouble] in line
    assert "canary" not in out


@pytest.fixture
def saved(tmp_path) -> str:
    """A saved data set, by its name."""
    rows = [{"input": "Why?", "generations": ["Because."], "rating": [4.0]}]
    CustomDataset.from_dataset(Dataset.from_list(rows)).save_to_disk(tmp_path / "rated")
    return "rated"


@pytest.fixture
def hub():
    """A hub on loopback, as the tests of data sets have it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "dataset")
        from fake_hub import fake_hub
    with fake_hub() as found:
        yield found


def test_push_hub_puts_rows_and_card_there(run, saved, hub, tmp_path):
    """`push hub` pushes the rows and their card, with the token of the environment."""
    surroundings = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_TOKEN": "hf_canary",
    }
    code, out, err = run("push", "hub", saved, "someone/rated", env=surroundings)
    files = hub.repositories["someone/rated"].files
    assert code == 0, err
    assert "1 rows pushed" in err
    assert "someone/rated" in out
    assert any(name.endswith(".parquet") for name in files)
    assert b"distilabel" in files["README.md"]
    assert "hf_canary" not in out + err


def test_push_hub_says_that_nobody_answers(run, saved, tmp_path):
    """A hub that cannot be reached is one line and exit code 1."""
    surroundings = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path / "hf")}
    code, out, err = run("push", "hub", saved, "someone/rated", env=surroundings)
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("distilabel: ")


def test_push_argilla_wants_a_key(run, saved, monkeypatch):
    """Without a key, and for what is no data set, `push argilla` says what to do."""
    for name in ("ARGILLA_API_URL", "ARGILLA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    options = ("--name", "n", "--workspace", "w")
    code, out, err = run("push", "argilla", saved, *options)
    assert (code, out) == (2, "")
    assert "ARGILLA_API_KEY" in err
    code, _, err = run("push", "argilla", "nowhere", *options)
    assert (code, err.count("\n")) == (2, 1)
    assert "holds no data set" in err


def test_every_verb_has_an_example_in_its_help(invoke):
    """The help of each verb ends with a command to copy."""
    verbs = ["generate", "init", "preview", "estimate", "doctor"]
    for verb in [*((verb,) for verb in verbs), ("push", "argilla"), ("push", "hub")]:
        code, out, _ = invoke(*verb, "--help")
        assert code == 0
        assert f"distilabel {' '.join(verb)}" in " ".join(out.split())
