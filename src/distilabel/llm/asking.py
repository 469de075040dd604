"""How a backend is asked once: retry around limit around attempt.

Rules:

- What was read out of a reply decides whether the reply was of use: a task that raises
  `InvalidReplyError` has it asked for again, and that is counted as a paid retry.
- What is the server's trouble (throttled, warming, an open circuit, a key under suspicion) costs
  the call no attempt: the gate holds it back until the server is well, or gives the server up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from distilabel.errors import (
    CallError,
    InvalidReplyError,
    RunFatalError,
    ThrottledError,
    TransientError,
    WarmingError,
)
from distilabel.events import CallFailed, CallRetried, CallSucceeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from distilabel.events import Observer
    from distilabel.limits import RetryState
    from distilabel.llm.base import LLM
    from distilabel.types import Call, Reply, StageName

__all__ = ["Answer", "CallContext", "ask"]

T = TypeVar("T")

_SUSPECT_STATUSES = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class CallContext:
    """For whom a call is made, and who wants to know."""

    stage: StageName = "generator"
    row_index: int = 0
    notify: Observer = lambda event: None  # noqa: ARG005 - nobody wants to know
    is_stopped: Callable[[], bool] = lambda: False
    """Asked right before each attempt; True: it is not sent."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A reply that was of use, and what was read out of it."""

    reply: Reply
    value: T
    attempts: int


async def ask(llm: LLM, call: Call, read: Callable[[Reply], T], context: CallContext) -> Answer[T]:
    """Ask until a reply is of use, or give up by the rules of `limits.retry`.

    Args:
        llm: the backend.
        call: what to ask for.
        read: reads the reply; raises `InvalidReplyError` if it is of no use.
        context: for whom.

    Raises:
        CallError: the last failure, with `.attempts`.
        DispatchStoppedError: the run is stopping.
    """
    state = llm.retry_policy.start()
    started = anyio.current_time()
    while True:
        try:
            reply = await _send(llm, call, state, context)
            value = read(reply)
        except CallError as error:
            wait_s = await _react(llm, error, state, context)
            _tell_retry(error, wait_s, context)
        else:
            seconds = anyio.current_time() - started
            _tell_success(llm, reply, seconds, state.attempts, context)
            return Answer(reply, value, state.attempts)
        await anyio.sleep(wait_s)


async def _send(llm: LLM, call: Call, state: RetryState, context: CallContext) -> Reply:
    state.attempts += 1
    reply = await llm.gate.send(partial(llm.attempt, call), context)
    llm.gate.succeeded(context.row_index, retry_cost=state.spent)
    state.spent = 0
    return reply


async def _react(llm: LLM, error: CallError, state: RetryState, context: CallContext) -> float:
    """Seconds to wait before the next attempt.

    Raises:
        CallError: there is no next attempt.
    """
    error.attempts = state.attempts
    try:
        wait_s = await _wait_s(llm, error, state, context)
    except CallError as final:
        final.attempts = state.attempts
        context.notify(CallFailed(context.stage, context.row_index, final.cause, state.attempts))
        raise
    return wait_s


async def _wait_s(llm: LLM, error: CallError, state: RetryState, context: CallContext) -> float:
    if isinstance(error, RunFatalError) and error.status in _SUSPECT_STATUSES:
        await llm.gate.judge(error, context.row_index)
        return 0.0
    _refuse_long_waits(llm, error)
    if isinstance(error, WarmingError):
        llm.gate.warming(error, llm.retry_policy.warming_wait_s)
        return 0.0
    if isinstance(error, ThrottledError):
        state.spent += llm.gate.throttled(error)
    elif isinstance(error, TransientError):
        cost = llm.gate.stumbled(error)
        if cost is None:
            return 0.0
        state.spent += cost
    wait_s = state.wait_s(error, llm.chance)
    if wait_s is None:
        raise error
    return wait_s


def _refuse_long_waits(llm: LLM, error: CallError) -> None:
    if (error.retry_after_s or 0.0) <= llm.retry_policy.retry_after_max_s:
        return
    raise RunFatalError(
        f"{llm.model_name} asks to be left alone for {error.retry_after_s:.0f} s, longer than is "
        f"waited for. Run again then.",
        cause="wait_too_long",
        retry_after_s=error.retry_after_s,
    ) from error


def _tell_retry(error: CallError, wait_s: float, context: CallContext) -> None:
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


def _tell_success(
    llm: LLM, reply: Reply, seconds: float, attempts: int, context: CallContext
) -> None:
    context.notify(
        CallSucceeded(
            context.stage,
            context.row_index,
            reply.model or llm.model_name,
            seconds,
            attempts,
            reply.usage,
        )
    )
