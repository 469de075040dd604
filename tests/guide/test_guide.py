"""The guide runs as it is printed: the surroundings supply endpoints, keys and the data."""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from distilabel.dataset import CustomDataset
from distilabel.llm import InferenceEndpointsLLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import SimRequest, SimulatedEndpoint

COPY = Path(__file__).with_name("pipelines-guide.md")
ORIGINAL = Path(__file__).parents[3] / "shared" / "pipelines-guide.md"

GENERATED = ["generation_model", "generation_prompt", "raw_generation_responses", "generations"]
LABELLED = [
    "labelling_model",
    "labelling_prompt",
    "raw_labelling_response",
    "rating",
    "rationale",
]
RATIONALE = "It does what was asked: nothing more.\n\nAnd it is brief."


def _snippets() -> list[str]:
    """The guide's Python blocks, in order, but for the last: Argilla 1 is gone."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", COPY.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert "import argilla as rg" in blocks[-1]
    return blocks[:-1]


def _reply(request: SimRequest) -> str:
    """A text for whoever writes, and a section for each text for whoever judges."""
    if request.endpoint is not None:
        return f"Text {request.index} by {request.endpoint}"
    shown = max(int(k) for k in re.findall(r"#### Output for Text (\d+)", request.prompt))
    return "\n\n".join(
        f"#### Output for Text {k}\nRating: {k % 5 + 1}\nRationale: {RATIONALE}"
        for k in range(1, shown + 1)
    )


@pytest.fixture
def endpoint(serve, monkeypatch) -> SimulatedEndpoint:
    """A provider that stands for OpenAI, the hub and the deployed model."""
    endpoint = serve(reply=_reply, require_key="hf_or_sk")
    monkeypatch.setenv("OPENAI_API_KEY", "hf_or_sk")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.openai_url)
    monkeypatch.setattr(
        huggingface_hub.constants, "INFERENCE_ENDPOINTS_ENDPOINT", endpoint.endpoints_url
    )
    return endpoint


@pytest.fixture
def load_dataset(tmp_path) -> Callable[..., datasets.Dataset]:
    """`datasets.load_dataset`, with the hub's data set on the local disk."""
    rows = tmp_path / "test.jsonl"
    with rows.open("w") as file:
        for k in range(5):
            row = {"prompt": f"Instruction {k}", "completion": f"Completion {k}", "meta": {"id": k}}
            file.write(json.dumps(row) + "\n")

    def load(path: str, split: str) -> datasets.Dataset:
        assert path == "HuggingFaceH4/instruction-dataset"
        return datasets.load_dataset(
            "json", data_files={"test": str(rows)}, split=split, cache_dir=str(tmp_path / "cache")
        )

    return load


@pytest.fixture
def namespace(endpoint, load_dataset) -> dict[str, Any]:
    """The names that the guide uses without defining them."""
    return {
        "__name__": "guide",
        "Pipeline": Pipeline,
        "TextGenerationTask": TextGenerationTask,
        "InferenceEndpointsLLM": InferenceEndpointsLLM,
        "endpoint_name": "notus-7b-v1",
        "endpoint_namespace": "argilla",
        "token": "hf_or_sk",
        "load_dataset": load_dataset,
    }


def _values_of(snippet: str, namespace: dict[str, Any]) -> list[Any]:
    """Run a snippet as a notebook would: what its bare expressions give."""
    values = []
    for statement in ast.parse(snippet).body:
        if isinstance(statement, ast.Expr):
            code = compile(ast.Expression(statement.value), "guide", "eval")
            values.append(eval(code, namespace))  # noqa: S307 - it is our own guide
        else:
            code = compile(ast.Module([statement], []), "guide", "exec")
            exec(code, namespace)  # noqa: S102 - it is our own guide
    return values


def test_the_copy_of_the_guide_is_the_guide() -> None:
    """Where the original lies beside the project, the copy that the tests run is identical."""
    if not ORIGINAL.exists():
        pytest.skip("the guide is not beside this clone")
    assert COPY.read_bytes() == ORIGINAL.read_bytes()


