"""A slow consumer slows everything: what is made and not taken is bounded, as is what is read."""

import asyncio

import pytest

from distilabel.pipeline import Pipeline
from distilabel.testing import SimRequest, SimulatedEndpoint

PERMITS = 3


def _reply(request: SimRequest) -> str:
    if request.model == "judge":
        return "#### Output for Text 1\nRating: 3\nRationale: Fair."
    return "fine"


class _Source:
    """Rows without end that know how many were read."""

    def __init__(self) -> None:
        self.pulled = 0

    async def __aiter__(self):
        while True:
            self.pulled += 1
            yield {"input": f"r{self.pulled}"}


async def _settle(rows, *, held: int = 0) -> None:
    """Wait until nothing moves any more: no attempt under way, and so for many turns."""
    still = 0
    while still < 50:
        await asyncio.sleep(0)
        in_use = sum(stage.in_use for stage in rows.statistics().stages)
        still = still + 1 if in_use == held else 0


def _delivered(endpoint: SimulatedEndpoint, model: str) -> int:
    return sum(call.model == model and call.is_delivered for call in endpoint.ledger.calls)


@pytest.fixture
def endpoint(serve) -> SimulatedEndpoint:
    """A provider that answers at once."""
    return serve(reply=_reply)


@pytest.mark.parametrize("ordered", [False, True])
async def test_one_stage_makes_no_more_than_twice_its_permits(endpoint, writer, ordered) -> None:
    """Rows made but not taken never exceed twice the permits, whatever the consumer's pace."""
    source = _Source()
    pipe = Pipeline(writer(endpoint, num_threads=PERMITS))
    async with pipe.stream(source, ordered=ordered) as rows:
        for taken in range(12):
            await _settle(rows)
            assert endpoint.ledger.requests - taken <= 2 * PERMITS
            assert source.pulled - taken <= 2 * PERMITS
            assert rows.statistics().rows_in_hand <= 2 * PERMITS
            await anext(rows)
    assert endpoint.ledger.peak_in_flight <= PERMITS


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("writers", "judges"), [(3, 3), (1, 4), (4, 1)])
async def test_two_stages_bound_finished_rows_and_rows_in_hand(
    endpoint, writer, judge, ordered, writers, judges
) -> None:
    """Finished rows stay below twice the judge's permits, rows in hand below twice all permits."""
    source = _Source()
    pipe = Pipeline(writer(endpoint, num_threads=writers), judge(endpoint, num_threads=judges))
    bound = 2 * (writers + judges)
    async with pipe.stream(source, ordered=ordered) as rows:
        for taken in range(12):
            await _settle(rows)
            finished = _delivered(endpoint, "judge")
            assert finished - taken <= (bound if ordered else 2 * judges)
            assert _delivered(endpoint, "writer") - taken <= bound
            assert source.pulled - taken <= bound
            await anext(rows)


async def test_nothing_is_read_ahead_of_a_free_permit(endpoint, writer) -> None:
    """While all permits are held elsewhere no row is read but the one that tells the columns."""
    source = _Source()
    llm = writer(endpoint, num_threads=1)
    async with Pipeline(llm).stream(source) as rows:
        await _settle(rows)
        full = source.pulled
        assert full == 2
        async with llm.permits:
            for _ in range(2):
                await anext(rows)
            await _settle(rows, held=1)
            assert source.pulled == full
        await anext(rows)
        await _settle(rows)
        assert source.pulled == full + 3


async def test_rows_wait_for_their_last_stage_in_their_order(endpoint, writer, judge) -> None:
    """A consumer that takes one row at a time is never starved by rows of the first stage."""
    pipe = Pipeline(writer(endpoint, num_threads=8), judge(endpoint, num_threads=1))
    async with asyncio.timeout(20), pipe.stream(_Source()) as rows:
        taken = [(await anext(rows)).index for _ in range(60)]
    assert max(index - place for place, index in enumerate(taken)) <= 2 * (8 + 1)


async def test_ordered_rows_wait_for_a_stuck_one_within_the_window(serve, writer) -> None:
    """One row that hangs holds back the ordered stream, which then reads no further."""
    from distilabel.testing import NeverAnswers

    endpoint = serve(
        reply=_reply, script=lambda r: NeverAnswers() if r.prompt.endswith("\nr1") else None
    )
    source = _Source()
    pipe = Pipeline(writer(endpoint, num_threads=PERMITS))
    async with pipe.stream(source, ordered=True) as rows:
        await endpoint.until(lambda ledger: ledger.delivered == 2 * PERMITS - 1)
        assert source.pulled == 2 * PERMITS
        assert rows.statistics().rows_ready == 0
    await endpoint.until(lambda ledger: ledger.in_flight == 0)


def test_a_sync_consumer_is_waited_for_as_well(endpoint, writer) -> None:
    """Behind `iterate` the same bound holds while the consumer's thread does something else."""
    pipe = Pipeline(writer(endpoint, num_threads=PERMITS))
    with pipe.iterate(_Source()) as rows:
        for taken in range(10):
            next(rows)
            assert endpoint.ledger.requests - taken <= 2 * PERMITS + 1
