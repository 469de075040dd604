"""The generator's task: what it sends, what it reads, and how it deals principles out."""

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.errors import ConfigurationError
from distilabel.tasks import PRINCIPLES, Prompt, TextGenerationTask


class NotusTextGenerationTask(TextGenerationTask):
    """The guide's task, to the letter."""

    def generate_prompt(self, input: str) -> str:  # noqa: A002
        return Prompt(
            system_prompt=self.system_prompt,
            formatted_prompt=input,
        ).format_as("notus")


def group_of(task, text):
    """The group of the principle that an input is dealt."""
    dealt = task.principle_for(text)
    return next(group for group, sentences in task.principles.items() if dealt in sentences)


def test_it_sends_the_input_and_reads_the_reply_untouched():
    """The default task is a `Prompt` of its two texts, and the reply is the generation."""
    task = TextGenerationTask(system_prompt="Be brief.")
    assert task.generate_prompt(input="Hi {you}") == Prompt("Be brief.", "Hi {you}")
    assert task.parse(" Hello!\n", {"input": "Hi"}).values == {"generations": " Hello!\n"}
    assert task.parse(" Hello!\n", {"input": "Hi"}).problems == ()


def test_its_columns_are_those_of_the_contract():
    """It reads `input` and makes `generations`."""
    assert TextGenerationTask.input_columns == ("input",)
    assert TextGenerationTask.output_columns == {"generations": str}


def test_the_guides_subclass_works():
    """A subclass that formats its own prompt is used as the guide shows it."""
    task = NotusTextGenerationTask(system_prompt="You draw.")
    assert task.generate_prompt("Draw!") == (
        "<|system|>\nYou draw.</s>\n<|user|>\nDraw!</s>\n<|assistant|>\n"
    )
    assert NotusTextGenerationTask().system_prompt == TextGenerationTask().system_prompt


def test_a_subclass_may_have_a_constructor_of_its_own():
    """A subclass can take arguments and set attributes in the usual way."""

    class Translate(TextGenerationTask):
        def __init__(self, language, **settings):
            super().__init__(**settings)
            self.language = language

    task = Translate("French", system_prompt="You translate.")
    assert (task.language, task.system_prompt) == ("French", "You translate.")


def test_a_subclass_may_be_a_dataclass():
    """A dataclass of its own fields needs no defaults, and its settings include them."""

    @dataclass
    class Translate(TextGenerationTask):
        language: str

    assert Translate("French").settings()["language"] == "French"


def test_fields_that_the_constructor_does_not_take_are_no_settings():
    """What a subclass works out for itself is not saved."""

    @dataclass
    class Counting(TextGenerationTask):
        words: int = field(init=False, default=0)

    assert "words" not in Counting().settings()
    assert Counting(**Counting().settings()) == Counting()


def test_the_five_groups_are_there():
    """Every group has several sentences, and no sentence stands twice."""
    assert list(PRINCIPLES) == [
        "harmlessness",
        "helpfulness",
        "truthfulness",
        "honesty",
        "verbalized_calibration",
    ]
    sentences = [sentence for group in PRINCIPLES.values() for sentence in group]
    assert min(len(group) for group in PRINCIPLES.values()) >= 4
    assert len(set(sentences)) == len(sentences)


def test_without_a_distribution_no_principle_is_added():
    """By default the system prompt is sent as it is."""
    assert TextGenerationTask().principle_for("Hi") is None


def test_the_principle_follows_the_system_prompt():
    """The dealt sentence stands after the system prompt, or alone where that is empty."""
    task = TextGenerationTask(system_prompt="Be brief.", principles_distribution="balanced")
    dealt = task.principle_for("Hi")
    assert task.generate_prompt("Hi").system_prompt == f"Be brief. {dealt}"
    bare = TextGenerationTask(system_prompt="", principles_distribution="balanced")
    assert bare.generate_prompt("Hi").system_prompt == dealt


