"""The help of the verbs: an example each, and nothing cut off on a terminal of 80 columns."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from distilabel.cli.app import app
from distilabel.tasks.preference.aspects import ASPECTS

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
VERBS = (
    "generate",
    "init",
    "preview",
    "estimate",
    "demo",
    "simulate",
    "doctor",
    "report",
    "runs list",
    "runs show",
    "runs resume",
    "runs export",
    "runs clean",
    "push argilla",
    "push hub",
)


def app_verbs() -> set[str]:
    """The verbs, by their names."""
    return set(typer.main.get_group(app).commands)


def help_of(verb: str) -> str:
    """What a terminal of 80 columns shows."""
    return CliRunner().invoke(app, [*shlex.split(verb), "--help"], env={"COLUMNS": "80"}).stdout


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example_and_is_not_cut(verb):
    """Each verb shows how it is called, and no word is too long for its column."""
    text = help_of(verb)
    assert re.search(rf"Examples?:\s+distilabel {verb}\b", text), text
    assert "…" not in text


def test_the_documentation_names_every_verb():
    """The table of verbs has all that the command line has, and no other."""
    beginning = DOCS.read_text().partition("\n## ")[0]
    table = re.findall(r"^\| (`.+?) \|", beginning, re.MULTILINE)
    named = {verb for line in table for verb in re.findall(r"`(\w+)`", line)}
    assert named == app_verbs()


def test_the_help_names_every_aspect_that_can_be_rated():
    """`--label` is told with all that may stand in it, each in one piece."""
    text = help_of("generate")
    assert "ultrafeedback:ASPECT" in text
    assert [name for name in ASPECTS if f" {name}" not in text] == []
