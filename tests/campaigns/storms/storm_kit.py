"""What the storms share: a run on a virtual clock over loopback, and a server that throttles."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING

import anyio

from distilabel.errors import DistilabelError
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import SimulatedEndpoint, Status, TokenBucket, VirtualClock
from distilabel.testing.ratelimit_headers import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from distilabel.testing import Fault, Ledger, SimRequest
    from distilabel.types import Row, RunSummary

INSTANT_S = 1e-6
"""Less than any wait: what is sent at one moment of the virtual clock is sent within it."""


@dataclass
class Outcome:
    """What came of a storm."""

    ledger: Ledger
    rows: list[Row] = field(default_factory=list)
    finished_s: list[float] = field(default_factory=list)
    """When each row was handed out."""
    error: DistilabelError | None = None
    summary: RunSummary | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> list[Row]:
        """Rows with errors."""
        return [row for row in self.rows if row.errors]


def rows(count: int) -> list[dict[str, str]]:
    """So many different rows."""
    return [{"input": f"row {number}"} for number in range(count)]


def number_of(request: SimRequest) -> int:
    """The row that a request is about."""
    return int(request.prompt.rpartition(" ")[2])


def now_s() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def run(
    source: Iterable[Mapping[str, str]],
    *,
    permits: int,
    make=None,
    judge=None,
    ordered=False,
    **endpoint,
) -> Outcome:
    """Run over a server of this kind, in virtual time, until the end or until something stops it.

    Args:
        source: the rows.
        permits: calls at once.
        make: makes the backend for a URL; None: OpenAI's, over the default lane.
        judge: makes the labeller for a URL, if there is to be one.
        ordered: take the rows in the order of the input.
        **endpoint: how the server behaves.
    """
    server = SimulatedEndpoint(**endpoint)

    async def main() -> Outcome:
        async with server.here():
            llm = (make or backend)(server.openai_url, num_threads=permits)
            outcome, started = Outcome(server.ledger), anyio.current_time()
            try:
                labeller = judge and judge(server.openai_url, num_threads=permits)
                stream = Pipeline(llm, labeller).stream(
                    source, enable_checkpoints=False, verbose=False, ordered=ordered
                )
                async with stream as results:
                    async for row in results:
                        outcome.rows.append(row)
                        outcome.finished_s.append(anyio.current_time())
            except DistilabelError as error:
                outcome.error = error
            outcome.summary = results.run
            outcome.seconds = anyio.current_time() - started
            statistics = llm.permits.statistics()
            assert (statistics.in_use, statistics.waiting) == (0, 0)
        return outcome

    return VirtualClock().run(main)


def backend(url: str, **settings) -> OpenAILLM:
    """A backend of the default lane."""
    return OpenAILLM(TextGenerationTask(), "writer", base_url=url, **settings)


@dataclass(frozen=True)
class Form:
    """A way for a server to say how long to stay away.

    Attributes:
        name: for people.
        headers: what it sends for a wait in seconds.
        said_s: how long that is, once written out and read again.
        code: the status.
    """

    name: str
    headers: Callable[[float], Mapping[str, str]]
    said_s: Callable[[float], float]
    code: int = 429


_SLOW_CLOCK_S = 1_500_000_000.0
"""What a server with a clock years behind takes for the beginning."""


def _date(wait_s: float) -> dict[str, str]:
    server_now = math.floor(_SLOW_CLOCK_S + now_s())
    return {
        "date": formatdate(server_now, usegmt=True),
        "retry-after": formatdate(server_now + math.ceil(wait_s), usegmt=True),
    }


def _milliseconds(wait_s: float) -> float:
    return math.ceil(wait_s * 1000) / 1000


def _nothing(wait_s: float) -> dict[str, str]:
    del wait_s
    return {}


FORMS = (
    Form("seconds", lambda wait_s: {"retry-after": str(math.ceil(wait_s))}, math.ceil),
    Form("float", lambda wait_s: {"retry-after": f"{_milliseconds(wait_s)}"}, _milliseconds),
    Form("date", _date, math.ceil),
    Form(
        "retry-after-ms",
        lambda wait_s: {"retry-after-ms": str(math.ceil(wait_s * 1000)), "retry-after": "3000"},
        _milliseconds,
    ),
    Form(
        "reset-requests",
        lambda wait_s: {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": duration(wait_s),
        },
        _milliseconds,
    ),
    Form(
        "reset-tokens",
        lambda wait_s: {
            "x-ratelimit-remaining-requests": "7",
            "x-ratelimit-reset-requests": "40m",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": duration(wait_s),
        },
        _milliseconds,
    ),
    Form("529", lambda wait_s: {"retry-after": str(math.ceil(wait_s))}, math.ceil, 529),
    Form("nothing", _nothing, lambda wait_s: 0.0 * wait_s),
)


class Throttle:
    """A server's token bucket that says in one form when to come back, and notes what arrives."""

    def __init__(self, form: Form, *, rate_per_s: float, burst: float) -> None:
        self._form = form
        self._bucket = TokenBucket(rate_per_s, burst)
        self._closed_until = -math.inf
        self._closed_at = -math.inf
        self.rate_per_s, self.burst = rate_per_s, burst
        self.throttled = self.admitted = 0
        self.early: list[tuple[float, float]] = []
        """Arrivals before the time that was named: when they came, when they might have."""

    def __call__(self, request: SimRequest) -> Fault | None:
        """Admit a request, or say when to come back."""
        if not request.is_generation:
            return None
        now = now_s()
        if self._closed_at + INSTANT_S < now < self._closed_until - INSTANT_S:
            self.early.append((now, self._closed_until))
        wait_s = self._bucket.take(now)
        if not wait_s:
            self.admitted += 1
            return None
        self.throttled += 1
        until = now + self._form.said_s(wait_s)
        if until > self._closed_until:
            self._closed_until = until
            if now > self._closed_at + INSTANT_S:
                self._closed_at = now
        return Status(self._form.code, headers=self._form.headers(wait_s))

    def goodput(self, seconds: float) -> float:
        """The share of what a perfect client would have got through."""
        return self.admitted / (self.burst + self.rate_per_s * seconds)

    @property
    def share_throttled(self) -> float:
        """The share of requests that were turned away."""
        return self.throttled / (self.throttled + self.admitted)
