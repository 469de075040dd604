"""What stops a run leaves its rows pending: mended and run again, it does what is left, once."""

import asyncio

import pytest
from storm_kit import number_of, rows

from distilabel.errors import RunFatalError
from distilabel.pipeline import Pipeline
from distilabel.testing import HubEndpoint, Latency, Status

ROWS = 300
GOOD = 100
QUOTA = Status(
    429,
    body={
        "error": {
            "message": "You exceeded your current quota, please check your plan.",
            "type": "insufficient_quota",
            "param": None,
            "code": "insufficient_quota",
        }
    },
    retry_after_s=20.0,
)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        pytest.param(QUOTA, "insufficient_quota", id="quota"),
        pytest.param(Status(402), "payment_required", id="402"),
        pytest.param(Status(401), "authentication", id="401"),
        pytest.param(Status(404), "not_found", id="404"),
    ],
)
async def test_a_run_that_nobody_pays_for_stops_at_once_and_is_resumed(
    serve, writer, tmp_path, fault, cause
):
    """It stops within a second, no row is spent, and the run that follows buys only what lacks."""
    broke_at, mended = [], []

    def script(request):
        if mended or request.index < GOOD:
            return None
        broke_at.append(asyncio.run_coroutine_threadsafe(time(), loop).result())
        return fault

    async def time():
        return loop.time()

    loop = asyncio.get_running_loop()
    endpoint = serve(script=script, latency=Latency.constant(0.02))
    run = {"dataset": rows(ROWS), "checkpoint_dir": tmp_path / "run", "verbose": False}
    done = []
    with pytest.raises(RunFatalError) as stopped:  # noqa: PT012
        async with Pipeline(writer(endpoint, num_threads=8)).stream(**run) as stream:
            async for row in stream:
                done.append(row)  # noqa: PERF401 - those before the error count
    assert loop.time() - broke_at[0] < 1.0
    assert stopped.value.cause == cause
    assert "run.lock" not in str(stopped.value)
    assert any(str(tmp_path / "run") in note for note in stopped.value.__notes__)
    assert GOOD - 8 <= len(done) <= GOOD
    assert not any(row.errors for row in done)
    assert endpoint.ledger.requests <= GOOD + 2 * 8
    paid = endpoint.ledger.paid

    mended.append(True)
    results = await Pipeline(writer(endpoint, num_threads=8)).agenerate(**run)
    assert results.run.rows == ROWS
    assert results.run.rows_failed == 0
    assert results.run.rows_resumed == paid
    assert endpoint.ledger.paid == ROWS
    assert endpoint.ledger.repeated == 0
    before = {row.index: row["generations"] for row in done}
    assert {index: results[index]["generations"] for index in before} == before


async def test_an_endpoint_scaled_to_zero_is_woken_and_no_row_pays(serve_hub):
    """The run waits for the endpoint before its first call, and again if it sleeps in mid-run."""
    from distilabel.llm import InferenceEndpointsLLM
    from distilabel.tasks import TextGenerationTask

    asleep = {"error": "503 Service Unavailable: endpoint is scaled to zero"}

    def script(request):
        is_asleep = request.is_generation and 20 <= request.index < 30
        return Status(503, body=asleep, retry_after_s=0.01) if is_asleep else None

    endpoint = serve_hub(
        endpoints=[HubEndpoint("writer", "me", state="scaledToZero", polls_to_run=2)], script=script
    )
    llm = InferenceEndpointsLLM("me/writer", TextGenerationTask(), token="hf_x", num_threads=4)
    results = await Pipeline(llm).agenerate(rows(60), verbose=False)
    assert results.run.rows_failed == 0
    assert results.run.retries == 0 or endpoint.ledger.statuses[503] >= results.run.retries
    assert endpoint.ledger.paid == 60
    assert {number_of_row(text) for text in results["input"]} == set(range(60))


def number_of_row(text: str) -> int:
    """The number at the end of a row's text."""
    return int(text.rpartition(" ")[2])


@pytest.mark.parametrize("permits", [1, 8])
async def test_rows_that_failed_are_asked_for_again_by_the_next_run_alone(
    serve, writer, tmp_path, permits
):
    """A run with failed rows is not finished: started again, it asks for those and no other."""
    mended = []

    def script(request):
        is_odd = number_of(request) % 50 == 7
        return Status(422) if is_odd and not mended else None

    endpoint = serve(script=script)
    run = {"dataset": rows(200), "checkpoint_dir": tmp_path / "run", "verbose": False}
    first = await Pipeline(writer(endpoint, num_threads=permits)).agenerate(**run)
    assert first.run.rows_failed == 4
    mended.append(True)
    second = await Pipeline(writer(endpoint, num_threads=permits)).agenerate(**run)
    assert second.run.rows_failed == 0
    assert (second.run.calls, second.run.rows_resumed) == (4, 196)
    assert endpoint.ledger.paid == 200
