"""Latency in order of arrival, slots first come first served, buckets that refuse."""

import statistics
from itertools import islice

import aiohttp
import anyio
import pytest

from distilabel.testing import (
    Faults,
    Latency,
    SimulatedEndpoint,
    Slots,
    Status,
    TokenBucket,
    VirtualClock,
)

FOREVER = aiohttp.ClientTimeout(total=None)
CLOCK = VirtualClock(autojump_threshold_s=0.002)


async def ask(session: aiohttp.ClientSession, endpoint: SimulatedEndpoint, prompt: str):
    """The status, the reply's headers, and the loop's time when it was there."""
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    async with session.post(endpoint.openai_url + "/chat/completions", json=body) as response:
        await response.read()
        return response.status, response.headers, anyio.current_time()


def test_draws_are_seeded_and_have_their_median():
    """Equal latencies give equal draws; another seed others; half lie under the median."""
    latency = Latency.lognormal(median_s=0.5, sigma=0.6, seed=7)
    draws = list(islice(latency.draws(), 4001))
    assert draws == list(islice(Latency(0.5, 0.6, 7).draws(), 4001))
    assert draws != list(islice(Latency(0.5, 0.6, 8).draws(), 4001))
    assert statistics.median(draws) == pytest.approx(0.5, rel=0.05)
    assert next(Latency.zero().draws()) == 0
    with pytest.raises(ValueError, match="0 or more"):
        Latency(median_s=-1)


def test_the_ith_request_gets_the_ith_draw():
    """Each request takes the draw of its place in the order of arrival, faulted ones included."""
    latency = Latency.lognormal(median_s=60, sigma=1, seed=3)
    draws = list(islice(latency.draws(), 12))
    script = Faults.on_index({4: Status(500)})

    async def scenario() -> dict[int, float]:
        endpoint = SimulatedEndpoint(latency=latency, script=script)
        async with endpoint.here(), aiohttp.ClientSession(timeout=FOREVER) as session:

            async def one(index: int) -> None:
                await anyio.sleep(index)
                await ask(session, endpoint, f"row {index}")

            async with anyio.create_task_group() as group:
                for index in range(12):
                    group.start_soon(one, index)
        return {
            call.index: call.finished_s - call.arrived_s
            for call in endpoint.ledger.calls
            if call.status == 200
        }

    taken = CLOCK.run(scenario)
    assert sorted(taken) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    for index, seconds in taken.items():
        assert seconds == pytest.approx(draws[index], abs=1e-6)


def test_slots_serve_first_come_first_served():
    """With two slots the rest waits in order; nobody is refused; the makespan is exact."""

    async def scenario():
        endpoint = SimulatedEndpoint(latency=Latency.constant(10), capacity=Slots(2))
        finished: list[tuple[float, int]] = []
        async with endpoint.here(), aiohttp.ClientSession(timeout=FOREVER) as session:

            async def one(index: int) -> None:
                await anyio.sleep(index / 10)
                _, _, at_s = await ask(session, endpoint, f"row {index}")
                finished.append((at_s, index))

            async with anyio.create_task_group() as group:
                for index in range(6):
                    group.start_soon(one, index)
            assert endpoint.settings.slots.statistics().serving == 0
        return finished, endpoint.ledger

    finished, ledger = CLOCK.run(scenario)
    assert [index for _, index in finished] == [0, 1, 2, 3, 4, 5]
    assert [at_s for at_s, _ in finished] == pytest.approx([10, 10.1, 20, 20.1, 30, 30.1])
    assert ledger.peak_in_flight == 6
    assert ledger.statuses == {200: 6}


