"""What every task has: an interface that is quick to fill in, equality, and purity."""

import gc
import subprocess
import sys
from importlib import import_module

import pytest

import distilabel.tasks
from distilabel.tasks import Parsed, Problem, Task, TextGenerationTask, UltraFeedbackTask


class Shout(Task):
    """The smallest task there is."""

    output_columns = {"loud": str}  # noqa: RUF012

    def generate_prompt(self, input):  # noqa: A002
        return input

    def parse_output(self, output):
        return {"loud": output.upper()}


def test_a_small_task_is_enough():
    """A task needs two columns and two functions; `parse` comes by itself."""
    task = Shout()
    assert task.input_columns == ("input",)
    assert task.parse("hi", {"input": "x"}) == Parsed({"loud": "HI"})
    assert task.settings() == {}
    assert repr(task) == "Shout()"


def test_a_task_without_a_parser_says_what_to_define():
    """The error names the class and the two methods to choose from."""

    class Mute(Task):
        output_columns = {"x": str}  # noqa: RUF012

        def generate_prompt(self, input):  # noqa: A002
            return input

    with pytest.raises(NotImplementedError, match=r"Mute must define parse_output\(\) or parse"):
        Mute().parse("hi", {})


def test_tasks_compare_by_class_and_settings():
    """Equal settings of the same class are equal and hash alike; a subclass is another task."""

    class Other(TextGenerationTask):
        pass

    assert TextGenerationTask(seed=1) == TextGenerationTask(seed=1)
    assert hash(TextGenerationTask(seed=1)) == hash(TextGenerationTask(seed=1))
    assert TextGenerationTask(seed=1) != TextGenerationTask(seed=2)
    assert TextGenerationTask() != Other()
    assert Shout() == Shout()
    assert Shout() != "Shout()"


def test_a_problem_concerns_all_texts_by_default():
    """A problem without a text is about the whole reply."""
    assert Problem("cause", "what happened").text is None


def test_the_registry_keeps_no_class_alive():
    """A class that nobody holds any more is forgotten, so that making classes does not leak."""
    name = define_and_drop()
    gc.collect()
    assert name not in Task.registered


def define_and_drop():
    """The registered name of a class that is gone."""

    class Brief(Shout):
        pass

    assert Task.registered[Brief.type_name()] is Brief
    return Brief.type_name()


def test_tasks_load_nothing_heavy():
    """Importing the tasks loads no event loop, no SDK and no data library."""
    program = (
        "import sys, distilabel.tasks;"
        "print([m for m in ('asyncio', 'anyio', 'datasets', 'openai', 'huggingface_hub', 'argilla',"
        " 'aiohttp', 'httpx', 'pyarrow', 'pydantic') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert told.strip() == "[]"


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("distilabel.tasks.text_generation.base", "TextGenerationTask", TextGenerationTask),
        ("distilabel.tasks.text_generation", "TextGenerationTask", TextGenerationTask),
        ("distilabel.tasks.preference.ultrafeedback", "UltraFeedbackTask", UltraFeedbackTask),
        ("distilabel.tasks.preference", "UltraFeedbackTask", UltraFeedbackTask),
        ("distilabel.tasks.prompt", "Prompt", distilabel.tasks.Prompt),
    ],
)
def test_the_documented_paths_work(path, name, value):
    """Every import path of the public contract gives the same object."""
    assert getattr(import_module(path), name) is value


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".base",
        ".prompt",
        ".saving",
        ".preference",
        ".preference.aspects",
        ".preference.base",
        ".preference.reply",
        ".preference.score",
        ".preference.ultrafeedback",
        ".text_generation",
        ".text_generation.base",
        ".text_generation.principles",
    ],
)
def test_all_names_what_is_there(path):
    """Every module has `__all__`, and each name in it exists."""
    module = import_module(f"distilabel.tasks{path}")
    assert module.__all__
    assert all(hasattr(module, name) for name in module.__all__)
