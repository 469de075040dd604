"""How a backend is asked once: retry around limit around attempt.

Rules:

- What was read out of a reply decides whether the reply was of use: a task that raises
  `InvalidReplyError` has it asked for again, and that is counted as a paid retry.
- What an earlier run has kept is not asked for again. What is bought is handed to the recorder
  before anybody sees it, and nothing can be cancelled in between.
- What is the server's trouble (throttled, warming, an open circuit, a key under suspicion) costs
  the call no attempt: the gate holds it back until the server is well, or gives the server up.
"""

from __future__ import annotations

from asyncio import get_running_loop
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import anyio

from distilabel import failpoints
from distilabel.errors import (
    CallError,
    InvalidReplyError,
    RunFatalError,
    ThrottledError,
    TransientError,
    WarmingError,
)
from distilabel.events import CallFailed, CallRetried, CallReused, CallSent, CallSucceeded
from distilabel.llm.flight import Flight
from distilabel.llm.gate import NO_FILES_LEFT
from distilabel.llm.purse import UNMETERED
from distilabel.types import KeptReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from distilabel.events import Observer
    from distilabel.limits import RetryState
    from distilabel.llm.base import LLM
    from distilabel.llm.purse import Purse
    from distilabel.types import Call, Reply, StageName, Usage

__all__ = ["Answer", "CallContext", "Recorder", "ask"]

T = TypeVar("T")

_NO_FILES_WAIT_S = 0.1
"""How long until a connection may have come free in this process, at least."""
_SUSPECT_STATUSES = frozenset({401, 403})


class Recorder(Protocol):
    """Keeps replies, and finds those that were kept. One row's, in one stage."""

    async def find(self, call: Call, paid_try: int) -> KeptReply | None:
        """The reply that was kept for this call."""
        ...

    def keep(self, call: Call, paid_try: int, kept: KeptReply) -> None:
        """Take a reply that was just bought."""
        ...

    def gave_up(self, call: Call, paid_try: int, error: BaseException) -> None:
        """Note that a call which `find` had nothing for brought nothing to keep either."""
        ...


@dataclass(frozen=True, slots=True)
class CallContext:
    """For whom a call is made, and who wants to know."""

    stage: StageName = "generator"
    row_index: int = 0
    notify: Observer = lambda event: None  # noqa: ARG005 - nobody wants to know
    flight: Flight = field(default_factory=Flight)
    """The attempts of the run that the call belongs to."""
    recorder: Recorder | None = None
    """Keeps what is bought; None: nothing is kept."""
    purse: Purse | None = None
    """Pays for it; None: nobody counts."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A reply that was of use, and what was read out of it."""

    kept: KeptReply
    value: T
    is_reused: bool
    """It was not bought in this run: an earlier one had kept it."""

    @property
    def reply(self) -> Reply:
        """What the backend said."""
        return self.kept.reply


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
    started = get_running_loop().time()
    while True:
        kept, is_bought = None, False
        try:
            kept = await _find(call, state, context)
            if kept is None:
                is_bought = True
                kept = await _buy(llm, call, state, started, context)
            value = read(kept.reply)
            _pass("after_parse")
        except CallError as error:
            error.is_of_text = kept is not None
            usage = _usage_of(kept, error) if is_bought else None
            wait_s = await _react(llm, error, state, context, usage)
            if not is_bought:
                continue  # it was waited for, and told, when it was bought
            _tell_retry(error, wait_s, context, usage)
            await anyio.sleep(wait_s)
        else:
            _tell_success(llm, kept, context, is_bought=is_bought)
            return Answer(kept, value, is_reused=not (is_bought or kept.is_shared))


def _usage_of(kept: KeptReply | None, error: CallError) -> Usage | None:
    """What a reply of no use took: one that was kept, or one that nobody could read."""
    return error.usage if kept is None else kept.reply.usage


async def _find(call: Call, state: RetryState, context: CallContext) -> KeptReply | None:
    if context.recorder is None:
        return None
    try:
        return await context.recorder.find(call, state.paid)
    except CallError:  # an equal call failed while this one waited for it
        state.attempts += 1
        raise


async def _buy(
    llm: LLM, call: Call, state: RetryState, started: float, context: CallContext
) -> KeptReply:
    paid_try = state.paid
    try:
        return await _send(llm, call, state, started, context)
    except BaseException as error:
        if context.recorder is not None:
            context.recorder.gave_up(call, paid_try, error)
        raise


