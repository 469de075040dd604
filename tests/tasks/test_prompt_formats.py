"""The formats of a prompt: where the two texts go, and that nothing else happens to them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.errors import ConfigurationError
from distilabel.tasks.prompt import PROMPT_FORMATS, Prompt

TEXT_FORMATS = [name for name in PROMPT_FORMATS if name != "openai"]

WITH_SYSTEM = {
    "default": "S\nU",
    "llama2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST]",
    "chatml": (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    ),
    "zephyr": "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\n",
    "notus": "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\n",
}
WITHOUT_SYSTEM = {
    "default": "U",
    "llama2": "<s>[INST] U [/INST]",
    "chatml": "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n",
    "zephyr": "<|system|>\n</s>\n<|user|>\nU</s>\n<|assistant|>\n",
    "notus": "<|system|>\n</s>\n<|user|>\nU</s>\n<|assistant|>\n",
}


def test_every_format_is_listed():
    """`PROMPT_FORMATS` names exactly the formats that the public contract has."""
    assert PROMPT_FORMATS == ("default", "openai", "llama2", "chatml", "zephyr", "notus")


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_text_formats_place_both_parts(name):
    """Each text format is the template that its model family was trained on, to the letter."""
    assert Prompt("S", "U").format_as(name) == WITH_SYSTEM[name]


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_no_system_prompt_leaves_no_block_that_was_not_trained(name):
    """An empty system prompt is left out, except where models were trained with the empty block."""
    assert Prompt("", "U").format_as(name) == WITHOUT_SYSTEM[name]


def test_openai_is_a_chat():
    """The openai format is a message list with the system prompt first."""
    assert Prompt("S", "U").format_as("openai") == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
    ]


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_openai_leaves_a_blank_system_message_out(blank):
    """A blank system prompt makes no system message."""
    assert Prompt(blank, "U").format_as("openai") == [{"role": "user", "content": "U"}]


def test_llama2_strips_as_the_official_template_does():
    """The llama2 format strips the white space around the whole, as Meta's template does."""
    assert Prompt("S", "U \n").format_as("llama2") == WITH_SYSTEM["llama2"]
    assert Prompt("", " U ").format_as("llama2") == WITHOUT_SYSTEM["llama2"]


def test_openai_gives_a_list_of_its_own_each_time():
    """Changing what one call gave changes no other prompt."""
    prompt = Prompt("S", "U")
    prompt.format_as("openai")[0]["content"] = "changed"
    assert prompt.format_as("openai")[0]["content"] == "S"


@pytest.mark.parametrize("name", ["llama3", "", "OPENAI", None])
def test_an_unknown_format_names_those_there_are(name):
    """An unknown format is a ValueError that lists every format."""
    with pytest.raises(ValueError, match="default, openai, llama2, chatml, zephyr, notus") as error:
        Prompt("S", "U").format_as(name)
    assert isinstance(error.value, ConfigurationError)


@pytest.mark.parametrize(("system", "user"), [(None, "U"), ("S", None), ("S", 3), (b"S", "U")])
def test_a_prompt_takes_text_only(system, user):
    """A None in a column is found where the prompt is made, and not sent as the word "None"."""
    with pytest.raises(ConfigurationError, match="must be a str"):
        Prompt(system, user)


def test_a_prompt_is_a_value():
    """Prompts compare by content, can be keys, and cannot be changed."""
    prompt = Prompt("S", "U")
    assert prompt == Prompt("S", "U")
    assert len({prompt, Prompt("S", "U")}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompt.system_prompt = "other"


@given(system=st.text(), user=st.text(), name=st.sampled_from(TEXT_FORMATS))
def test_texts_come_out_as_they_went_in(system, user, name):
    """No format reads its texts: braces, percent signs and control words survive."""
    rendered = Prompt(system, user).format_as(name)
    assert user.strip() in rendered
    assert not system.strip() or system.strip() in rendered


@pytest.mark.parametrize("name", TEXT_FORMATS)
@pytest.mark.parametrize("user", ["{input} {0} {{}}", "%s %(x)d", "$name \\1", "[/INST]</s>"])
def test_template_signs_are_data(name, user):
    """What looks like a template in a row is sent as it is."""
    assert user in Prompt("S", user).format_as(name)
