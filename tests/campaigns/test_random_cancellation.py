"""Calls that are cancelled at random moments take nothing with them: no permit, no connection.

A pool of httpx 0.28 that has fewer connections than there are permits wedges for good here
(httpcore #1093), which is one reason why our own lane is not built on it. How a user's client fares
is told in `docs/performance.md` and not asserted.
"""

import math
import random

import anyio
import httpx
import httpx2
import pytest

from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Latency, SimulatedEndpoint

CONNECTIONS = 10
TASKS = 40
PATIENCE_S = (0.001, 1.0)
"""Every decade is as likely as the next. So on a slow machine as on a fast one calls are left while
they are queued, connecting, sent and read, and some are not left at all."""
LATER_CALLS = 20


class Storm:
    """Tasks that begin calls and streams, and leave each after a random while."""

    def __init__(self, llm: OpenAILLM, seed: int) -> None:
        self.llm = llm
        self.finished = self.cancelled = 0
        self._chance = random.Random(seed)

    async def blow(self, duration_s: float) -> None:
        """Let the tasks go on for so long."""
        until_s = anyio.current_time() + duration_s
        async with anyio.create_task_group() as group:
            for k in range(TASKS):
                group.start_soon(self._go_on, until_s, self._call if k % 2 else self._stream)

    async def _go_on(self, until_s: float, work) -> None:
        while anyio.current_time() < until_s:
            patience_s = math.exp(self._chance.uniform(*map(math.log, PATIENCE_S)))
            with anyio.move_on_after(patience_s) as scope:
                await work()
            self.cancelled += scope.cancelled_caught
            self.finished += not scope.cancelled_caught

    async def _call(self) -> None:
        await self.llm.agenerate([{"input": "Say hello."}])

    async def _stream(self) -> None:
        rows = [{"input": f"Say {k}."} for k in range(5)]
        async with Pipeline(self.llm).stream(rows, enable_checkpoints=False) as stream:
            async for row in stream:
                assert not row.errors


async def weather(duration_s: float, seed: int, client=None) -> tuple[Storm, int]:
    """A storm over one backend, and how many of the calls after it succeeded."""
    latency = Latency.lognormal(0.01, 0.6, seed)
    with SimulatedEndpoint(latency=latency, ledger="counters") as endpoint:
        llm = OpenAILLM(
            TextGenerationTask(),
            base_url=endpoint.openai_url,
            client=client,
            num_threads=CONNECTIONS,
        )
        storm = Storm(llm, seed)
        async with llm.session():  # one pool of connections for the storm and for what follows
            await storm.blow(duration_s)
            check_idle(llm)
            succeeded = await later_calls(llm)
            check_idle(llm)
        assert llm.permits.statistics().peak_in_use == CONNECTIONS
        assert llm._lanes == {}
    return storm, succeeded


def check_idle(llm: OpenAILLM) -> None:
    """Every permit is back, and nobody waits for one."""
    permits = llm.permits.statistics()
    assert (permits.in_use, permits.waiting) == (0, 0)


async def later_calls(llm: OpenAILLM) -> int:
    """How many of 20 calls succeed within 10 s."""
    succeeded: list[str] = []

    async def call(k: int) -> None:
        ((output,),) = await llm.agenerate([{"input": f"{k}?"}])
        if output["raw_output"]:
            succeeded.append(output["raw_output"])

    with anyio.move_on_after(10):
        async with anyio.create_task_group() as group:
            for k in range(LATER_CALLS):
                group.start_soon(call, k)
    return len(succeeded)


@pytest.mark.parametrize("seed", [1, 2])
async def test_calls_succeed_after_a_storm_of_cancellations(seed):
    """After 1.5 s of calls cancelled at random, 20 of 20 succeed and every permit is back."""
    storm, succeeded = await weather(1.5, seed)
    assert succeeded == LATER_CALLS
    assert storm.cancelled > 100
    assert storm.finished > 10


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
async def test_calls_succeed_after_a_long_storm_of_cancellations(seed):
    """The same after 20 s."""
    storm, succeeded = await weather(20.0, seed)
    assert succeeded == LATER_CALLS
    assert storm.cancelled > 1_000
    assert storm.finished > 100


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("duration_s", [1.0, pytest.param(20.0, marks=pytest.mark.campaign)])
async def test_a_storm_over_a_client_of_the_users_keeps_no_permit(
    module, duration_s, record_property
):
    """Whatever becomes of the user's own pool of connections, our permits are all back."""
    limits = module.Limits(max_connections=CONNECTIONS)
    client = module.AsyncClient(limits=limits)
    storm, succeeded = await weather(duration_s, 1, client)
    record_property("later_calls_that_succeeded", succeeded)
    assert storm.cancelled > 100
    await client.aclose()