async def _send(
    llm: LLM, call: Call, state: RetryState, started: float, context: CallContext
) -> KeptReply:
    async def attempt() -> KeptReply:
        state.attempts += 1
        context.notify(CallSent(context.stage, context.row_index))
        context.flight.departed()
        account.departed()
        sent = get_running_loop().time()
        llm.gate.departs(state.failing)
        try:
            _pass("before_send")
            reply = await llm.attempt(call)
            _pass("after_body")
            now = get_running_loop().time()
            kept = KeptReply(reply, state.attempts, now - started, now - sent)
            if context.recorder is not None:
                context.recorder.keep(call, state.paid, kept)
        except CallError:
            context.flight.lost()
            raise
        except BaseException:  # cancelled, or not written down: somebody may have to pay for it
            context.flight.cut_off()
            raise
        context.flight.landed()
        return kept

    purse = context.purse
    account = UNMETERED if purse is None else await purse.reserve(llm, call, context)
    with account:
        kept = await llm.gate.send(attempt, context, call)
        account.landed(kept.reply.usage)
    llm.gate.succeeded(context.row_index, retry_cost=state.spent, failing=state.failing)
    state.spent = 0
    return kept


def _pass(point: str) -> None:
    if failpoints.reached is not None:
        failpoints.reached(point)


async def _react(
    llm: LLM, error: CallError, state: RetryState, context: CallContext, usage: Usage | None
) -> float:
    """Seconds to wait before the next attempt.

    Raises:
        CallError: there is no next attempt.
    """
    error.attempts = state.attempts
    try:
        wait_s = await _wait_s(llm, error, state, context)
    except CallError as final:
        final.attempts = state.attempts
        context.notify(
            CallFailed(context.stage, context.row_index, final.cause, state.attempts, usage)
        )
        raise
    return wait_s


async def _wait_s(llm: LLM, error: CallError, state: RetryState, context: CallContext) -> float:
    if isinstance(error, RunFatalError) and error.status in _SUSPECT_STATUSES:
        await llm.gate.judge(error, context.row_index)
        return 0.0
    if error.cause == NO_FILES_LEFT:
        return llm.chance.uniform(_NO_FILES_WAIT_S, 2 * _NO_FILES_WAIT_S)
    _refuse_long_waits(llm, error)
    if isinstance(error, WarmingError):
        llm.gate.warming(error, llm.retry_policy.warming_wait_s)
        return 0.0
    if isinstance(error, TransientError):
        return await _after_stumbling(llm, error, state, context)
    if isinstance(error, ThrottledError):
        state.spent += llm.gate.throttled(error)
    wait_s = state.wait_s(error, llm.chance)
    if wait_s is None:
        raise error
    return wait_s


async def _after_stumbling(
    llm: LLM, error: TransientError, state: RetryState, context: CallContext
) -> float:
    wait_s = state.wait_s(error, llm.chance)
    state.failing.again(state.transient, get_running_loop().time())
    cost = llm.gate.stumbled(error, state.failing, context)
    if wait_s is None:
        if await llm.gate.is_to_blame(error, state.failing, context):
            raise error
        state.acquitted()
        cost = None
    if cost is None:  # the gate lets it wait
        return 0.0
    state.spent += cost
    return wait_s or 0.0


def _refuse_long_waits(llm: LLM, error: CallError) -> None:
    if (error.retry_after_s or 0.0) <= llm.retry_policy.retry_after_max_s:
        return
    raise RunFatalError(
        f"{llm.model_name} asks to be left alone for {error.retry_after_s:.0f} s, longer than is "
        f"waited for. Run again then.",
        cause="wait_too_long",
        retry_after_s=error.retry_after_s,
    ) from error


def _tell_retry(error: CallError, wait_s: float, context: CallContext, usage: Usage | None) -> None:
    context.notify(
        CallRetried(
            context.stage,
            context.row_index,
            error.cause,
            wait_s,
            is_throttle=isinstance(error, ThrottledError),
            is_paid=isinstance(error, InvalidReplyError),
            usage=usage,
        )
    )


def _tell_success(llm: LLM, kept: KeptReply, context: CallContext, *, is_bought: bool) -> None:
    reply = kept.reply
    if not is_bought:
        context.notify(
            CallReused(context.stage, context.row_index, reply.usage, kept.is_shared, kept.seconds)
        )
        return
    context.notify(
        CallSucceeded(
            context.stage,
            context.row_index,
            reply.model or llm.model_name,
            kept.seconds,
            kept.attempts,
            reply.usage,
            kept.attempt_s,
        )
    )
