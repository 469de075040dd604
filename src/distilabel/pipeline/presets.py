"""`pipeline(...)`: the common combinations by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from distilabel.errors import ConfigurationError
from distilabel.llm.openai import OpenAILLM
from distilabel.pipeline.core import Pipeline
from distilabel.tasks.preference.ultrafeedback import UltraFeedbackTask

if TYPE_CHECKING:
    from distilabel.llm.base import LLM

__all__ = ["pipeline"]

_TASKS = ("preference",)


def pipeline(
    task: str,
    subtask: str = "text-quality",
    *,
    generator: LLM | None = None,
    labeller: LLM | None = None,
    **openai_kwargs: Any,
) -> Pipeline:
    """A pipeline for a common purpose.

    Args:
        task: "preference": generations, rated by UltraFeedback.
        subtask: what is rated: "text-quality", "helpfulness", "truthfulness", "honesty" or
            "instruction-following".
        generator: writes the generations; there is no default.
        labeller: rates them. None: OpenAI's gpt-3.5-turbo with `max_new_tokens=256`, 4 threads and
            temperature 0.0.
        **openai_kwargs: arguments of that default `OpenAILLM`.

    Raises:
        ConfigurationError: a name that does not exist, or arguments for a labeller that is given.
    """
    for name in ("openai_api_key", "api_key"):  # a traceback can show the locals of its frames
        if isinstance(openai_kwargs.get(name), str):
            openai_kwargs[name] = SecretStr(openai_kwargs[name])
    if task not in _TASKS:
        raise ConfigurationError(f"unknown task {task!r}; there is: {', '.join(_TASKS)}")
    rating = UltraFeedbackTask.for_subtask(subtask)
    if generator is None:
        raise ConfigurationError(
            "a pipeline needs a generator: pipeline(…, generator=OpenAILLM(…))"
        )
    if labeller is None:
        settings: dict[str, Any] = {
            "max_new_tokens": 256,
            "num_threads": 4,
            "temperature": 0.0,
        } | openai_kwargs
        labeller = OpenAILLM(task=rating, **settings)
    elif openai_kwargs:
        raise ConfigurationError(
            f"{', '.join(openai_kwargs)} would go to the default labeller, but a labeller was "
            f"given. Pass them to that labeller instead."
        )
    return Pipeline(generator=generator, labeller=labeller)
