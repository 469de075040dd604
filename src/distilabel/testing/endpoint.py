"""`SimulatedEndpoint`: a provider on loopback, in a thread of its own.

How it works: entering binds a socket (so the URL is known at once) and starts a thread with its own
event loop that serves it; leaving stops the loop, aborts what is open and joins the thread. With
`async with` the same happens without blocking the caller's loop. With ``here()`` there is no
thread: the caller's own loop serves, so that a virtual clock moves the endpoint as well.

Rules:

- An endpoint is entered once.
- Only the thread of the server touches the simulator and the ledger's counters; everybody may read.
- Nothing is reachable from outside of this machine unless ``host`` says so.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from distilabel.testing.connection import Connection
from distilabel.testing.faults import Script
from distilabel.testing.hub_api import HubEndpoint
from distilabel.testing.latency import Latency
from distilabel.testing.ledger import Detail, Ledger
from distilabel.testing.prompt_cache import PromptCache
from distilabel.testing.request import ReplyFunction
from distilabel.testing.settings import Capacity, Settings, split_capacity
from distilabel.testing.simulator import Simulator

if TYPE_CHECKING:
    from distilabel.testing.process import EndpointProcess

__all__ = ["SimulatedEndpoint", "bind", "serving", "url_of"]

_CLOSING_TURNS = 8
"""Turns of the loop at the end. A connection that was accepted in the last moment takes three to be
made, and one more to be closed; a transport takes one to close its socket."""
_BACKLOG = 4096
_POLL_S = 0.001


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def url_of(listening: socket.socket) -> str:
    """The URL at which a listening socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def serving(simulator: Simulator, listening: socket.socket) -> AsyncGenerator[None, None]:
    """Serve on the running loop; leaving aborts what is open."""
    loop = asyncio.get_running_loop()
    slots, bucket = simulator.settings.slots, simulator.settings.bucket
    connections: set[Connection] = set()
    if bucket is not None:
        bucket.clock = loop.time
    simulator.reset(loop.time())
    server = await loop.create_server(
        lambda: Connection(simulator, slots, loop, connections), sock=listening, backlog=_BACKLOG
    )
    try:
        yield
    finally:
        # Accept no more, and let what was accepted come up, before the server is closed: asyncio
        # loses the sockets of connections that come up after that.
        loop.remove_reader(listening.fileno())
        for _ in range(_CLOSING_TURNS):
            for connection in tuple(connections):
                connection.abort()
            await asyncio.sleep(0)
        server.close()


