"""Time that the client itself was held up is not told of the server."""

import asyncio

import anyio
import pytest

from distilabel.limits import Adaptive
from distilabel.llm.stalls import Stalls, stalls_of_this_loop


@pytest.fixture
async def skew(monkeypatch):
    """Lets the loop's clock jump, as it seems to after something has held the loop up."""
    loop = asyncio.get_running_loop()
    real, skewed = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: real() + skewed[0])

    def jump(seconds: float) -> None:
        skewed[0] += seconds

    return jump


async def test_a_loop_that_is_held_up_is_noted_at_once(skew):
    """What is looked at before the timer rings counts the time as well, and counts it once."""
    stalls = Stalls()
    start = stalls.enter()
    skew(5.0)
    assert 4.9 <= stalls.leave(start) <= 5.1
    again = stalls.enter()
    await anyio.sleep(0.1)
    assert stalls.leave(again) == pytest.approx(5.0, abs=0.1)
    third = stalls.enter()
    assert stalls.leave(third) == 0.0


async def test_an_attempt_counts_only_what_was_lost_while_it_was_under_way(skew):
    """Time lost before it started is another's."""
    stalls = Stalls()
    first = stalls.enter()
    skew(3.0)
    await anyio.sleep(0.1)  # the timer rings, late
    second = stalls.enter()
    assert stalls.leave(second) == 0.0
    assert stalls.leave(first) == pytest.approx(3.0, abs=0.1)


async def test_a_loop_in_time_loses_nothing():
    """Waiting is not being held up, and nothing is left running once all are back."""
    stalls = stalls_of_this_loop()
    assert stalls_of_this_loop() is stalls
    start = stalls.enter()
    await anyio.sleep(0.2)
    assert stalls.leave(start) <= 0.15  # a busy machine may be late itself
    await anyio.sleep(0.1)
    assert stalls._due is None


def test_replies_that_tell_nothing_of_time_move_no_limit_down():
    """Slow replies lower the limit; the same replies of a client that was held up do not."""

    def limit_after(seconds_late):
        adaptive = Adaptive(ceiling=100)
        now = 0.0
        for step in range(4_000):
            now += 0.05
            sent = adaptive.sent(now)
            adaptive.tick(now)
            attempts = [adaptive.sent(now) for _ in range(min(adaptive.limit, 60) - 1)]
            is_late = step > 400
            for each in (sent, *attempts):
                adaptive.ended()
                adaptive.succeeded(each, seconds_late if is_late else 0.5, 100.0)
                if adaptive.statistics().reason == "latency":
                    return "cut"
        return adaptive.limit

    assert limit_after(5.0) == "cut"
    assert limit_after(None) == 100