def test_who_leaves_gives_up_the_slot_and_the_place():
    """A client that goes away is abandoned, not paid, and the next in the queue moves up."""

    async def scenario():
        endpoint = SimulatedEndpoint(latency=Latency.constant(10), capacity=Slots(1))
        finished: list[tuple[str, float]] = []
        async with endpoint.here(), aiohttp.ClientSession(timeout=FOREVER) as session:

            async def one(name: str, start_s: float, patience_s: float) -> None:
                await anyio.sleep(start_s)
                with anyio.move_on_after(patience_s):
                    _, _, at_s = await ask(session, endpoint, name)
                    finished.append((name, at_s))

            async with anyio.create_task_group() as group:
                group.start_soon(one, "leaves while served", 0, 4)
                group.start_soon(one, "leaves while waiting", 1, 1)
                group.start_soon(one, "stays", 2, 100)
            slots = endpoint.settings.slots.statistics()
        return finished, endpoint.ledger, slots

    finished, ledger, slots = CLOCK.run(scenario)
    ((name, at_s),) = finished
    assert (name, at_s) == ("stays", pytest.approx(14))
    assert (ledger.abandoned, ledger.paid, ledger.in_flight) == (2, 1, 0)
    assert (slots.serving, slots.waiting) == (0, 0)


def test_a_bucket_admits_its_rate_and_says_when_to_come_back():
    """Who waits exactly as long as Retry-After says is admitted; the rate can be changed."""

    async def scenario():
        bucket = TokenBucket(rate_per_s=0.5, burst=2)
        endpoint = SimulatedEndpoint(capacity=bucket)
        seen: list[tuple] = []
        async with endpoint.here(), aiohttp.ClientSession(timeout=FOREVER) as session:
            seen += [await ask(session, endpoint, "x") for _ in range(3)]
            wait_s = int(seen[-1][1]["retry-after-ms"]) / 1000
            await anyio.sleep(wait_s)
            seen.append(await ask(session, endpoint, "x"))
            await anyio.sleep(1)  # earns half a request at the old rate
            bucket.rate_per_s = 0.1
            seen.append(await ask(session, endpoint, "x"))
        return seen

    first, second, third, fourth, fifth = CLOCK.run(scenario)
    assert [reply[0] for reply in (first, second, third, fourth, fifth)] == [
        200,
        200,
        429,
        200,
        429,
    ]
    assert third[1]["retry-after"] == "2"
    assert fifth[1]["retry-after"] == "5"


def test_a_storm_of_429_in_virtual_time():
    """Half an hour of a throttled endpoint, every retry when it was told to, in no time."""

    async def scenario():
        capacity = [TokenBucket(rate_per_s=0.1, burst=1), Slots(4)]
        endpoint = SimulatedEndpoint(capacity=capacity, latency=Latency.constant(5))
        async with endpoint.here(), aiohttp.ClientSession(timeout=FOREVER) as session:
            for index in range(181):
                # One client that does as it is told: there is no event that could be awaited.
                while (reply := await ask(session, endpoint, f"row {index}"))[0] == 429:  # noqa: ASYNC110
                    await anyio.sleep(int(reply[1]["retry-after-ms"]) / 1000)
        return endpoint.ledger, anyio.current_time()

    ledger, seconds = VirtualClock().run(scenario)
    assert seconds == pytest.approx(1805, abs=2)
    assert (ledger.paid, ledger.repeated) == (181, 0)
    assert ledger.statuses[429] >= 180


def test_tokens_a_minute_are_a_limit_of_their_own():
    """A bucket of tokens refuses a large request while there are requests left."""
    bucket = TokenBucket(rate_per_s=100, burst=100, tokens_per_min=600)
    assert bucket.take(0.0, tokens=500) == 0
    assert bucket.take(0.0, tokens=200) == pytest.approx(10)
    assert bucket.take(10.0, tokens=200) == 0
    left = bucket.statistics()
    assert (left.limit_tokens, left.remaining_tokens, left.remaining_requests) == (600, 0, 99)
    assert bucket.take(10.0, tokens=10**9) == pytest.approx(60)


def test_capacities_are_checked():
    """No slots, no burst, and two of a kind are errors of the one who asks."""
    with pytest.raises(ValueError, match="at least one slot"):
        Slots(0)
    with pytest.raises(ValueError, match="burst"):
        TokenBucket(1, 0)
    with pytest.raises(TypeError, match="one of each"):
        SimulatedEndpoint(capacity=[Slots(1), Slots(2)])
    assert TokenBucket(0, 1).take(0.0) == 0