class SimulatedEndpoint:
    """A language model provider on loopback: OpenAI, TGI, and the hub's Inference Endpoints.

    Args:
        latency: how long a reply takes; the i-th draw is for the i-th request to arrive.
        capacity: `Slots` (a queue), `TokenBucket` (429), one of each, or None for no limit.
        reply: writes the replies; None for plausible ones. A text stands for all ``n`` choices, a
            list for one each; fewer entries than ``n`` make a short reply. It runs in the thread
            of the server, in order of arrival; what it raises is sent as a 500.
        script: decides what goes wrong with each request; see `Faults`.
        models: the models that exist, others are answered with a 404; None for any.
        require_key: the API key to ask for; without it, a 401.
        max_prompt_chars: a longer prompt exceeds the context: 400, or 422 from TGI.
        endpoints: the Inference Endpoints of the hub; None for any name, running.
        seed: decides the replies that nobody wrote.
        ledger: how much is kept of each call: ``calls``, ``bodies`` or ``counters``.
        prompt_cache: has chat replies say how many tokens of their prompt were cached; None: they
            say nothing of it.
        host: where to listen.
        port: where to listen; 0 takes any that is free.

    >>> import urllib.request
    >>> with SimulatedEndpoint(models=["my-model"]) as endpoint:
    ...     body = urllib.request.urlopen(endpoint.openai_url + "/models").read()
    >>> b'"id":"my-model"' in body
    True
    """

    def __init__(
        self,
        *,
        latency: Latency | None = None,
        capacity: Capacity | Sequence[Capacity] | None = None,
        reply: ReplyFunction | None = None,
        script: Script | None = None,
        models: Sequence[str] | None = None,
        require_key: str | None = None,
        max_prompt_chars: int | None = None,
        endpoints: Sequence[HubEndpoint] | None = None,
        seed: int = 0,
        ledger: Detail = "calls",
        prompt_cache: PromptCache | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        slots, bucket = split_capacity(capacity)
        self.settings = Settings(
            latency=latency or Latency.zero(),
            slots=slots,
            bucket=bucket,
            reply=reply,
            script=script,
            models=None if models is None else tuple(models),
            require_key=require_key,
            max_prompt_chars=max_prompt_chars,
            endpoints=None if endpoints is None else tuple(endpoints),
            seed=seed,
            ledger=ledger,
            prompt_cache=prompt_cache,
        )
        self._address = (host, port)
        self._simulator: Simulator | None = None
        self._url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @staticmethod
    def process(
        *,
        latency: Latency | None = None,
        slots: int | None = None,
        rate_per_s: float | None = None,
        burst: float = 1,
        tokens_per_min: float | None = None,
        models: Sequence[str] | None = None,
        require_key: str | None = None,
        max_prompt_chars: int | None = None,
        error_rate: float = 0.0,
        error_status: int = 500,
        reset_rate: float = 0.0,
        hang_rate: float = 0.0,
        endpoints: Sequence[HubEndpoint] | None = None,
        seed: int = 0,
        ledger: Detail = "calls",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> "EndpointProcess":
        """The same in a process of its own; the arguments are explained at `ServeOptions`."""
        # Not at the top: both of these import this module, and few need them.
        from distilabel.testing.process import EndpointProcess
        from distilabel.testing.serving import ServeOptions

        latency = latency or Latency.zero()
        return EndpointProcess(
            ServeOptions(
                latency_median_s=latency.median_s,
                sigma=latency.sigma,
                latency_seed=latency.seed,
                slots=slots,
                rate_per_s=rate_per_s,
                burst=burst,
                tokens_per_min=tokens_per_min,
                models=None if models is None else tuple(models),
                require_key=require_key,
                max_prompt_chars=max_prompt_chars,
                error_rate=error_rate,
                error_status=error_status,
                reset_rate=reset_rate,
                hang_rate=hang_rate,
                endpoints=None if endpoints is None else tuple(endpoints),
                seed=seed,
                ledger=ledger,
                host=host,
                port=port,
            )
        )

    def __repr__(self) -> str:
        return f"SimulatedEndpoint({self._url or 'not started'})"

    @property
    def url(self) -> str:
        """Where it listens; text generation is served here."""
        self._started()
        return self._url

    @property
    def openai_url(self) -> str:
        """The ``base_url`` for OpenAI's clients."""
        return f"{self.url}/v1"

    @property
    def endpoints_url(self) -> str:
        """The value for ``huggingface_hub.constants.INFERENCE_ENDPOINTS_ENDPOINT``."""
        return f"{self.url}/v2"

    @property
    def ledger(self) -> Ledger:
        """What was asked and answered; it can be read after the end, too."""
        return self._started().ledger.settled()

    def endpoint_url(self, name: str) -> str:
        """The URL of an Inference Endpoint."""
        return f"{self.url}/endpoints/{name}"

    def wait_until(self, condition: Callable[[Ledger], bool], timeout_s: float = 5.0) -> None:
        """Block until the ledger meets a condition.

        Raises:
            TimeoutError: if it does not in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition(self.ledger):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"the ledger did not get there: {self.ledger.report()}")
            time.sleep(_POLL_S)

    async def until(self, condition: Callable[[Ledger], bool], timeout_s: float = 5.0) -> None:
        """Wait until the ledger meets a condition, without blocking the loop.

        Raises:
            TimeoutError: if it does not in time.
        """
        with anyio.fail_after(timeout_s):
            # The ledger is written by another thread, which cannot set an event of this loop.
            while not condition(self.ledger):  # noqa: ASYNC110
                await anyio.sleep(_POLL_S)

    def reset(self) -> None:
        """Begin anew: an empty ledger, the first draw, the first index."""
        simulator, loop = self._simulator, self._loop
        if simulator is None or loop is None:
            raise RuntimeError("the endpoint is not running: enter it first")
        if self._thread is None:
            simulator.reset(loop.time())
            return
        done = threading.Event()
        loop.call_soon_threadsafe(simulator.reset, loop.time())
        loop.call_soon_threadsafe(done.set)
        done.wait()

    def __enter__(self) -> Self:
        listening = self._bind()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listening, ready), name="simulated-endpoint", daemon=True
        )
        self._thread.start()
        ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        loop, stop, thread = self._loop, self._stop, self._thread
        self._loop = None
        if loop is not None and stop is not None and thread is not None:
            loop.call_soon_threadsafe(stop.set)
            thread.join()

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self.__enter__)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, None, None, None)

    @contextlib.asynccontextmanager
    async def here(self) -> AsyncGenerator[Self, None]:
        """Serve on the running loop instead of in a thread: time is then that loop's time."""
        listening = self._bind()
        self._loop = asyncio.get_running_loop()
        try:
            async with serving(self._started(), listening):
                yield self
        finally:
            self._loop = None

    def _started(self) -> Simulator:
        if self._simulator is None:
            raise RuntimeError("the endpoint has not been started: use `with` or `async with`")
        return self._simulator

    def _bind(self) -> socket.socket:
        if self._simulator is not None:
            raise RuntimeError("an endpoint is entered once: make another one")
        listening = bind(*self._address)
        self._url = url_of(listening)
        self._simulator = Simulator(self.settings, self._url)
        return listening

    def _run(self, listening: socket.socket, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve(listening, ready))

    async def _serve(self, listening: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = stop = asyncio.Event()
        async with serving(self._started(), listening):
            ready.set()
            await stop.wait()
