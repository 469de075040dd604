"""What the adaptive limit finds, against fixed limits and an oracle, in virtual time.

Two kinds of server, both with lognormal latencies:

- "quota": a token bucket refuses what is over its rate. After a third of the time the rate halves,
  after another third it is back. Goodput is replies per second over the oracle's, which sends
  exactly as much as is admitted; throttled is the share of refusals among all requests.
- "slots": a server works on so many requests at once and queues the others without ever refusing
  one, as vLLM does. Latency is that of the mean reply over that of a server with nobody else on
  it; throughput is replies per second over those of the server when all slots are always busy.

The first minute, in which everything has to be found out, is not counted. No socket and no sleep is
involved: the servers are `distilabel.testing`'s own, the client is the real controller behind the
rules of the real gate, and events are simulated one by one. `--real` does the same over HTTP on
this machine, and takes as long as it says.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from statistics import mean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from distilabel.limits import Adaptive, AdaptivePolicy, Sent
from distilabel.testing import Slots, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Counts", "Fixed", "Queue", "Quota", "Scenario", "Server", "queue_run", "quota_run"]

_WARM_S = 60.0
_NETWORK_S = 0.01
"""From the client to the server, and as long back."""


@dataclass(frozen=True, slots=True)
class Server:
    """What is simulated. Times in seconds, rates in requests a second."""

    name: str
    median_s: float = 0.5
    sigma: float = 0.6
    slots: int | None = None
    rate: float | None = None
    burst: float = 1.0
    """Requests that the bucket admits at once, in seconds of its rate."""
    whole_seconds: bool = False
    """Retry-After is rounded up to whole seconds, as many servers do."""
    jitter_s: float = 0.0
    """How late requests arrive at most, by chance: event loops and networks are not exact."""
    tokens_sigma: float = 0.0
    """How the length of replies is scattered; their latency follows."""
    overhead_share: float = 0.2
    """The part of a median reply's time that does not depend on its length."""
    slowdown: float = 0.0
    """Replies take 1 + slowdown x (others being served) as long: batches that share a GPU."""
    held_up_s: float = 0.0
    """The client is held up for so long at first: what replies take meanwhile it cannot tell."""

    @property
    def mean_s(self) -> float:
        """A mean reply on an idle server."""
        noise = math.exp(self.sigma**2 / 2)
        length = math.exp(self.tokens_sigma**2 / 2)
        return self.median_s * noise * (self.overhead_share + (1 - self.overhead_share) * length)


