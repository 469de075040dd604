"""`distilabel generate` as a real process: every input and output, pipes, signals, and mistakes."""

import array
import csv
import fcntl
import json
import shlex
import signal
import subprocess
import sys
import termios
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from typer.testing import CliRunner

from distilabel.cli.app import app
from distilabel.dataset import CustomDataset
from distilabel.testing import Latency, SimulatedEndpoint

KEY = "canary-of-the-command-line"
PROMPTS = [{"id": n, "input": f"question {n}"} for n in range(6)]
DEADLINE_S = 30


@pytest.fixture(scope="module")
def provider():
    """A provider in a process of its own, with replies that take their time."""
    latency = Latency(0.03, 0.5, 0)
    with SimulatedEndpoint.process(latency=latency, require_key=KEY) as endpoint:
        yield endpoint


@pytest.fixture
def model(provider, monkeypatch) -> str:
    """The provider's model by its name on the command line; the key is in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("FORCE_COLOR", "1")
    provider.reset()
    return f"{provider.openai_url}#writer"


@pytest.fixture
def prompts(tmp_path) -> str:
    """A file of prompts, by its name where the command runs."""
    return write_lines(tmp_path / "prompts.jsonl", PROMPTS)


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Runs the command in this process, for what ends before a run: quicker by a second."""
    monkeypatch.chdir(tmp_path)

    def to_the_end(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, arguments)
        return result.exit_code, result.stdout, result.stderr

    return to_the_end


