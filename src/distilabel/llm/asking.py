"""How a backend is asked: retry around limit around attempt.

Rules:

- A permit covers one attempt. A call that waits, for a pause or before a retry, holds none.
- What was read out of a reply decides whether the reply was of use: a task that raises
  `InvalidReplyError` has it asked for again, and that is counted as a paid retry.
- A row's generations are split into calls as the backend allows, the calls run at the same time,
  and each asks for the rest until it has all or fails. What failed stands at its own place.
- Only a `RunFatalError` leaves `generate_texts`; every other failure is an outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio

from distilabel.errors import (
    CallError,
    InvalidReplyError,
    RunFatalError,
    ThrottledError,
    WarmingError,
)
from distilabel.events import CallFailed, CallRetried, CallSucceeded
from distilabel.tasks.base import Parsed, Problem
from distilabel.types import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distilabel.events import Observer
    from distilabel.limits import Pause, PermitPool, RetryState
    from distilabel.llm.base import LLM
    from distilabel.tasks.base import Task
    from distilabel.types import PromptText, Reply, StageName

__all__ = ["Answer", "CallContext", "Gate", "Outcome", "ask", "generate_texts", "read_text"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallContext:
    """For whom a call is made, and who wants to know."""

    stage: StageName = "generator"
    row_index: int = 0
    notify: Observer = lambda event: None  # noqa: ARG005 - nobody wants to know


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A reply that was of use, and what was read out of it."""

    reply: Reply
    value: T
    attempts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One generation, well or failed."""

    text: str | None = None
    parsed: Parsed | None = None
    error: CallError | None = None


class Gate:
    """Lets attempts through as permits and pauses allow, and learns from how they end."""

    def __init__(self, permits: PermitPool, pause: Pause) -> None:
        self._permits = permits
        self._pause = pause

    async def __call__(self, llm: LLM, call: Call) -> Reply:
        """Wait until an attempt may be sent, send it, and note what it says about the backend."""
        while True:
            await self._wait_out_pause()
            async with self._permits:
                if self._pause.wait_s(anyio.current_time()):
                    continue  # paused while this call waited for its permit
                self._pause.sent()
                return await self._watched(llm, call)

    async def _wait_out_pause(self) -> None:
        # The clock ends a pause; no event could.
        while wait_s := self._pause.wait_s(anyio.current_time()):  # noqa: ASYNC110
            await anyio.sleep(wait_s)

    async def _watched(self, llm: LLM, call: Call) -> Reply:
        try:
            reply = await llm.attempt(call)
        except ThrottledError as error:
            self._pause.throttled(anyio.current_time(), error.retry_after_s or 0.0)
            raise
        except WarmingError as error:
            self._note_warming(llm, error)
            raise
        except BaseException:
            self._pause.probe_ended()
            raise
        self._pause.succeeded()
        return reply

    def _note_warming(self, llm: LLM, error: WarmingError) -> None:
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = llm.retry_policy.warming_wait_s
        if not self._pause.warming(anyio.current_time(), wait_s):
            raise RunFatalError(
                f"{llm.model_name} is still starting after half an hour. Look at the server; "
                f"nothing was spent on it. It said: {error}",
                cause="still_warming",
            ) from error


async def ask(llm: LLM, call: Call, read: Callable[[Reply], T], context: CallContext) -> Answer[T]:
    """Ask until a reply is of use, or give up by the rules of `limits.retry`.

    Args:
        llm: the backend.
        call: what to ask for.
        read: reads the reply; raises `InvalidReplyError` if it is of no use.
        context: for whom.

    Raises:
        CallError: the last failure, with `.attempts`.
    """
    state = llm.retry_policy.start()
    started = anyio.current_time()
    while True:
        state.attempts += 1
        try:
            reply = await llm.gate(llm, call)
            value = read(reply)
        except CallError as error:
            wait_s = _wait_or_raise(llm, error, state, context)
        else:
            seconds = anyio.current_time() - started
            context.notify(
                CallSucceeded(
                    context.stage,
                    context.row_index,
                    reply.model or llm.model_name,
                    seconds,
                    state.attempts,
                    reply.usage,
                )
            )
            return Answer(reply, value, state.attempts)
        await anyio.sleep(wait_s)


def _wait_or_raise(llm: LLM, error: CallError, state: RetryState, context: CallContext) -> float:
    error.attempts = state.attempts
    wait_s = state.wait_s(error, llm.chance)
    if wait_s is None:
        context.notify(CallFailed(context.stage, context.row_index, error.cause, state.attempts))
        if isinstance(error, ThrottledError | WarmingError):
            raise RunFatalError(
                f"{llm.model_name} asks to be left alone for {error.retry_after_s:.0f} s, longer "
                f"than is waited for. Run again then.",
                cause="wait_too_long",
                retry_after_s=error.retry_after_s,
            ) from error
        raise error
    context.notify(
        CallRetried(
            context.stage,
            context.row_index,
            error.cause,
            wait_s,
            is_throttle=isinstance(error, ThrottledError),
            is_paid=isinstance(error, InvalidReplyError),
        )
    )
    return wait_s


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
    """
    per_call = llm.generations_per_call or num_generations
    outcomes = [Outcome()] * num_generations
    fatal: list[RunFatalError] = []

    async def fill(first: int, last: int) -> None:
        try:
            outcomes[first:last] = await _fill(llm, prompt, first, last, inputs, context)
        except RunFatalError as error:
            fatal.append(error)

    if per_call >= num_generations:
        await fill(0, num_generations)
    else:
        async with anyio.create_task_group() as group:
            for first in range(0, num_generations, per_call):
                group.start_soon(fill, first, min(first + per_call, num_generations))
    if fatal:
        raise fatal[0]
    return outcomes


async def _fill(
    llm: LLM,
    prompt: PromptText,
    first: int,
    last: int,
    inputs: Mapping[str, Any],
    context: CallContext,
) -> list[Outcome]:
    def read(reply: Reply) -> list[Outcome]:
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
        done += answer.value[:missing]
    return done


def _read_texts(task: Task, reply: Reply, inputs: Mapping[str, Any]) -> list[Outcome]:
    """The texts of a reply that the task can read.

    Raises:
        InvalidReplyError: it can read none of them.
    """
    useless: InvalidReplyError | None = None
    outcomes: list[Outcome] = []
    for text in reply.texts:
        try:
            outcomes.append(Outcome(text, read_text(task, text, inputs)))
        except InvalidReplyError as error:
            useless = error
    if not outcomes:
        raise useless or InvalidReplyError("the reply holds no text", cause="no_choices")
    return outcomes


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