class Fixed(Adaptive):
    """A limit that stays what it is: whatever happens teaches it nothing."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit, policy=AdaptivePolicy(start=limit))

    def succeeded(self, sent: Sent, seconds: float | None, tokens: float) -> None:
        """Nothing changes."""

    def refused(self, now: float, sent: Sent) -> None:
        """Nothing changes."""


@dataclass(slots=True)
class Counts:
    """What was seen after the first minute."""

    replies: int = 0
    refused: int = 0
    latency_s: float = 0.0
    """Of all replies, added up, the network left out."""
    limits: list[tuple[float, int]] = field(default_factory=list)
    """When the limit became what."""

    @property
    def throttled(self) -> float:
        """The share of requests that were refused."""
        return self.refused / max(1, self.replies + self.refused)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """One request at the server."""

    started: float
    sent: Sent
    work_s: float
    tokens: float


class Scenario:
    """One client with work without end, and one server, in virtual time.

    Args:
        server: what is simulated.
        limit: the client's limit.
        seconds: how long.
        seed: decides latencies and lengths.
        quotas: when the quota becomes which share of itself.
    """

    def __init__(
        self,
        server: Server,
        limit: Adaptive,
        seconds: float,
        seed: int,
        quotas: Sequence[tuple[float, float]] = (),
    ) -> None:
        self.server, self.limit, self.seconds = server, limit, seconds
        self.counts = Counts()
        self._chance = random.Random(seed)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._in_flight = self._serving = 0
        self._paused_until = 0.0
        self._look_at = math.inf
        self._slots = Slots[_Work](server.slots) if server.slots else None
        self._bucket: TokenBucket | None = None
        if server.rate is not None:
            self._bucket = TokenBucket(server.rate, max(1.0, server.burst * server.rate))
            self._bucket.clock = lambda: self._now
        for at, share in quotas:
            self._at(at, partial(self._quota, share))

    def run(self) -> Counts:
        """From the first request to the end of the time."""
        self._send()
        while self._now <= self.seconds:
            self._now, _, happens = heappop(self._events)
            happens()
            self._send()
        return self.counts

    def _at(self, when: float, happens: Callable[[], None]) -> None:
        heappush(self._events, (when, next(self._order), happens))

    # The client: the rules of the gate.

    def _send(self) -> None:
        while self._in_flight < self.limit.limit:
            wait_s = max(self._paused_until - self._now, self.limit.wait_s(self._now))
            if wait_s > 0:
                self._look(self._now + wait_s)
                break
            self._in_flight += 1
            arrival = partial(self._arrive, self._now, self.limit.sent(self._now))
            late_s = self._chance.random() * self.server.jitter_s
            self._at(self._now + _NETWORK_S + late_s, arrival)
        if self.limit.is_ramping:
            self._look(self._now + 0.005)

    def _look(self, when: float) -> None:
        if when < self._look_at:
            self._look_at = when
            self._at(when, self._tick)

    def _tick(self) -> None:
        self._look_at = math.inf
        self.limit.tick(self._now)
        self._note_limit()

    def _reply(self, work: _Work) -> None:
        seconds = self._now - work.started
        self._in_flight -= 1
        self.limit.ended()
        held_s = max(0.0, self.server.held_up_s - work.started)
        self.limit.succeeded(work.sent, None if held_s > 0.1 * seconds else seconds, work.tokens)
        self._note_limit()
        if self._now > _WARM_S:
            self.counts.replies += 1
            self.counts.latency_s += seconds - 2 * _NETWORK_S

    def _refusal(self, sent: Sent, wait_s: float) -> None:
        self._in_flight -= 1
        self._paused_until = max(self._paused_until, self._now + wait_s)
        self.limit.ended()
        self.limit.refused(self._now, sent)
        self._note_limit()
        if self._now > _WARM_S:
            self.counts.refused += 1

    def _note_limit(self) -> None:
        limits = self.counts.limits
        if not limits or limits[-1][1] != self.limit.limit:
            limits.append((self._now, self.limit.limit))

    # The server.

    def _quota(self, share: float) -> None:
        if self._bucket is not None and self.server.rate is not None:
            self._bucket.rate_per_s = self.server.rate * share

    def _arrive(self, started: float, sent: Sent) -> None:
        wait_s = 0.0 if self._bucket is None else self._bucket.take(self._now)
        if wait_s > 0:
            asked_s = math.ceil(wait_s) if self.server.whole_seconds else wait_s
            self._at(self._now + _NETWORK_S, partial(self._refusal, sent, asked_s))
            return
        work = _Work(started, sent, *self._draw())
        if self._slots is None or self._slots.arrive(work):
            self._serve(work)

    def _draw(self) -> tuple[float, float]:
        server, gauss = self.server, self._chance.gauss
        length = math.exp(gauss(0.0, server.tokens_sigma))
        work_s = server.median_s * (server.overhead_share + (1 - server.overhead_share) * length)
        return work_s * math.exp(gauss(0.0, server.sigma)), 200.0 * length

    def _serve(self, work: _Work) -> None:
        self._serving += 1
        work_s = work.work_s * (1.0 + self.server.slowdown * (self._serving - 1))
        self._at(self._now + work_s, partial(self._served, work))

    def _served(self, work: _Work) -> None:
        self._serving -= 1
        following = None if self._slots is None else self._slots.leave(work)
        if following is not None:
            self._serve(following)
        self._at(self._now + _NETWORK_S, partial(self._reply, work))


@dataclass(frozen=True, slots=True)
class Quota:
    """What a client got out of a quota that halves and comes back."""

    goodput: float
    """Replies over those of an oracle."""
    throttled: float


@dataclass(frozen=True, slots=True)
class Queue:
    """What a client did to a server that queues."""

    throughput: float
    """Replies over those of the server when all slots are always busy."""
    latency: float
    """A mean reply over one of an idle server."""


def quota_run(server: Server, limit: Adaptive, phase_s: float, seed: int) -> Quota:
    """A minute to warm up, then the whole quota, half of it, and the whole again."""
    quotas = [(_WARM_S + phase_s, 0.5), (_WARM_S + 2 * phase_s, 1.0)]
    counts = Scenario(server, limit, _WARM_S + 3 * phase_s, seed, quotas).run()
    return Quota(counts.replies / ((server.rate or 0.0) * 2.5 * phase_s), counts.throttled)


def queue_run(server: Server, limit: Adaptive, seconds: float, seed: int) -> Queue:
    """A minute to warm up, and then the rest of the time."""
    counts = Scenario(server, limit, seconds, seed).run()
    served = (server.slots or 0) * (seconds - _WARM_S) / server.mean_s
    return Queue(counts.replies / served, counts.latency_s / counts.replies / server.mean_s)


def main() -> None:
    options = _options()
    console = Console(width=112)
    if options.real:
        console.print(_real_table(options))
        return
    seeds = range(options.seed, options.seed + options.seeds)
    console.print(_quota_table(options, seeds))
    console.print(_queue_table(options, seeds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind (3)")
    parser.add_argument("--seed", type=int, default=1, help="the first run's seed (1)")
    parser.add_argument("--phase", type=float, default=120.0, help="seconds of each quota (120)")
    parser.add_argument("--ceiling", type=int, default=512, help="of the adaptive limit (512)")
    parser.add_argument(
        "--real",
        action="store_true",
        help="over HTTP, in real time: takes half an hour",
    )
    parser.add_argument(
        "--fixed", default="8,32,100,256", help="limits to compare with (8,32,100,256)"
    )
    return parser.parse_args()


def _clients(options: argparse.Namespace) -> list[tuple[str, Callable[[], Adaptive]]]:
    fixed = [int(limit) for limit in options.fixed.split(",")]
    return [
        *((f"fixed {limit}", partial(Fixed, limit)) for limit in fixed),
        ("adaptive", partial(Adaptive, options.ceiling)),
    ]


def _quota_table(options: argparse.Namespace, seeds: Sequence[int]) -> Table:
    table = Table(
        title=f"A quota halves after {options.phase:g} s and is back after as many; "
        f"{len(seeds)} seeds, worst in brackets",
        caption="goodput: replies over an oracle's. Throttled: of requests after the first minute",
    )
    for column in ("quota", "client"):
        table.add_column(column)
    for column in ("goodput", "throttled"):
        table.add_column(column, justify="right")
    for server in QUOTAS:
        for name, make in _clients(options):
            runs = [quota_run(server, make(), options.phase, seed) for seed in seeds]
            goodputs, throttled = [r.goodput for r in runs], [r.throttled for r in runs]
            table.add_row(
                server.name,
                name,
                f"{mean(goodputs):.3f} ({min(goodputs):.3f})",
                f"{mean(throttled):.2%} ({max(throttled):.2%})",
                end_section=name == "adaptive",
            )
    return table


def _queue_table(options: argparse.Namespace, seeds: Sequence[int]) -> Table:
    table = Table(
        title=f"A server with slots and a queue; {len(seeds)} seeds, worst in brackets",
        caption="throughput: over that of slots that are always busy. Latency: over an idle "
        "server's",
    )
    for column in ("server", "client"):
        table.add_column(column)
    for column in ("throughput", "latency"):
        table.add_column(column, justify="right")
    for server in QUEUES:
        for name, make in _clients(options):
            runs = [queue_run(server, make(), 300.0, seed) for seed in seeds]
            throughputs, latencies = [r.throughput for r in runs], [r.latency for r in runs]
            table.add_row(
                server.name,
                name,
                f"{mean(throughputs):.3f} ({min(throughputs):.3f})",
                f"{mean(latencies):.2f} ({max(latencies):.2f})",
                end_section=name == "adaptive",
            )
    return table


def _real_table(options: argparse.Namespace) -> Table:
    from _adaptive_real import real_queue, real_quota  # a pipeline takes a second to import

    table = Table(title="Over HTTP, adaptive, read from the endpoint's ledger")
    table.add_column("server")
    for column in ("goodput", "throttled", "throughput", "latency"):
        table.add_column(column, justify="right")
    for rate, burst in ((40.0, 40.0), (100.0, 100.0), (60.0, 6.0)):
        quota = real_quota(
            rate=rate, burst=burst, warm_s=_WARM_S, phase_s=options.phase, num_threads=256
        )
        name = f"{rate:g}/s, bursts of {burst:g}"
        table.add_row(name, f"{quota.goodput:.3f}", f"{quota.throttled:.2%}", "", "")
    for slots in (1, 4, 8, 16, 64):
        queue = real_queue(slots=slots, warm_s=_WARM_S, seconds=180.0, num_threads=256)
        row = ("", "", f"{queue.throughput:.3f}", f"{queue.latency:.2f}")
        table.add_row(f"{slots} slots", *row)
    return table


QUOTAS = (
    Server("20/s, bursts of 1 s", rate=20, burst=1.0),
    Server("100/s, bursts of 1 s", rate=100, burst=1.0),
    Server("100/s, waits in whole seconds", rate=100, burst=1.0, whole_seconds=True),
    Server("100/s, no bursts at all", rate=100, burst=0.0),
    Server("100/s, the same, jitter of 5 ms", rate=100, burst=0.0, jitter_s=0.005),
)
QUEUES = (
    Server("1 slot", slots=1),
    Server("4 slots", slots=4),
    Server("8 slots", slots=8),
    Server("16 slots", slots=16),
    Server("64 slots", slots=64),
    Server("64 slots, lengths scattered", slots=64, tokens_sigma=1.0),
    Server("64 slots, client held up for 3 s", slots=64, held_up_s=3.0),
)


if __name__ == "__main__":
    main()
