"""A simulated endpoint from the command line, or in a process of its own.

`serve` is what ``distilabel simulate`` and ``python -m distilabel.testing`` call: it listens,
prints one line with its URL, and serves until SIGINT or SIGTERM. `ServeOptions` are the settings of
`SimulatedEndpoint` that can be written down; functions cannot, so faults are rates here.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from dataclasses import dataclass, field, fields

import msgspec

from distilabel.testing.capacity import Slots, TokenBucket
from distilabel.testing.connection import Connection
from distilabel.testing.endpoint import bind, serving, url_of
from distilabel.testing.faults import Faults, NeverAnswers, Reset, Script, Status
from distilabel.testing.hub_api import HubEndpoint
from distilabel.testing.latency import Latency
from distilabel.testing.ledger import Detail
from distilabel.testing.settings import Settings
from distilabel.testing.simulator import Simulator

__all__ = ["READY", "ServeOptions", "parse_arguments", "serve"]

_GC_THRESHOLD = 50_000  # a reply makes no cycles, so there is little to be found

READY = "Simulated endpoint ready at "
"""How the line with the URL begins."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What a simulated endpoint in a process of its own is told.

    Attributes:
        host: where to listen.
        port: where to listen; 0 takes any that is free.
        latency_median_s: half of the replies take longer.
        sigma: how scattered they are; 0 for not at all.
        seed: decides replies, faults and, without a seed of their own, latencies.
        latency_seed: decides latencies; None for ``seed``.
        slots: how many requests are served at once, the others wait; None for all.
        rate_per_s: how many requests a second are admitted, the others get a 429; None for all.
        burst: how many are admitted at once after a rest.
        tokens_per_min: how many tokens a minute are admitted, where ``rate_per_s`` is given.
        models: the models that exist; None for any.
        require_key: the API key to ask for; None for none.
        max_prompt_chars: a longer prompt exceeds the context; None for no limit.
        error_rate: the share of requests that get an error status.
        error_status: which.
        reset_rate: the share of requests whose connection is reset.
        hang_rate: the share of requests that are never answered.
        endpoints: the Inference Endpoints that exist; None for any name, running.
        ledger: how much is kept of each call.
        is_tied_to_stdin: end when the standard input does, i.e. with the parent process.
    """

    host: str = "127.0.0.1"
    port: int = 0
    latency_median_s: float = 0.0
    sigma: float = 0.0
    seed: int = 0
    latency_seed: int | None = None
    slots: int | None = None
    rate_per_s: float | None = None
    burst: float = 1
    tokens_per_min: float | None = None
    models: tuple[str, ...] | None = None
    require_key: str | None = field(default=None, repr=False)
    max_prompt_chars: int | None = None
    error_rate: float = 0.0
    error_status: int = 500
    reset_rate: float = 0.0
    hang_rate: float = 0.0
    endpoints: tuple[HubEndpoint, ...] | None = None
    ledger: Detail = "counters"
    is_tied_to_stdin: bool = False

    def settings(self) -> Settings:
        """The same, as the endpoint itself is told."""
        latency_seed = self.seed if self.latency_seed is None else self.latency_seed
        bucket = None
        if self.rate_per_s is not None:
            bucket = TokenBucket(self.rate_per_s, self.burst, tokens_per_min=self.tokens_per_min)
        return Settings(
            latency=Latency(self.latency_median_s, self.sigma, latency_seed),
            slots=None if self.slots is None else Slots[Connection](self.slots),
            bucket=bucket,
            script=self._script(),
            models=self.models,
            require_key=self.require_key,
            max_prompt_chars=self.max_prompt_chars,
            endpoints=self.endpoints,
            seed=self.seed,
            ledger=self.ledger,
        )

    def _script(self) -> Script | None:
        shares = (
            (self.error_rate, Status(self.error_status)),
            (self.reset_rate, Reset()),
            (self.hang_rate, NeverAnswers()),
        )
        scripts = [
            Faults.rate(share, fault, self.seed + place)
            for place, (share, fault) in enumerate(shares)
            if share > 0
        ]
        return Faults.any_of(*scripts) if scripts else None


def serve(options: ServeOptions) -> None:
    """Serve until SIGINT or SIGTERM, or until the standard input ends if told to; blocks.

    Raises:
        OSError: if the port is taken.
    """
    gc.freeze()  # what was imported stays: the collector need not look at it again and again
    gc.set_threshold(_GC_THRESHOLD)
    with asyncio.Runner() as runner:
        runner.run(_serve(options))


async def _serve(options: ServeOptions) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.is_tied_to_stdin:
        _stop_with(sys.stdin.fileno(), loop, stop)
    listening = bind(options.host, options.port)
    url = url_of(listening)
    async with serving(Simulator(options.settings(), url), listening):
        print(f"{READY}{url}", flush=True)  # noqa: T201 - this line is the interface
        await stop.wait()


def _stop_with(stdin_fd: int, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the standard input ends: it does when the parent dies, however it dies."""

    def watch() -> None:
        while os.read(stdin_fd, 4096):  # sys.stdin would hold its lock at the interpreter's end
            pass
        with contextlib.suppress(RuntimeError):  # a signal was faster, and the loop is closed
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="stdin-watch", daemon=True).start()


def parse_arguments(arguments: list[str]) -> ServeOptions:
    """Options from ``--name value`` pairs; a name may leave out its unit.

    Raises:
        ValueError: for an unknown name, a missing value, or one of the wrong type.

    >>> options = parse_arguments(["--port", "8000", "--latency-median", "0.5", "--models", "a,b"])
    >>> options.port, options.latency_median_s, options.models
    (8000, 0.5, ('a', 'b'))
    """
    known = {one.name: one.name for one in fields(ServeOptions)}
    known |= {"latency_median": "latency_median_s", "rate": "rate_per_s"}
    given: dict[str, object] = {}
    for flag, value in zip(arguments[::2], [*arguments[1::2], None], strict=False):
        name = known.get(flag.removeprefix("--").replace("-", "_"))
        if name is None or not flag.startswith("--") or value is None:
            raise ValueError(f"{flag}: not an option with a value; there are {', '.join(known)}")
        given[name] = value.split(",") if name == "models" else value
    try:
        return msgspec.convert(given, ServeOptions, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
