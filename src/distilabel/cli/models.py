"""Models as they are named on the command line, and the backends that they stand for.

========================================  ==========================================================
``openai:gpt-4o-mini``                    `OpenAILLM` on OpenAI, or where `OPENAI_BASE_URL` leads to
``http://127.0.0.1:8000/v1#llama``        `OpenAILLM` on that server
``endpoint:namespace/name``               `InferenceEndpointsLLM`
========================================  ==========================================================

Rules:

- Keys come from the environment alone: `OPENAI_API_KEY`, `HF_TOKEN`, or the variable that `key_env`
  names. No message repeats a value of the environment, nor a URL that may hold a key.
- Making a backend makes no call.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import SecretStr

from distilabel.errors import ConfigurationError, MissingKeyError
from distilabel.tasks.prompt import PromptFormat  # noqa: TC001 - msgspec reads it

if TYPE_CHECKING:
    from distilabel.llm import LLM
    from distilabel.tasks.base import Task

__all__ = ["ModelName", "ModelSettings", "key_of", "make_llm", "parse_model"]

_EXAMPLES: Final = (
    "openai:gpt-4o-mini, endpoint:namespace/name or http://127.0.0.1:8000/v1#name-of-the-model"
)
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_BARE: Final = re.compile(r"[\w.-]{1,60}")
_SHARED: Final = frozenset(
    {
        "max_new_tokens",
        "temperature",
        "top_p",
        "seed",
        "num_threads",
        "timeout",
        "prompt_format",
        "price",
        "requests_per_minute",
        "tokens_per_minute",
        "stop",
    }
)
_KNOWN: Final = {
    "openai": _SHARED | {"frequency_penalty", "presence_penalty"},
    "endpoint": _SHARED | {"do_sample", "top_k", "typical_p", "repetition_penalty"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """One model and how it is asked; what is None is left to the backend's own default."""

    model: str = ""
    key_env: str | None = None
    """The variable of the environment that holds the key."""
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: list[str] | None = None
    num_threads: int | None = None
    timeout: float | None = None
    """Seconds for one attempt."""
    prompt_format: PromptFormat | None = None
    price: tuple[float, float] | None = None
    """US dollars per million tokens read and written."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    do_sample: bool | None = None
    top_k: int | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None

    def given(self) -> dict[str, Any]:
        """The arguments of a backend that are not None."""
        pairs = ((each.name, getattr(self, each.name)) for each in fields(ModelSettings))
        return {
            name: value
            for name, value in pairs
            if value is not None and name not in {"model", "key_env"}
        }


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model's name, taken apart."""

    kind: Literal["openai", "endpoint"]
    name: str
    base_url: str | None = None
    """The server; None: OpenAI, or where `OPENAI_BASE_URL` leads to."""


def parse_model(text: str) -> ModelName:
    """What a name means.

    Raises:
        ConfigurationError: it names no model. The message repeats no URL, which may hold a key.

    >>> parse_model("http://127.0.0.1:8000/v1#org/llama")
    ModelName(kind='openai', name='org/llama', base_url='http://127.0.0.1:8000/v1')
    """
    kind, _, name = text.partition(":")
    if kind in {"http", "https"}:
        url, _, model = text.partition("#")
        if not model:
            raise ConfigurationError(
                "the URL of a server does not say which of its models: write it after a #, as in "
                "http://127.0.0.1:8000/v1#name-of-the-model"
            )
        return ModelName("openai", model, url)
    if kind == "openai" and name:
        return ModelName("openai", name)
    if kind == "endpoint" and name:
        return ModelName("endpoint", name)
    hint = f" Did you mean openai:{text}?" if text.startswith(("gpt", "o1", "o3", "o4")) else ""
    shown = f"{text!r} names no model" if _BARE.fullmatch(text) else "this names no model"
    raise ConfigurationError(f"{shown}. Write {_EXAMPLES}.{hint}")


def make_llm(settings: ModelSettings, task: Task, **defaults: Any) -> LLM:
    """The backend that a name stands for.

    Args:
        settings: the model, and how it is asked.
        task: what it is asked.
        **defaults: arguments that `settings` go before.

    Raises:
        ConfigurationError: a setting cannot work, or is none of that backend. No call is made.
    """
    from distilabel.llm import InferenceEndpointsLLM, OpenAILLM

    named, given = parse_model(settings.model), settings.given()
    unknown = [name for name in given if name not in _KNOWN[named.kind]]
    if unknown:
        raise ConfigurationError(
            f"{', '.join(unknown)} cannot be set for {settings.model.partition(':')[0]}: models; "
            f"there is: {', '.join(sorted(_KNOWN[named.kind]))}"
        )
    arguments, key = defaults | given, key_of(settings)
    if named.kind == "openai":
        return OpenAILLM(task, named.name, base_url=named.base_url, openai_api_key=key, **arguments)
    return InferenceEndpointsLLM(named.name, task, token=key, **_sampling(arguments))


def key_of(settings: ModelSettings) -> SecretStr | None:
    """The key in the variable that `key_env` names; None: it names none.

    Raises:
        ConfigurationError: it is no name of a variable (it may be the key itself: not repeated).
        MissingKeyError: there is no such variable.
    """
    if settings.key_env is None:
        return None
    if not _VARIABLE.fullmatch(settings.key_env):
        raise ConfigurationError(
            "key_env must be the name of a variable of the environment, in capitals, such as "
            "TOGETHER_API_KEY: not the key itself"
        )
    value = os.environ.get(settings.key_env)
    if not value:
        raise MissingKeyError(f"key_env names {settings.key_env}, which is not set. Set it.")
    return SecretStr(value)


def _sampling(arguments: dict[str, Any]) -> dict[str, Any]:
    """Of an endpoint: a temperature means that it samples, and 0 that it does not."""
    arguments = dict(arguments)
    if "stop" in arguments:
        arguments["stop_sequences"] = arguments.pop("stop")
    temperature = arguments.get("temperature")
    if temperature is not None:
        arguments.setdefault("do_sample", temperature > 0)
        if not temperature:
            del arguments["temperature"]
    return arguments
