"""Which columns a run adds, and of which types."""

from __future__ import annotations

import subprocess
import sys
from typing import Optional

import pytest
from datasets import Features, List, Value

from distilabel.dataset.schema import ResultSchema, StageColumns
from distilabel.errors import ColumnError, ConfigurationError

TEXT = Value("string")
CHAT = List({"role": TEXT, "content": TEXT})


def _generator(**outputs) -> StageColumns:
    return StageColumns("generator", prompt_is_chat=False, outputs=outputs or {"generations": str})


def _labeller(**outputs) -> StageColumns:
    return StageColumns("labeller", prompt_is_chat=True, outputs=outputs or {"rating": list[float]})


def test_names_follow_the_order_of_stages_then_of_outputs():
    """Each stage adds model, prompt and raw reply, then its task's outputs."""
    schema = ResultSchema((_generator(), _labeller(rating=list[float], rationale=list[str])))
    assert schema.names == (
        "generation_model",
        "generation_prompt",
        "raw_generation_responses",
        "generations",
        "labelling_model",
        "labelling_prompt",
        "raw_labelling_response",
        "rating",
        "rationale",
    )


def test_generator_features_are_lists():
    """The generator's columns hold one entry a generation, whatever the output's type."""
    assert ResultSchema((_generator(generations=str, scores=list[int]),)).features() == Features(
        {
            "generation_model": List(TEXT),
            "generation_prompt": List(TEXT),
            "raw_generation_responses": List(TEXT),
            "generations": List(TEXT),
            "scores": List(List(Value("int64"))),
        }
    )


def test_labeller_features_keep_the_tasks_types():
    """The labeller's columns hold one entry a row, and its outputs keep their types."""
    assert ResultSchema((_labeller(rating=list[float], ok=bool),)).features() == Features(
        {
            "labelling_model": TEXT,
            "labelling_prompt": CHAT,
            "raw_labelling_response": TEXT,
            "rating": List(Value("float64")),
            "ok": Value("bool"),
        }
    )


def test_chat_prompts_are_lists_of_messages():
    """A chat is a list of structs, one a message, and for the generator a list of such lists."""
    stage = StageColumns("generator", prompt_is_chat=True, outputs={})
    assert stage.features()["generation_prompt"] == List(CHAT)


@pytest.mark.parametrize(
    ("column_type", "feature"),
    [
        (str, TEXT),
        (int, Value("int64")),
        (float, Value("float64")),
        (bool, Value("bool")),
        (list[list[str]], List(List(TEXT))),
        (float | None, Value("float64")),
        (Optional[str], TEXT),  # noqa: UP045  # what users of older code write
        (list[int | None], List(Value("int64"))),
    ],
)
def test_types_have_features(column_type, feature):
    """Scalars, lists at any depth, and either with None are stored as declared."""
    assert _labeller(value=column_type).features()["value"] == feature


@pytest.mark.parametrize("column_type", [dict, list, bytes, dict[str, int], int | str, None, "str"])
def test_types_that_cannot_be_stored_are_refused_when_the_schema_is_made(column_type):
    """An unsupported type is a configuration error that names the task's column."""
    with pytest.raises(ConfigurationError, match="'value'"):
        _labeller(value=column_type)


def test_two_columns_of_one_name_are_refused():
    """Tasks of both stages that make the same column cannot run together."""
    with pytest.raises(ColumnError) as caught:
        ResultSchema((_generator(rating=float), _labeller(rating=list[float])))
    assert caught.value.column == "rating"


@pytest.mark.parametrize(
    ("column_type", "value"),
    [(int, 4.5), (int, True), (list[str], "abc"), (float, "4"), (bool, 1), (list[float], [1, "2"])],
)
def test_values_that_arrow_would_bend_are_refused(column_type, value):
    """A value off its declared type is an error, where Arrow cuts 4.5 to 4 and "abc" to letters."""
    with pytest.raises(ConfigurationError, match="'value'"):
        _labeller(value=column_type).check({"value": value})


@pytest.mark.parametrize(
    ("column_type", "value"),
    [(float, 4), (int, 4), (list[float], (1, None)), (list[list[str]], [["a"], None]), (str, None)],
)
def test_values_of_the_declared_type_pass(column_type, value):
    """Ints are floats, tuples are lists, and None stands for any value at any depth."""
    _labeller(value=column_type).check({"value": value})


def test_modules_are_light_to_import():
    """Schema and assembler can be imported and made without loading datasets or pyarrow."""
    program = """
import sys
from distilabel.dataset.assembler import DatasetAssembler
from distilabel.dataset.schema import ResultSchema, StageColumns
schema = ResultSchema((StageColumns("generator", prompt_is_chat=False, outputs={"g": str}),))
DatasetAssembler(schema, keeps_user_columns=True)
import distilabel.dataset
assert not {"datasets", "pyarrow", "numpy"} & sys.modules.keys()
distilabel.dataset.CustomDataset
assert "datasets" in sys.modules
assert not hasattr(distilabel.dataset, "Other")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