def test_a_row_is_dealt_the_same_principle_in_another_process():
    """The choice depends on seed and input alone: not on hash randomization, order or process."""
    program = (
        "from distilabel.tasks import TextGenerationTask as T;"
        "t = T(principles_distribution='balanced', seed=7);"
        "print([t.principle_for(str(i)) for i in range(50)])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    task = TextGenerationTask(principles_distribution="balanced", seed=7)
    here = {text: task.principle_for(text) for text in map(str, reversed(range(50)))}
    assert told.strip() == str([here[str(i)] for i in range(50)])


def test_another_seed_deals_differently():
    """Seeds change who gets which sentence."""
    deals = [
        [
            TextGenerationTask(principles_distribution="balanced", seed=seed).principle_for(str(i))
            for i in range(50)
        ]
        for seed in (0, 1)
    ]
    assert deals[0] != deals[1]


def test_balanced_gives_each_group_its_share():
    """Over many inputs "balanced" comes within two points of an equal share for all groups."""
    task = TextGenerationTask(principles_distribution="balanced")
    counts = Counter(group_of(task, f"question {i}") for i in range(10_000))
    assert all(counts[group] / 10_000 == pytest.approx(0.2, abs=0.02) for group in PRINCIPLES)


def test_shares_are_kept_and_zero_means_never():
    """Over many inputs the groups come in their shares, and a share of 0 never comes."""
    shares = {"honesty": 0.7, "helpfulness": 0.3, "harmlessness": 0}
    task = TextGenerationTask(principles_distribution=shares)
    counts = Counter(group_of(task, f"question {i}") for i in range(10_000))
    assert set(counts) == {"honesty", "helpfulness"}
    assert counts["honesty"] / 10_000 == pytest.approx(0.7, abs=0.02)


def test_every_sentence_of_a_group_is_dealt():
    """Within a group the sentences come evenly."""
    task = TextGenerationTask(principles_distribution={"honesty": 1.0})
    counts = Counter(task.principle_for(str(i)) for i in range(5_000))
    assert set(counts) == set(PRINCIPLES["honesty"])
    assert min(counts.values()) > 800


def test_principles_of_ones_own():
    """Other groups can be given, as lists."""
    task = TextGenerationTask(
        principles={"rhyme": ["Rhyme."]}, principles_distribution={"rhyme": 1}
    )
    assert task.principle_for("Hi") == "Rhyme."


@pytest.mark.parametrize(
    ("distribution", "told"),
    [
        ({"kindness": 1.0}, "kindness.*they have: harmlessness"),
        ({"honesty": 1.5, "helpfulness": -0.5}, "helpfulness.*must not be negative"),
        ({"honesty": float("nan"), "helpfulness": 1.0}, "must not be negative"),
        ({"honesty": 0.5}, "add up to 1, not to 0.5"),
        ({}, "add up to 1, not to 0"),
        ({"honesty": float("inf")}, "add up to 1"),
        ("even", "balanced"),
        (["honesty"], "balanced"),
    ],
)
def test_a_distribution_that_cannot_work_is_refused(distribution, told):
    """The error says what is wrong with the distribution, before any call is made."""
    with pytest.raises(ConfigurationError, match=told):
        TextGenerationTask(principles_distribution=distribution)


def test_shares_may_miss_one_by_rounding():
    """Ten times 0.1 is close enough to 1."""
    principles = {str(i): ["x"] for i in range(10)}
    TextGenerationTask(
        principles=principles, principles_distribution=dict.fromkeys(principles, 0.1)
    )


@pytest.mark.parametrize("sentences", ["Be nice.", []])
def test_a_group_is_a_list_of_sentences(sentences):
    """A bare string, or a group without a sentence, is refused."""
    with pytest.raises(ConfigurationError, match="at least one sentence"):
        TextGenerationTask(principles={"kindness": sentences})


def test_what_is_given_is_not_shared():
    """Changing the mapping that was passed in does not change the task."""
    principles = {"rhyme": ["Rhyme."]}
    task = TextGenerationTask(principles=principles)
    principles["rhyme"].append("Or not.")
    assert task.principles == {"rhyme": ("Rhyme.",)}


def test_repr_shows_what_differs_from_the_default():
    """The repr is short, and says what was set."""
    assert repr(TextGenerationTask()) == "TextGenerationTask()"
    assert repr(TextGenerationTask(seed=3)) == "TextGenerationTask(seed=3)"
    assert len(repr(TextGenerationTask(system_prompt="x" * 10_000))) < 200
    assert repr(NotusTextGenerationTask()) == "NotusTextGenerationTask()"


@given(st.text())
def test_any_input_is_rendered(text):
    """Every string makes a prompt, lone surrogates and NULs included."""
    task = TextGenerationTask(principles_distribution="balanced")
    for each in (text, f"{text}\ud800\x00"):
        assert task.generate_prompt(each).formatted_prompt == each
