"""However a stream is left, nothing of it remains: no task, no socket, no permit."""

import asyncio
import gc
import itertools
import random
import threading
from pathlib import Path

import anyio
import pytest

from distilabel.pipeline import Pipeline
from distilabel.testing import (
    Delay,
    Faults,
    Latency,
    NeverAnswers,
    SimRequest,
    SimulatedEndpoint,
    Status,
)

TIMES = 40


class LeftError(Exception):
    """What the body raises."""


def _reply(request: SimRequest) -> str:
    if request.model == "judge":
        return "#### Output for Text 1\nRating: 3\nRationale: Fair."
    return "fine"


class _Endless:
    """Rows without end; no generator, as one that is left is ended by a task of the loop."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def __aiter__(self):
        return self

    async def __anext__(self):
        return {"input": f"r{next(self._numbers)}"}


def _sockets() -> int:
    """Open sockets of this process; the endpoint's are among them."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += str(entry.readlink()).startswith("socket:")
        except OSError:  # the directory's own descriptor is gone by now
            continue
    return count


def _is_idle(pipe: Pipeline) -> bool:
    pools = [llm.permits.statistics() for llm in (pipe.generator, pipe.labeller) if llm]
    return all(pool.in_use == pool.waiting == 0 for pool in pools)


async def _assert_nothing_remains(
    pipe: Pipeline, endpoint: SimulatedEndpoint, tasks: set, sockets: int
) -> None:
    """At once: tasks and permits. As soon as the endpoint has noticed: requests and sockets."""
    assert asyncio.all_tasks() == tasks
    assert _is_idle(pipe)
    assert not pipe.generator._lanes
    await endpoint.until(lambda ledger: ledger.in_flight == 0)
    with anyio.fail_after(5):
        while _sockets() > sockets:  # noqa: ASYNC110 - the endpoint closes its side by itself
            await anyio.sleep(0.001)


@pytest.fixture
def endpoint(serve) -> SimulatedEndpoint:
    """Replies at all paces, some failing, so that a stream is left in every state."""
    odd = Faults.any_of(
        Faults.rate(0.1, Status(500), seed=1),
        Faults.rate(0.1, Status(429, retry_after_s=0.01), seed=2),
        Faults.rate(0.05, NeverAnswers(), seed=3),
        Faults.rate(0.1, Delay(0.02), seed=4),
    )
    return serve(reply=_reply, script=odd, latency=Latency.lognormal(0.002, 0.8, seed=5))


@pytest.fixture
def pipe(endpoint, writer, judge) -> Pipeline:
    """Both stages, each with a few permits, and little patience."""
    return Pipeline(
        writer(endpoint, num_threads=4, timeout=0.2), judge(endpoint, num_threads=3, timeout=0.2)
    )


async def _take(rows, count: int) -> None:
    for _ in range(count):
        await anext(rows)


async def _by_break(pipe: Pipeline, count: int) -> None:
    async with pipe.stream(_Endless()) as rows:
        await _take(rows, count)


async def _by_exception(pipe: Pipeline, count: int) -> None:
    with pytest.raises(LeftError):  # noqa: PT012 - it is raised inside the block
        async with pipe.stream(_Endless()) as rows:
            await _take(rows, count)
            raise LeftError


async def _by_scope(pipe: Pipeline, count: int) -> None:
    with anyio.CancelScope() as scope:
        async with pipe.stream(_Endless(), ordered=bool(count % 2)) as rows:
            await _take(rows, count)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def _by_task(pipe: Pipeline, count: int) -> None:
    reached = asyncio.Event()

    async def consume() -> None:
        async with pipe.stream(_Endless()) as rows:
            await _take(rows, count)
            reached.set()
            async for _ in rows:
                pass

    task = asyncio.get_running_loop().create_task(consume())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def _by_timeout(pipe: Pipeline, count: int) -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012 - two blocks, two errors
        async with asyncio.timeout(0.001 * count), pipe.stream(_Endless()) as rows:
            async for _ in rows:
                pass


async def _by_agenerate(pipe: Pipeline, count: int) -> None:
    with anyio.move_on_after(0.001 * count) as scope:
        await pipe.agenerate(_Endless())
    assert scope.cancelled_caught


