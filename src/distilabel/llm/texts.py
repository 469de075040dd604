"""A row's generations: split into calls, topped up, each at its own place.

Rules:

- A row's generations are split into calls as the backend allows, the calls run at the same time,
  and each asks for the rest until it has all or fails. What failed stands at its own place.
- Only what stops the run leaves `generate_texts`; every other failure is an outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from distilabel.errors import CallError, DispatchStoppedError, InvalidReplyError, RunFatalError
from distilabel.llm.asking import Answer, CallContext, ask
from distilabel.tasks.base import Parsed, Problem
from distilabel.types import Call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.llm.base import LLM
    from distilabel.tasks.base import Task
    from distilabel.types import PromptText, Reply

__all__ = ["Outcome", "generate_texts", "read_text"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One generation, well or failed."""

    text: str | None = None
    parsed: Parsed | None = None
    error: CallError | None = None
    answer: Answer[Any] | None = None
    """The call that brought it, shared by all texts that came with it."""


async def generate_texts(
    llm: LLM,
    prompt: PromptText,
    num_generations: int,
    inputs: Mapping[str, Any],
    context: CallContext,
) -> list[Outcome]:
    """Exactly `num_generations` outcomes, each at its own place.

    Raises:
        RunFatalError: no call of this backend can succeed.
        DispatchStoppedError: the run is stopping.
    """
    per_call = llm.generations_per_call or num_generations
    if per_call >= num_generations:
        return await _fill(llm, prompt, 0, num_generations, inputs, context)
    outcomes = [Outcome()] * num_generations
    stopped: list[RunFatalError | DispatchStoppedError] = []

    async def fill(first: int, last: int) -> None:
        try:
            outcomes[first:last] = await _fill(llm, prompt, first, last, inputs, context)
        except (RunFatalError, DispatchStoppedError) as error:
            stopped.append(error)

    async with anyio.create_task_group() as group:
        for first in range(0, num_generations, per_call):
            group.start_soon(fill, first, min(first + per_call, num_generations))
    if stopped:
        raise stopped[0]
    return outcomes


async def _fill(
    llm: LLM,
    prompt: PromptText,
    first: int,
    last: int,
    inputs: Mapping[str, Any],
    context: CallContext,
) -> list[Outcome]:
    def read(reply: Reply) -> list[tuple[str, Parsed]]:
        return _read_texts(llm.task, reply, inputs)

    done: list[Outcome] = []
    while len(done) < last - first:
        missing = last - first - len(done)
        try:
            answer = await ask(llm, Call(prompt, missing, first + len(done)), read, context)
        except RunFatalError:
            raise
        except CallError as error:
            return done + [Outcome(error=error)] * missing
        done += [Outcome(text, parsed, None, answer) for text, parsed in answer.value[:missing]]
    return done


def _read_texts(task: Task, reply: Reply, inputs: Mapping[str, Any]) -> list[tuple[str, Parsed]]:
    """The texts of a reply that the task can read, and what it reads.

    Raises:
        InvalidReplyError: it can read none of them.
    """
    useless: InvalidReplyError | None = None
    read: list[tuple[str, Parsed]] = []
    for text in reply.texts:
        try:
            read.append((text, read_text(task, text, inputs)))
        except InvalidReplyError as error:
            useless = error
    if not read:
        raise useless or InvalidReplyError("the reply holds no text", cause="no_choices")
    return read


def read_text(task: Task, text: str, inputs: Mapping[str, Any]) -> Parsed:
    """What the task reads out of one text. A bug in the task's parser is a problem of that text.

    Raises:
        InvalidReplyError: the task says that the text is of no use.
    """
    try:
        return task.parse(text, inputs)
    except InvalidReplyError:
        raise
    except Exception as error:  # noqa: BLE001 - a parser of the user's may raise anything
        message = f"{type(task).__name__}.parse failed with {error!r}; the raw reply is kept"
        return Parsed(
            dict.fromkeys(task.output_columns), problems=(Problem("parse_error", message),)
        )
