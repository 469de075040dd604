"""Sync over async: a portal, not a copy. It knows nothing about what it runs.

Rules:

- Without a running event loop, the work runs in this very thread, so that Ctrl-C reaches it. What
  signals do is changed there alone, only if it is the main thread, and put back at the end.
- Inside a running loop (Jupyter, an async app), it runs in a thread of its own with a loop of its
  own, and the caller waits. The running loop is never re-entered.
- What is iterated lives in a thread of its own between two steps; leaving the `with` block ends it
  and waits for its end.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import anyio
from anyio.from_thread import BlockingPortal as Caller
from anyio.from_thread import start_blocking_portal

__all__ = ["Caller", "SignalListener", "entered", "iterate", "run"]

T = TypeVar("T")
_END = object()


class SignalListener(Protocol):
    """What is told of signals."""

    def press(self, signal_number: int) -> None:
        """In the signal's handler, between any two steps of the program: only take note."""

    def act(self) -> None:
        """In the event loop, as soon as it comes to it."""


def run(
    function: Callable[..., Awaitable[T]],
    /,
    *args: Any,
    on_signal: SignalListener | None = None,
) -> T:
    """Run an async function to its end, whether or not a loop is running here.

    Args:
        function: the work.
        *args: what it is called with.
        on_signal: told of SIGINT and SIGTERM, which then do nothing else. Only where the loop is
            ours, in the main thread, and nobody has changed what those signals do.
    """
    work = partial(function, *args)
    if not _has_running_loop():
        if on_signal is not None:
            return anyio.run(_listening, work, _default_signals(), on_signal)
        return anyio.run(work)
    with start_blocking_portal() as portal:
        future = portal.start_task_soon(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C here must not leave the work running there
            raise


def _default_signals() -> tuple[int, ...]:
    """Those of SIGINT and SIGTERM that may be listened to."""
    if threading.current_thread() is not threading.main_thread():
        return ()
    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    return tuple(n for n, default in defaults.items() if signal.getsignal(n) is default)


async def _listening(
    work: Callable[[], Awaitable[T]],
    numbers: tuple[int, ...],
    on_signal: SignalListener,
) -> T:
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, on_signal.act)
        # The loop comes to it in its turn; one that was held up would do first what has piled up.
        signal.signal(number, lambda n, _frame: on_signal.press(n))
        signal.siginterrupt(number, False)  # as the loop has it
    try:
        return await work()
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)  # puts the default back


@contextmanager
def entered(
    open_it: Callable[[], AbstractAsyncContextManager[T]],
) -> Generator[tuple[Caller, T]]:
    """What an async block gives, held in a thread of its own, and what calls into that thread."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_it()) as held:
        yield portal, held


@contextmanager
def iterate(
    open_stream: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]],
) -> Generator[Iterator[T]]:
    """The sync twin of an async stream: enter it, hand its items out one at a time, leave it."""
    with entered(open_stream) as (caller, items):
        yield _Steps(caller, items)


class _Steps(Iterator[T]):
    """Items of an async iterator, each fetched through the portal."""

    def __init__(self, caller: Caller, items: AsyncIterator[T]) -> None:
        self._caller = caller
        self._items = items

    def __next__(self) -> T:
        item = self._caller.call(self._step)
        if item is _END:
            raise StopIteration
        return cast("T", item)

    async def _step(self) -> object:
        return await anext(self._items, _END)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)  # `.run` and `.statistics()` of the stream


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
