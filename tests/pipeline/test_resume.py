"""What a second run finds of a first, what it asks for again, and what it says about that."""

from __future__ import annotations

from contextlib import suppress

import anyio
import pytest

from distilabel.pipeline import Pipeline
from distilabel.testing import Latency

ROWS = [{"input": f"Question {k}: what holds roof {k} up?"} for k in range(6)]


@pytest.fixture
def endpoint(serve):
    """One endpoint, and the calls that it was paid for."""
    return serve()


@pytest.fixture
def pipe(endpoint, writer, judge) -> Pipeline:
    """A writer and a judge."""
    return Pipeline(writer(endpoint), judge(endpoint))


class ConsumerError(Exception):
    """The consumer failed, not the run."""


async def test_a_consumer_that_fails_after_the_last_row_buys_nothing_again(pipe, endpoint):
    """A run is finished once its consumer has left in order, so that nothing is lost with one."""
    with suppress(ConsumerError):
        async with pipe.stream(ROWS) as rows:
            taken = [row async for row in rows]
            raise ConsumerError
    assert len(taken) == len(ROWS)
    again = await pipe.agenerate(ROWS)
    assert again.run.rows_resumed == len(ROWS)
    assert endpoint.ledger.paid == 2 * len(ROWS)


async def test_a_data_set_that_cannot_be_built_costs_nothing_again(pipe, endpoint, monkeypatch):
    """What goes wrong after the last row was bought leaves the run to be gone on with."""
    with monkeypatch.context() as patch:
        patch.setattr("distilabel.pipeline.stream.RowStream.build", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await pipe.agenerate(ROWS)
    again = await pipe.agenerate(ROWS)
    assert (again.run.calls, again.run.calls_reused) == (0, 2 * len(ROWS))
    assert endpoint.ledger.paid == 2 * len(ROWS)


async def test_calls_that_were_cut_off_are_told_of(serve, writer, capsys):
    """A stream that is left with calls under way says so in the next run: they may be paid for."""
    slow = serve(latency=Latency.constant(5.0))
    llm = writer(slow, num_threads=3)
    async with Pipeline(llm).stream(ROWS):
        await slow.until(lambda ledger: ledger.in_flight == 3)
    capsys.readouterr()
    with anyio.move_on_after(0.5):
        async with Pipeline(llm).stream(ROWS) as rows:
            await slow.until(lambda ledger: ledger.requests > 3)
            await anext(rows)
    assert "at most 3 calls were in flight" in capsys.readouterr().err
