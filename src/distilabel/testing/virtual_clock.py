"""An event loop on which waiting takes no time.

How it works: `VirtualClockLoop` is the selector event loop with a clock that stands still and a
selector of its own. The loop asks the selector to wait for the next timer; the selector looks for
real events, and if there are none moves the clock forward by what was to be waited, and returns.

Rules:

- ``loop.time()``, and with it `anyio.current_time`, starts at 0 and moves only by such jumps.
  ``time.monotonic()`` is not touched.
- What is ready is run before any jump: callbacks, sockets, results from threads.
- With no timer at all, the loop waits for real: for a socket, or for a thread to report.
- With a timer and something under way that the loop cannot see (a thread, a process, a peer on
  a socket), the clock jumps and the timer wins: a timeout fires although an answer was due.
  ``autojump_threshold_s`` gives such things that many real seconds before each jump.
- A loop is for one `asyncio.Runner`; nothing is shared between two of them.

So half an hour of rate limiting is tested in milliseconds::

    from distilabel.testing import virtual_clock

    async def storm() -> float:
        await anyio.sleep(1800)
        return anyio.current_time()

    assert virtual_clock.run(storm) == 1800
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["VirtualClock", "VirtualClockLoop", "run"]

P = ParamSpec("P")
R = TypeVar("R")


class _JumpingSelector(selectors.BaseSelector):
    """Waits for real events as the selector that it wraps does, but never for time to pass."""

    def __init__(self, autojump_threshold_s: float) -> None:
        self._real = selectors.DefaultSelector()
        self._autojump_threshold_s = autojump_threshold_s
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)
        events = self._real.select(min(timeout, self._autojump_threshold_s))
        if not events:
            self.now_s += timeout
        return events

    def register(
        self, fileobj: "FileDescriptorLike", events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(
        self, fileobj: "FileDescriptorLike", events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping["FileDescriptorLike", selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when nothing is ready.

    Args:
        autojump_threshold_s: how many real seconds to wait for real events before each jump.
    """

    def __init__(self, autojump_threshold_s: float = 0.0) -> None:
        self._jumping = _JumpingSelector(autojump_threshold_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._jumping.now_s

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads of the default executor, for as long as they take.

        Args:
            timeout: not heeded. From Python 3.12 on a runner gives them five minutes, which are
                over here before any thread could end.
        """
        del timeout
        await super().shutdown_default_executor()


class VirtualClock:
    """Runs coroutines in virtual time.

    Args:
        autojump_threshold_s: how many real seconds to wait for real events before each jump.

    >>> import anyio
    >>> async def nap(seconds_s: float) -> float:
    ...     await anyio.sleep(seconds_s)
    ...     return anyio.current_time()
    >>> VirtualClock().run(nap, 3600.0)
    3600.0
    """

    def __init__(self, autojump_threshold_s: float = 0.0) -> None:
        self.autojump_threshold_s = autojump_threshold_s

    def new_loop(self) -> VirtualClockLoop:
        """A loop, for `asyncio.Runner` or anyio's ``backend_options={"loop_factory": ...}``."""
        return VirtualClockLoop(self.autojump_threshold_s)

    def run(self, function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a coroutine function and run it to its end on a new loop."""

        async def call() -> R:
            return await function(*args, **kwargs)

        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            return runner.run(call())


def run(function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a coroutine function in virtual time, with `VirtualClock` as it comes."""
    return VirtualClock().run(function, *args, **kwargs)