WAYS = [_by_break, _by_exception, _by_scope, _by_task, _by_timeout, _by_agenerate]


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__.removeprefix("_by_"))
async def test_leaving_early_leaves_nothing_behind(pipe, endpoint, leave) -> None:
    """Forty times for each of six ways, at ever other moments, all is idle again afterwards."""
    chance = random.Random(leave.__name__)
    tasks, sockets = asyncio.all_tasks(), _sockets()
    for _ in range(TIMES):
        async with asyncio.timeout(20):
            await leave(pipe, chance.randrange(6))
            await _assert_nothing_remains(pipe, endpoint, tasks, sockets)
    gc.collect()  # "never awaited" and "was destroyed" are said when the garbage is collected


@pytest.mark.parametrize("way", ["break", "exception"])
def test_leaving_an_iterator_early_leaves_nothing_behind(pipe, endpoint, way) -> None:
    """The sync twin ends its thread, its sockets and its permits as well."""
    chance = random.Random(way)
    threads, sockets = threading.active_count(), _sockets()
    for _ in range(TIMES):
        try:
            with pipe.iterate(_Endless()) as rows:
                for _ in range(chance.randrange(6)):
                    next(rows)
                if way == "exception":
                    raise LeftError  # noqa: TRY301 - the body raises, that is the case
        except LeftError:
            pass
        assert _is_idle(pipe)
        endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
        endpoint.wait_until(lambda _: threading.active_count() <= threads)
        endpoint.wait_until(lambda _: _sockets() <= sockets)
    gc.collect()


async def test_a_cancelled_take_loses_no_row(serve, writer) -> None:
    """A consumer that gives up waiting again and again still gets every row once."""
    endpoint = serve(reply=_reply, latency=Latency.lognormal(0.004, 0.5, seed=1))
    pipe = Pipeline(writer(endpoint, num_threads=2))
    taken: list[int] = []
    async with pipe.stream([{"input": f"r{k}"} for k in range(30)]) as rows:
        while True:
            with anyio.move_on_after(0.002):
                try:
                    row = await anext(rows)
                except StopAsyncIteration:
                    break
                taken.append(row.index)
    assert sorted(taken) == list(range(30))


async def test_a_stream_that_is_opened_and_left_makes_no_noise(serve, writer) -> None:
    """A hundred streams left without a read leave nothing, not even a request in flight."""
    endpoint = serve(reply=_reply)
    pipe = Pipeline(writer(endpoint, num_threads=2))
    tasks, sockets = asyncio.all_tasks(), _sockets()
    for _ in range(100):
        async with pipe.stream(_Endless()):
            pass
    await _assert_nothing_remains(pipe, endpoint, tasks, sockets)


async def test_a_stream_that_was_never_entered_costs_nothing(serve, writer) -> None:
    """Calling `stream` or `iterate` without entering starts nothing and warns of nothing."""
    endpoint = serve(reply=_reply)
    pipe = Pipeline(writer(endpoint))
    pipe.stream([{"input": "a"}])
    pipe.iterate([{"input": "a"}])
    gc.collect()
    assert endpoint.ledger.requests == 0


async def test_leaving_while_the_endpoint_is_silent_is_quick(serve, writer) -> None:
    """A stream whose calls all hang is left at once, and none is answered any more."""
    endpoint = serve(script=Faults.always(NeverAnswers()))
    pipe = Pipeline(writer(endpoint, num_threads=5))
    tasks, sockets = asyncio.all_tasks(), _sockets()
    async with asyncio.timeout(5), pipe.stream(_Endless()):
        await endpoint.until(lambda ledger: ledger.in_flight == 5)
    await _assert_nothing_remains(pipe, endpoint, tasks, sockets)
    assert endpoint.ledger.delivered == 0


async def test_cancelling_an_llm_of_its_own_gives_its_permits_back(serve, writer) -> None:
    """`LLM.agenerate` that is cancelled leaves permits, sockets and tasks as they were."""
    endpoint = serve(script=Faults.always(NeverAnswers()))
    llm = writer(endpoint, num_threads=2)
    tasks, sockets = asyncio.all_tasks(), _sockets()
    for _ in range(10):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(llm.agenerate, [{"input": f"{k}"} for k in range(5)])
                await endpoint.until(lambda ledger: ledger.in_flight == 2)
                scope.cancel()
        await _assert_nothing_remains(Pipeline(llm), endpoint, tasks, sockets)
