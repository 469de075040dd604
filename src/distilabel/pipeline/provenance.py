"""Where each value of a row comes from: one entry per call, for `include_metadata=True`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distilabel.errors import CallError
    from distilabel.llm.asking import Answer
    from distilabel.llm.texts import Outcome
    from distilabel.types import StageName

__all__ = ["of_failure", "of_generations", "of_reply"]


def of_generations(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The calls that brought a row's generations, each once, and those that failed."""
    entries: list[dict[str, Any]] = []
    places: dict[int, list[int]] = {}
    for place, outcome in enumerate(outcomes):
        if outcome.answer is not None:
            shared = places.setdefault(id(outcome.answer), [])
            shared.append(place)
            if len(shared) == 1:
                entries.append(of_reply("generator", shared, outcome.answer))
        elif outcome.error is not None:
            entries.append(of_failure("generator", [place], outcome.error))
    return entries


def of_reply(stage: StageName, generations: list[int], answer: Answer[Any]) -> dict[str, Any]:
    """A call that brought a reply, in the shape of `distilabel.dataset.schema.CALL_METADATA`."""
    reply, usage = answer.reply, answer.reply.usage
    return {
        "stage": stage,
        "generations": generations,
        "model": reply.model,
        "request_id": reply.request_id,
        "attempts": answer.kept.attempts,
        "finish_reasons": list(reply.finish_reasons),
        "prompt_tokens": usage and usage.prompt_tokens,
        "completion_tokens": usage and usage.completion_tokens,
        "cached_tokens": usage and usage.cached_tokens,
        "seconds": answer.kept.seconds,
        "cause": None,
    }


def of_failure(stage: StageName, generations: list[int], error: CallError) -> dict[str, Any]:
    """A call that was given up, in the same shape."""
    return {
        "stage": stage,
        "generations": generations,
        "model": None,
        "request_id": error.request_id,
        "attempts": error.attempts,
        "finish_reasons": [],
        "prompt_tokens": None,
        "completion_tokens": None,
        "cached_tokens": None,
        "seconds": None,
        "cause": error.cause,
    }
