"""The reference names every public name of the rooms that users import from."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
NAMED = set(re.findall(r"^\.\. auto\w+:: (\S+)$", PAGE.read_text(), re.MULTILINE))
ROOMS = [
    "argilla",
    "dataset",
    "errors",
    "events",
    "llm",
    "pipeline",
    "report",
    "runs",
    "tasks",
    "testing",
    "types",
]
UNLISTED = {
    "argilla": {"Pulled", "hidden", "pull"},  # for `CustomDataset`, which is above it
    "llm": {"Call", "LLMOutput", "Price", "Reply"},  # listed where they are defined: types
    "tasks": {"PROMPT_FORMATS", "Prompt"},  # listed as what they are made of: prompt
}


@pytest.mark.parametrize("room", ROOMS)
def test_the_reference_has_every_public_name(room):
    """What a room's `__all__` names is on the page, or on a short list of what need not be."""
    module = f"distilabel.{room}"
    public = set(importlib.import_module(module).__all__) - UNLISTED.get(room, set())
    missing = {name for name in public if f"{module}.{name}" not in NAMED}
    assert module in NAMED or missing == set()
