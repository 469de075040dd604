"""The runs of `adaptive.py --real`: a pipeline over HTTP, against an endpoint in its own process.

What is printed is read from the endpoint's ledger: when each request arrived, how it ended, and
when its reply was out. So no figure depends on what the client believes.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Latency, SimulatedEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RealQueue", "RealQuota", "real_queue", "real_quota"]


@dataclass(frozen=True, slots=True)
class RealQuota:
    """What a run got out of a quota that halved and came back."""

    goodput: float
    """Replies over what an oracle would have had."""
    throttled: float
    throttled_before: float
    """The same of the time to warm up."""


@dataclass(frozen=True, slots=True)
class RealQueue:
    """What a run did to a server that queues."""

    throughput: float
    """Replies over those of slots that are always busy."""
    latency: float
    """A mean reply over the mean of the latencies that were drawn."""


def real_quota(
    *, rate: float, burst: float, warm_s: float, phase_s: float, num_threads: int, seed: int = 1
) -> RealQuota:
    """A time to warm up, then the whole quota, half of it, and the whole again."""
    latency = Latency.lognormal(0.5, 0.6, seed)
    with SimulatedEndpoint.process(latency=latency, rate_per_s=rate, burst=burst) as endpoint:
        llm = _llm(endpoint.openai_url, num_threads)
        begin = time.monotonic() + warm_s
        changes = [
            (begin + phase_s, lambda: endpoint.set_rate(rate / 2)),
            (begin + 2 * phase_s, lambda: endpoint.set_rate(rate)),
        ]
        end = begin + 3 * phase_s
        _run(llm, end, changes)
        calls = endpoint.ledger.calls
    counted = [call for call in calls if begin <= call.arrived_s < end]
    before = [call for call in calls if call.arrived_s < begin]
    replies = sum(call.status == 200 for call in counted)
    return RealQuota(
        goodput=replies / (2.5 * phase_s * rate),
        throttled=sum(call.status == 429 for call in counted) / max(1, len(counted)),
        throttled_before=sum(call.status == 429 for call in before) / max(1, len(before)),
    )


def real_queue(
    *, slots: int, warm_s: float, seconds: float, num_threads: int, seed: int = 1
) -> RealQueue:
    """A time to warm up, then as many seconds as are said."""
    latency = Latency.lognormal(0.5, 0.6, seed)
    mean_s = latency.median_s * math.exp(latency.sigma**2 / 2)
    with SimulatedEndpoint.process(latency=latency, slots=slots) as endpoint:
        begin = time.monotonic() + warm_s
        end = begin + seconds
        _run(_llm(endpoint.openai_url, num_threads), end, [])
        calls = endpoint.ledger.calls
    replies = [c for c in calls if c.status == 200 and begin <= c.finished_s < end]
    taken_s = sum(call.finished_s - call.arrived_s for call in replies)
    return RealQueue(
        throughput=len(replies) / (seconds * slots / mean_s),
        latency=taken_s / len(replies) / mean_s,
    )


def _llm(url: str, num_threads: int) -> OpenAILLM:
    return OpenAILLM(TextGenerationTask(), "m", base_url=url, num_threads=num_threads)


def _run(llm: OpenAILLM, end: float, changes: list[tuple[float, Callable[[], None]]]) -> None:
    """Rows without end, until the time is over; changes are made when they are due."""

    def change() -> None:
        for moment, happens in changes:
            threading.Event().wait(max(0.0, moment - time.monotonic()))
            happens()

    def rows() -> Iterator[dict[str, str]]:
        number = 0
        while time.monotonic() < end:
            yield {"input": f"prompt {number}"}
            number += 1

    changing = threading.Thread(target=change)
    changing.start()
    with Pipeline(llm).iterate(rows(), enable_checkpoints=False, verbose=False) as finished:
        for row in finished:
            if row.errors:
                raise RuntimeError(f"row {row.index} failed: {row.errors}")
    changing.join()
