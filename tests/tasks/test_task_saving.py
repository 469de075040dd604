"""A task as data and back: equal, plain, and without a file choosing what is imported."""

import importlib
import json
import sys
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.errors import ConfigurationError
from distilabel.tasks import (
    PreferenceTask,
    Prompt,
    Rating,
    Task,
    TextGenerationTask,
    UltraFeedbackTask,
    from_dict,
    to_dict,
)


class NotusTextGenerationTask(TextGenerationTask):
    """A subclass without fields of its own, as in the guide."""

    def generate_prompt(self, input: str) -> str:  # noqa: A002
        return Prompt(self.system_prompt, input).format_as("notus")


@dataclass
class Translate(TextGenerationTask):
    """A subclass with a field of its own."""

    language: str = "French"


class Summarize(Task):
    """A task from scratch that takes no settings."""

    input_columns = ("document",)
    output_columns = {"summary": str}  # noqa: RUF012

    def generate_prompt(self, document):
        return document

    def parse_output(self, output):
        return {"summary": output.strip()}


class Forgetful(TextGenerationTask):
    """A task whose settings lack what its constructor needs."""

    def __init__(self, language):
        super().__init__()
        self.language = language


TASKS = [
    TextGenerationTask(),
    TextGenerationTask(
        system_prompt="S\n{}",
        principles={"a": ["x"], "b": ["y", "z"]},
        principles_distribution={"a": 0.25, "b": 0.75},
        seed=9,
    ),
    TextGenerationTask(principles_distribution="balanced"),
    NotusTextGenerationTask(system_prompt="You draw."),
    Translate(language="Dutch", seed=2),
    Summarize(),
    UltraFeedbackTask(),
    UltraFeedbackTask.for_honesty(system_prompt="S"),
    UltraFeedbackTask(task_description="D", ratings=[Rating(0, "no"), Rating(0.5, "yes")]),
]


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_a_saved_task_comes_back_equal(task):
    """Through JSON and back, a task is equal, of its own class, and renders the same prompts."""
    data = to_dict(task)
    assert json.loads(json.dumps(data)) == data
    assert sorted(data) == ["settings", "type", "version"]
    again = from_dict(json.loads(json.dumps(data)))
    assert again == task
    assert type(again) is type(task)
    assert type(task)(**task.settings()) == task


def test_what_is_saved():
    """The saved form names the class by module and qualified name, with the version of the form."""
    assert to_dict(TextGenerationTask(seed=4)) == {
        "type": "distilabel.tasks.text_generation.base:TextGenerationTask",
        "settings": TextGenerationTask(seed=4).settings(),
        "version": 1,
    }


@given(system=st.text(), seed=st.integers())
def test_any_text_survives(system, seed):
    """Whatever a system prompt holds, it is saved and read back as it was."""
    task = TextGenerationTask(system_prompt=system, seed=seed)
    assert from_dict(json.loads(json.dumps(to_dict(task)))) == task


def test_a_class_that_is_not_imported_is_not_looked_for(tmp_path, monkeypatch):
    """Reading a file never imports: a module that it names is not even searched."""
    (tmp_path / "planted_module.py").write_text("raise SystemExit('code from a file ran')")
    monkeypatch.syspath_prepend(tmp_path)
    data = {"type": "planted_module:Task", "settings": {}, "version": 1}
    with pytest.raises(ConfigurationError, match="import or define that class first"):
        from_dict(data)
    assert "planted_module" not in sys.modules


def test_a_class_is_found_once_it_is_imported(tmp_path, monkeypatch):
    """What the error advises helps: after the import the same data gives the task."""
    (tmp_path / "my_tasks.py").write_text(
        "from distilabel.tasks import TextGenerationTask\n"
        "class Mine(TextGenerationTask):\n    'A task of the user.'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = {"type": "my_tasks:Mine", "settings": {"system_prompt": "S"}, "version": 1}
    with pytest.raises(ConfigurationError):
        from_dict(data)
    mine = importlib.import_module("my_tasks").Mine
    assert from_dict(data) == mine(system_prompt="S")


def test_a_class_that_was_defined_again_is_the_latest():
    """In a notebook a cell is run again; the class of the last run is the one that is made."""

    def define():
        class Cell(TextGenerationTask):
            pass

        return Cell

    first, second = define(), define()
    assert type(from_dict(to_dict(first()))) is second


@pytest.mark.parametrize(
    "name",
    ["os:system", "builtins:eval", "distilabel.tasks.base:Task", "subprocess:Popen", "", ":"],
)
def test_only_tasks_are_made(name):
    """Nothing that is not a registered task can be called through a file."""
    with pytest.raises(ConfigurationError):
        from_dict({"type": name, "settings": {"args": "true"}, "version": 1})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "x"},
        {"type": 3, "settings": {}, "version": 1},
        {"type": "x:y", "settings": [], "version": 1},
        {"type": "x:y", "settings": {}, "version": "1"},
    ],
)
def test_what_is_no_saved_task_is_refused(data):
    """Data of another shape is an error of ours, not a KeyError."""
    with pytest.raises(ConfigurationError, match="no saved task"):
        from_dict(data)


def test_another_version_is_refused():
    """A form that this release does not know is not guessed at."""
    with pytest.raises(ConfigurationError, match="version 2"):
        from_dict({**to_dict(TextGenerationTask()), "version": 2})


@pytest.mark.parametrize(
    "settings",
    [
        {"colour": "red"},
        {"principles": 5},
        {"principles_distribution": {"x": 1}},
        {"seed": 1, "": 2},
    ],
)
def test_settings_that_do_not_fit_are_refused(settings):
    """Settings that the class does not take are a ConfigurationError."""
    with pytest.raises(ConfigurationError):
        from_dict({**to_dict(TextGenerationTask()), "settings": settings})


def test_an_abstract_class_is_refused():
    """A saved task cannot be of a class that cannot be made."""
    data = {"type": PreferenceTask.type_name(), "settings": {}, "version": 1}
    with pytest.raises(ConfigurationError, match="abstract"):
        from_dict(data)


def test_a_task_that_forgets_its_settings_says_so():
    """A constructor with arguments that settings() leaves out is explained when it is loaded."""
    with pytest.raises(ConfigurationError, match=r"settings\(\) must give them"):
        from_dict(to_dict(Forgetful("French")))


def test_settings_must_be_plain():
    """A task whose settings are no JSON cannot be saved, and the error names it."""
    with pytest.raises(ConfigurationError, match=r"TextGenerationTask\.settings"):
        to_dict(TextGenerationTask(seed=object()))
    with pytest.raises(ConfigurationError, match="plain JSON"):
        to_dict(UltraFeedbackTaskWithNaN())


class UltraFeedbackTaskWithNaN(UltraFeedbackTask):
    """A task whose settings JSON has no word for."""

    def settings(self):
        return {"limit": float("nan")}
