"""A prompt in two parts, and the formats that chat models were trained on.

Rules:

- A format places the two texts; it never looks inside them. A text that holds braces, or a model's
  own control words, comes out as it went in. Only the "openai" format keeps the roles apart by
  structure, so prefer it wherever the backend has a chat route.
- A system prompt that is empty or blank is left out, block and all, except where a model was
  trained with the empty block ("zephyr", "notus").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args, overload

from distilabel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distilabel.types import Message, PromptText

__all__ = ["PROMPT_FORMATS", "Prompt", "PromptFormat"]

TextFormat: TypeAlias = Literal["default", "llama2", "chatml", "zephyr", "notus"]
PromptFormat: TypeAlias = Literal["default", "openai", "llama2", "chatml", "zephyr", "notus"]
"""The formats that `Prompt.format_as` knows."""

PROMPT_FORMATS: Final[tuple[PromptFormat, ...]] = get_args(PromptFormat)
"""The same names, to iterate over."""


@dataclass(frozen=True, slots=True)
class Prompt:
    r"""What a task says to a model: who it is to be, and what it is asked.

    Args:
        system_prompt: who the model is to be; empty for models that take no such thing.
        formatted_prompt: what it is asked.

    Raises:
        ConfigurationError: one of the two is not a `str`.

    >>> Prompt("Be brief.", "Why is the sky blue?").format_as("default")
    'Be brief.\nWhy is the sky blue?'
    """

    system_prompt: str
    formatted_prompt: str

    def __post_init__(self) -> None:
        for name in ("system_prompt", "formatted_prompt"):
            value: object = getattr(self, name)
            if not isinstance(value, str):
                raise ConfigurationError(
                    f"Prompt.{name} must be a str, not {type(value).__name__}; "
                    "check the column of the data set that it was made from"
                )

    @overload
    def format_as(self, format: Literal["openai"]) -> list[Message]: ...
    @overload
    def format_as(self, format: TextFormat) -> str: ...
    @overload
    def format_as(self, format: PromptFormat) -> PromptText: ...
    def format_as(self, format: PromptFormat) -> PromptText:  # noqa: A002  # the public name
        r"""The prompt as one model family reads it.

        ============ =============================================================== ============
        format       text                                                            if no system
        ============ =============================================================== ============
        default      ``S\nU``                                                        ``U``
        openai       a list of messages, roles "system" and "user"                   one message
        llama2       ``<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST]``                 no SYS block
        chatml       ``<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU…``       no system turn
        zephyr,notus ``<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\n``         S is empty
        ============ =============================================================== ============

        Sources. llama2: Meta's `llama/generation.py` (`chat_completion`) writes ``[INST] …
        [/INST]`` around the stripped text and has the tokenizer put BOS in front; the chat template
        that Hugging Face publishes with the model spells that BOS out as ``<s>``, and so does this,
        so that the text is what `apply_chat_template(tokenize=False)` gives. Tokenize it without
        adding special tokens, or BOS stands there twice. chatml: OpenAI's ChatML as the Hugging
        Face templates write it. zephyr, notus: the cards of zephyr-7b-beta and notus-7b-v1; both
        models saw an empty system block in training where there was no system prompt, hence it
        stays.

        Raises:
            ConfigurationError: (a ValueError) no such format; the message names those there are.

        >>> Prompt("", "Hi").format_as("openai")
        [{'role': 'user', 'content': 'Hi'}]
        >>> Prompt("Be brief.", "Hi").format_as("llama2")
        '<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]'
        """
        if format == "openai":
            return _openai(self)
        render = _TEXT_FORMATS.get(format)
        if render is None:
            raise ConfigurationError(
                f"no prompt format {format!r}; there are: {', '.join(PROMPT_FORMATS)}"
            )
        return render(self.system_prompt, self.formatted_prompt)


def _openai(prompt: Prompt) -> list[Message]:
    user: Message = {"role": "user", "content": prompt.formatted_prompt}
    if not prompt.system_prompt.strip():
        return [user]
    return [{"role": "system", "content": prompt.system_prompt}, user]


def _default(system: str, user: str) -> str:
    return f"{system}\n{user}" if system.strip() else user


def _llama2(system: str, user: str) -> str:
    content = f"<<SYS>>\n{system}\n<</SYS>>\n\n{user}" if system.strip() else user
    return f"<s>[INST] {content.strip()} [/INST]"


def _chatml(system: str, user: str) -> str:
    turn = f"<|im_start|>system\n{system}<|im_end|>\n" if system.strip() else ""
    return f"{turn}<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


def _zephyr(system: str, user: str) -> str:
    return f"<|system|>\n{system}</s>\n<|user|>\n{user}</s>\n<|assistant|>\n"


_TEXT_FORMATS: Final[Mapping[str, Callable[[str, str], str]]] = {
    "default": _default,
    "llama2": _llama2,
    "chatml": _chatml,
    "zephyr": _zephyr,
    "notus": _zephyr,
}