def test_every_snippet_but_the_last_runs_unchanged(namespace, endpoint, capsys) -> None:
    """All snippets of the guide run in order, in one namespace, and give what it prints."""
    assert len(_snippets()) == 12
    slipped = 0
    selected: list[Any] = []
    for snippet in _snippets():
        if "ds_xkcd[1]" in snippet:  # the guide's one slip: a data set of one row has no row 1
            with pytest.raises(IndexError):
                _values_of(snippet, dict(namespace))
            capsys.readouterr()
            slipped += 1
            _values_of(snippet.replace("ds_xkcd[1]", "ds_xkcd[0]"), namespace)
            printed = capsys.readouterr().out
            assert "-" * 25 + "\nRATING:  " in printed
            assert f"\nRATIONALE:  {RATIONALE}" in printed
            continue
        values = _values_of(snippet, namespace)
        printed = capsys.readouterr().out
        if "print(dataset_generated)" in snippet:
            _check_printed_features(snippet, printed)
        if "select_columns" in snippet:
            selected = values
    assert slipped == 1
    _check_generated(namespace["dataset_generated"])
    _check_labelled(namespace["ds_labelled"], *selected)
    _check_xkcd(namespace["ds_xkcd"])
    _check_preference(namespace["pipe_dataset"])
    assert endpoint.ledger.statuses == {200: 2 + 2 + (3 + 1) + 3 * (2 + 1)}


def _check_printed_features(snippet: str, printed: str) -> None:
    """What is printed is, letter by letter, the comment below it in the guide."""
    comment = re.search(r"print\(dataset_generated\)\n((?:# .*\n)+)", snippet)
    promised = re.sub(r"^# ", "", comment[1], flags=re.MULTILINE)
    shown = printed[: printed.index("})") + 3]
    assert shown.split() == promised.split()


def _check_generated(dataset: CustomDataset) -> None:
    assert isinstance(dataset, CustomDataset)
    assert dataset.column_names == ["input", *GENERATED]
    row = dataset[0]
    assert [len(row[name]) for name in GENERATED] == [2] * 4
    assert row["generation_model"] == ["notus-7b-v1"] * 2
    assert row["generations"] == row["raw_generation_responses"]
    assert row["generation_prompt"][0].startswith("<|system|>\n")
    assert row["generation_prompt"][0].endswith("few ingredients</s>\n<|assistant|>\n")


def _check_labelled(dataset: CustomDataset, first: Any, literal: Any) -> None:
    assert dataset.column_names == ["input", "generations", *LABELLED]
    assert dataset.num_rows == 2
    assert literal["rating"] == [1.0]  # the guide's own dict, a statement of the same snippet
    assert list(first) == list(literal)
    assert first["input"] == literal["input"]
    assert first["generations"] == literal["generations"]
    assert first["rating"] == [2.0]
    assert first["rationale"] == [RATIONALE]
    assert dataset["labelling_model"][:] == ["gpt-4"] * 2


def _check_xkcd(dataset: CustomDataset) -> None:
    assert dataset.column_names == ["input", *GENERATED, *LABELLED]
    assert dataset.num_rows == 1
    row = dataset[0]
    assert "XKCD" in row["generation_prompt"][0]
    assert len(row["generations"]) == len(row["rating"]) == len(row["rationale"]) == 3
    assert sorted(row["rating"]) == [2.0, 3.0, 4.0]
    assert row["labelling_model"] == "gpt-3.5-turbo"


def _check_preference(dataset: CustomDataset) -> None:
    assert dataset.column_names == ["input", *GENERATED, *LABELLED]
    assert dataset["input"][:] == ["Instruction 0", "Instruction 1", "Instruction 2"]
    assert all(len(texts) == 2 for texts in dataset["generations"])
    assert all(sorted(ratings) == [2.0, 3.0] for ratings in dataset["rating"])
    assert dataset.run.rows == 3
    assert dataset.run.rows_failed == 0


async def test_the_guides_pipelines_run_inside_a_running_loop(namespace, capsys) -> None:
    """In a notebook, where a loop is running, the same snippets give the same shapes."""
    for snippet in _snippets():
        _values_of(snippet.replace("ds_xkcd[1]", "ds_xkcd[0]"), namespace)
    capsys.readouterr()
    _check_generated(namespace["dataset_generated"])
    _check_xkcd(namespace["ds_xkcd"])
    _check_preference(namespace["pipe_dataset"])