def write_lines(path, rows) -> str:
    """Rows as JSON lines in a file; its name."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path.name


def rows_of(text: str) -> list[dict]:
    """JSON lines, read."""
    return [json.loads(line) for line in text.splitlines()]


def test_rows_go_to_standard_output_as_json_lines(run, model, prompts):
    """In a pipe there are rows on standard output, all else on standard error, and no escapes."""
    code, out, err = run("generate", prompts, "-m", model, "-n", "2")
    rows = rows_of(out)
    assert code == 0
    assert sorted(row["id"] for row in rows) == [0, 1, 2, 3, 4, 5]
    assert all(len(set(row["generations"])) == 2 for row in rows)
    assert "\x1b" not in out + err
    assert KEY not in out + err
    assert "6/6 rows" in err
    assert err.splitlines()[-1].startswith("distilabel: 6 rows, 6 calls, ")


def test_ordered_rows_come_in_the_order_of_the_input(run, model, prompts):
    """With `--ordered`, rows are in the order of the input; `--limit` takes the first ones."""
    code, out, err = run("generate", prompts, "-m", model, "--ordered", "--limit", "5", "-q")
    assert (code, err) == (0, "")
    assert [row["id"] for row in rows_of(out)] == [0, 1, 2, 3, 4]


def in_every_format(place) -> list[str]:
    """The prompts as each kind of input; their names."""
    with (place / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "ask"])
        writer.writeheader()
        writer.writerows({"id": row["id"], "ask": row["input"]} for row in PROMPTS)
    renamed = [{"id": row["id"], "ask": row["input"]} for row in PROMPTS]
    pq.write_table(pa.Table.from_pylist(renamed), place / "rows.parquet")
    Dataset.from_list(renamed).save_to_disk(place / "saved")
    return ["rows.csv", "rows.parquet", "saved", write_lines(place / "rows.jsonl", renamed)]


def read_back(path) -> list[dict]:
    """The rows of an output, whatever it is."""
    match path.suffix:
        case ".jsonl":
            return rows_of(path.read_text())
        case ".csv":
            rows = csv.DictReader(path.read_text().splitlines())
            return [{**row, "rating": json.loads(row["rating"])} for row in rows]
        case ".parquet":
            return pq.read_table(path).to_pylist()
    return CustomDataset.load_from_disk(path).to_list()


@pytest.mark.parametrize(
    ("source", "output"),
    [(0, "out.parquet"), (1, "out.csv"), (2, "out.jsonl"), (3, "out")],
    ids=["csv-parquet", "parquet-csv", "directory-jsonl", "jsonl-directory"],
)
def test_every_format_is_read_and_written(run, model, tmp_path, source, output):
    """Each input becomes each output: in order, rated, with nothing on standard output."""
    name = in_every_format(tmp_path)[source]
    label = ("--label", "ultrafeedback:honesty", "--labeller", model)
    options = ("--input-column", "ask", "-n", "2", "-m", model, *label)
    code, out, err = run("generate", name, "-o", output, *options)
    assert (code, out) == (0, "")
    assert f"written to {output}" in err
    rows = read_back(tmp_path / output)
    assert [int(row["id"]) for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row["input"] for row in rows] == [row["input"] for row in PROMPTS]
    assert all(len(row["rating"]) == 2 for row in rows)


def test_an_output_is_replaced_only_if_that_is_asked_for(run, model, prompts, provider, tmp_path):
    """What exists is refused before a call is made; with `--force` it is replaced."""
    (tmp_path / "out.jsonl").write_text("dear")
    code, _, err = run("generate", prompts, "-m", model, "-o", "out.jsonl")
    assert (code, provider.ledger.requests) == (2, 0)
    assert "out.jsonl exists" in err
    assert (tmp_path / "out.jsonl").read_text() == "dear"
    assert run("generate", prompts, "-m", model, "-o", "out.jsonl", "--force", "-q")[0] == 0
    assert len(rows_of((tmp_path / "out.jsonl").read_text())) == 6


def test_generations_that_are_there_are_rated(run, model, tmp_path):
    """Without a writer, the generations of the input are rated."""
    rows = [{"input": "Why?", "generations": ["Because.", "No."]}]
    name = write_lines(tmp_path / "written.jsonl", rows)
    code, out, _ = run("generate", name, "--labeller", model, "--temperature", "0.5")
    assert code == 0
    (row,) = rows_of(out)
    assert row["generations"] == ["Because.", "No."]
    assert len(row["rating"]) == 2


def test_standard_input_is_read_as_it_comes(start, model):
    """The row of the first line is there while standard input is still open."""
    process = start("generate", "-", "-m", model, stdin=subprocess.PIPE)
    process.stdin.write(b'{"input": "first"}\n')
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["input"] == "first"
    out, err = process.communicate(b'\n{"input": "second"}', timeout=DEADLINE_S)
    assert (process.returncode, [row["input"] for row in rows_of(out.decode())]) == (0, ["second"])
    assert b"distilabel: 2 rows, " in err


def test_a_redirected_file_is_standard_input_too(start, model, prompts, tmp_path):
    """Standard input may be a file, and standard output may, too."""
    with (tmp_path / prompts).open("rb") as file, (tmp_path / "out").open("wb") as out:
        process = start("generate", "-", "-m", model, "-q", stdin=file, stdout=out)
        assert process.wait(DEADLINE_S) == 0
    assert len(rows_of((tmp_path / "out").read_text())) == 6


def test_head_ends_it_cleanly(start, model, provider, tmp_path):
    """`| head -1` gets its row; the command ends well, and all that was bought is kept."""
    rows = [{"input": f"q{n}"} for n in range(150)]
    name = write_lines(tmp_path / "many.jsonl", rows)
    process = start("generate", name, "-m", model, "--num-threads", "8")
    head = subprocess.run(
        ["head", "-1"], stdin=process.stdout, capture_output=True, check=True, timeout=DEADLINE_S
    )
    process.stdout.close()
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert len(rows_of(head.stdout.decode())) == 1
    assert b"Traceback" not in err
    assert b"Errno" not in err
    first = provider.ledger
    assert (first.abandoned, first.paid) == (0, first.delivered)
    assert first.paid < 150
    assert start("generate", name, "-m", model, "-o", "out.jsonl").wait(DEADLINE_S) == 0
    last = provider.ledger
    assert (last.paid, last.repeated) == (150, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_in_order(start, model, tmp_path, provider, number, code):
    """Ctrl-C and SIGTERM: what is in flight lands, and the last line says how to go on."""
    rows = [{"input": f"q{n}"} for n in range(150)]
    name = write_lines(tmp_path / "many.jsonl", rows)
    process = start("generate", name, "-m", model, "--num-threads", "4")
    assert process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert b"To go on, run the same again" in err.splitlines()[-1]
    assert provider.ledger.abandoned == 0


def test_ctrl_c_reaches_who_waits_for_standard_input(start, model):
    """Ctrl-C ends a command that waits for standard input, which stays open."""
    process = start("generate", "-", "-m", model, stdin=subprocess.PIPE)
    process.stdin.write(b'{"input": "first"}\n')
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 130
    assert b"Traceback" not in process.stderr.read()


def test_a_slow_reader_gets_every_row(start, model, tmp_path):
    """A reader that takes nothing for a while blocks nothing, and misses nothing."""
    rows = [{"input": "x" * 3_000 + str(n)} for n in range(60)]  # several times what a pipe holds
    name = write_lines(tmp_path / "many.jsonl", rows)
    process = start("generate", name, "-m", model, "-n", "2", "-q")
    ready_s = time.monotonic() + DEADLINE_S
    while pending(process.stdout) < 32_768:  # it is full, or nearly so
        assert time.monotonic() < ready_s
        assert process.poll() is None
    out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert sorted(row["input"] for row in rows_of(out.decode())) == sorted(
        row["input"] for row in rows
    )


def pending(pipe) -> int:
    """The bytes that wait in a pipe to be read."""
    found = array.array("i", [0])
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, found)
    return found[0]


def test_failed_rows_have_an_exit_code(start, model, monkeypatch, tmp_path):
    """A run that comes to its end with failed rows hands all out, and ends with code 3."""
    with SimulatedEndpoint.process(max_prompt_chars=2_000, require_key=KEY) as endpoint:
        name = write_lines(tmp_path / "p.jsonl", [{"input": "short"}, {"input": "x" * 3_000}])
        process = start("generate", name, "-m", f"{endpoint.openai_url}#m", "--ordered")
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 3
    assert [row["generations"] == [None] for row in rows_of(out.decode())] == [False, True]
    assert b"context_length 1" in err


def test_a_mistake_is_an_exit_code_of_the_process(run, prompts):
    """A mistake ends the process with code 2, and shows nothing but one line."""
    code, out, err = run("generate", prompts, "-m", "gpt-4o-mini")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("distilabel: 'gpt-4o-mini' names no model. ")


@pytest.mark.parametrize(
    ("closing", "said"),
    [("<&-", "standard input is closed"), (">&-", "standard output is closed")],
)
def test_what_is_closed_is_told(model, provider, tmp_path, closing, said):
    """A standard input or output that is closed is a mistake like any other."""
    command = [sys.executable, "-c", "from distilabel.cli import main; main()"]
    line = f"{shlex.join([*command, 'generate', '-', '-m', model])} {closing}"
    done = subprocess.run(
        ["sh", "-c", line], input="", cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert provider.ledger.requests == 0


def test_a_full_disk_behind_standard_output_is_told(start, model, prompts):
    """What cannot be written ends the run with code 1, and without a traceback."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        process = start("generate", prompts, "-m", model, "-q", stdout=full)
        assert process.wait(DEADLINE_S) == 1
    assert process.stderr.read().startswith(b"distilabel: standard output cannot be written: No sp")


def test_a_wrong_key_is_one_line(run, model, prompts, monkeypatch):
    """A run that cannot go on ends with code 1, without a traceback and without the key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-canary")
    code, out, err = run("generate", prompts, "-m", model, "-q")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("distilabel: ")
    assert "sk-wrong-canary" not in err


def test_a_ceiling_on_cost_holds(run, model, prompts, provider):
    """`--max-cost` with `--price` stops the run before it costs more, and says so."""
    code, _, err = run(
        *("generate", prompts, "-m", model, "--price", "1000,1000", "--max-cost", "1.5")
    )
    assert code == 1
    assert "$1.50" in err.splitlines()[-1]
    assert "distilabel: --max-cost is $1.50" in err.splitlines()[-1]
    assert "Once more with --max-cost " in err.splitlines()[-1]
    assert "max_cost" not in err
    assert provider.ledger.paid < 6


MISTAKES = {
    "no-model": (("{file}",), "no model is named"),
    "no-such-file": (("nowhere.jsonl", "-m", "{model}"), "nowhere.jsonl"),
    "unknown-ending": (("prompts.txt", "-m", "{model}"), ".jsonl, .csv or .parquet"),
    "unknown-model": (("{file}", "-m", "gpt-4o-mini"), "Did you mean openai:gpt-4o-mini?"),
    "server-only": (("{file}", "-m", "http://127.0.0.1:1/v1"), "after a #"),
    "unknown-label": (
        ("{file}", "--label", "stars", "--labeller", "{model}"),
        "no label 'stars'. Write ultrafeedback:text-quality",
    ),
    "unknown-subtask": (
        ("{file}", "--label", "ultrafeedback:wit", "--labeller", "{model}"),
        "there are: text-quality",
    ),
    "no-labeller": (("{file}", "-m", "{model}", "--label", "ultrafeedback"), "--labeller"),
    "no-column": (
        ("{file}", "-m", "{model}", "--input-column", "ask"),
        "line 1 of prompts.jsonl has no column 'ask'; it has: id, input",
    ),
    "resume": (("{file}", "-m", "{model}", "--resume", "maybe"), "resume"),
    "output": (("{file}", "-m", "{model}", "-o", "out.xlsx"), ".jsonl, .parquet, .csv"),
    "price": (("{file}", "-m", "{model}", "--price", "cheap"), "is no price"),
    "unpriced": (
        ("{file}", "-m", "{model}", "--max-cost", "1"),
        "distilabel: --max-cost needs the price of the generator's",
    ),
    "how-to-price": (
        ("{file}", "-m", "{model}", "--max-cost", "1"),
        "what costs nothing by the token is --price 0,0.",
    ),
    "writer-price": (
        ("{file}", "-m", "{model}", "--max-cost", "1"),
        "Say it: --price 0.15,0.60, in US dollars per million tokens;",
    ),
    "labeller-price": (
        ("{file}", "-m", "{model}", "--max-cost", "1", "--price", "0,0", "--labeller", "{model}"),
        "Say it: --labeller-price 0.15,0.60,",
    ),
    "ceiling": (
        ("{file}", "-m", "{model}", "--max-cost", "-1"),
        "distilabel: --max-cost must be an amount of US dollars of more than 0, not -1.0.",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_costs_nothing_and_is_one_line(invoke, model, prompts, provider, tmp_path, case):
    """What cannot work ends with code 2 and one line that says what to do, before any call."""
    (tmp_path / "prompts.txt").write_text("?")
    arguments, said = MISTAKES[case]
    given = [each.format(file=prompts, model=model) for each in arguments]
    code, out, err = invoke("generate", *given)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert provider.ledger.requests == 0


BAD_FILES = {
    "half.jsonl": (b'{"input": "a"}\n\n{"input": \n', "line 3 of half.jsonl is no JSON object"),
    "list.jsonl": (b'["a"]\n', "line 1 of list.jsonl is no JSON object"),
    "escape.jsonl": (b'{"\\u001b[2Jx": 1}\n', "has no column 'input'; it has: [2Jx"),
    "cells.csv": (b"id,input\n1,a\n2\n", "line 3 of cells.csv has 1 cells"),
    "twice.csv": (b"input,input\na,b\n", "names twice: input"),
    "latin.csv": (b"input\n\xe9\n", "no CSV in UTF-8"),
    "not.parquet": (b"PAR0", "not.parquet is no Parquet"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_the_place(invoke, model, provider, tmp_path, name):
    """A file that cannot be read as rows is refused before any call, with the line."""
    content, said = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    code, out, err = invoke("generate", name, "-m", model)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert "\x1b" not in err
    assert provider.ledger.requests == 0


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_file_that_is_not_there_is_told_alike(invoke, model, ending):
    """Whatever reads a kind of file, the line says that there is none."""
    said = f"distilabel: no.{ending} cannot be read: No such file or directory\n"
    assert invoke("generate", f"no.{ending}", "-m", model) == (2, "", said)


def test_examples_are_in_the_help(run):
    """The help of each verb shows how it is used, and `generate` tells its exit codes."""
    _, out, _ = run("generate", "--help", env={"COLUMNS": "200"})
    assert "distilabel generate prompts.jsonl -m openai:gpt-4o-mini" in out
    assert "-n 4 --label ultrafeedback:text-quality --labeller openai:gpt-4o --max-cost 5 " in out
    assert "143 SIGTERM" in out
