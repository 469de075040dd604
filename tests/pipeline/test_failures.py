"""What stops a run, what does not, and what is told about it."""

import pytest

from distilabel.errors import RowFailedError, RunFatalError, StreamClosedError
from distilabel.events import RunFinished, RunStarted
from distilabel.pipeline import Pipeline
from distilabel.testing import Faults, SimRequest, Status

SECTION = "#### Output for Text 1\nRating: {}\nRationale: Fair."


def _reply(request: SimRequest) -> str:
    return SECTION.format(3) if request.model == "judge" else "fine"


def _rows(count: int) -> list[dict]:
    return [{"input": f"r{k}"} for k in range(count)]


def _at_row(number: int, fault: Status, model: str = "writer"):
    """A script that spoils one row's calls to one model."""
    return lambda r: (
        fault
        if r.model == model and f"r{number}\n" in r.prompt.replace("</", "\n</") + "\n"
        else None
    )


def test_on_error_raise_stops_at_the_first_failed_row(serve, writer) -> None:
    """The error names row, stage and cause; the rows finished before it are handed out."""
    endpoint = serve(reply=_reply, script=_at_row(3, Status(413)))
    pipe = Pipeline(writer(endpoint, num_threads=1))
    taken = []
    with (  # noqa: PT012 - the rows before the error count
        pytest.raises(RowFailedError, match="row 3 failed in the generator") as caught,
        pipe.iterate(_rows(50), on_error="raise") as rows,
    ):
        for row in rows:
            taken.append(row.index)  # noqa: PERF401 - what came before the error counts
    assert taken == [0, 1, 2]
    assert caught.value.row_index == 3
    assert [error.cause for error in caught.value.errors] == ["context_length"]
    assert endpoint.ledger.requests <= 4 + 1
    with pytest.raises(RowFailedError):
        pipe.generate(_rows(50), on_error="raise")


def test_on_error_collect_goes_on(serve, writer, judge) -> None:
    """Failed rows are kept with None and their reasons; the others are whole."""
    script = Faults.any_of(_at_row(1, Status(413)), _at_row(3, Status(400), "judge"))
    endpoint = serve(reply=_reply, script=script)
    pipe = Pipeline(writer(endpoint), judge(endpoint))
    with pipe.iterate(_rows(6), ordered=True) as rows:
        taken = list(rows)
    assert [row.index for row in taken] == list(range(6))
    assert [[(e.stage, e.cause) for e in row.errors] for row in taken] == [
        [],
        [("generator", "context_length")],
        [],
        [("labeller", "http_400")],
        [],
        [],
    ]
    assert [row["rating"] for row in taken] == [[3.0], [None], [3.0], [None], [3.0], [3.0]]


def test_an_error_says_whose_fault_it_is_and_what_to_do(serve, writer) -> None:
    """The message quotes the server and gives advice; the data is in attributes."""
    endpoint = serve(script=Faults.always(Status(413, {"error": {"message": "Too \x1b[31mlong"}})))
    with Pipeline(writer(endpoint)).iterate(_rows(1), num_generations=2) as rows:
        row = next(rows)
    assert [error.generation for error in row.errors] == [0, 1]
    for error in row.errors:
        assert "writer at 127.0.0.1" in error.message
        assert "answered 413" in error.message
        assert "Too [31mlong" in error.message
        assert "Shorten" in error.message
        assert "\x1b" not in error.message


FATAL = [
    (
        Status(401, {"error": {"message": "Incorrect API key.", "code": "invalid_api_key"}}),
        "authentication",
        "key",
    ),
    (Status(402), "payment_required", "credit"),
    (Status(403), "permission", "rights"),
    (Status(404), "not_found", "model"),
    (
        Status(429, {"error": {"message": "No more.", "code": "insufficient_quota"}}),
        "insufficient_quota",
        "quota",
    ),
    (
        Status(429, {"error": {"message": "No more.", "type": "insufficient_quota"}}),
        "insufficient_quota",
        "quota",
    ),
    (Status(307, headers={"location": "http://127.0.0.1:9/"}), "redirect", "base_url"),
]


@pytest.mark.parametrize(("fault", "cause", "advice"), FATAL)
@pytest.mark.parametrize("way", ["generate", "iterate"])
def test_what_no_row_can_survive_stops_the_run_at_once(
    serve, writer, fault, cause, advice, way
) -> None:
    """A wrong key, no quota, no model: a clear error after few calls, and no row is used up."""
    endpoint = serve(script=Faults.always(fault))
    pipe = Pipeline(writer(endpoint, num_threads=4))
    taken = []
    with pytest.raises(RunFatalError, match=advice) as caught:  # noqa: PT012 - two ways
        if way == "generate":
            pipe.generate(_rows(500))
        else:
            with pipe.iterate(_rows(500)) as rows:
                taken.extend(rows)
    assert caught.value.cause == cause
    assert "writer at 127.0.0.1" in str(caught.value)
    assert taken == []
    assert 1 <= endpoint.ledger.requests <= 4 + 1  # a 401 is confirmed by one other row
    statistics = pipe.generator.permits.statistics()
    assert statistics.in_use == statistics.waiting == 0


def test_an_unknown_model_stops_the_run(serve, writer) -> None:
    """The server's own words about the model are in the error."""
    endpoint = serve(models=["another"])
    with pytest.raises(RunFatalError, match=r"The model `writer` does not exist"):
        Pipeline(writer(endpoint)).generate(_rows(20))
    assert endpoint.ledger.paid == 0


def test_a_fatal_labeller_stops_a_run_of_two_stages(serve, writer, judge) -> None:
    """A wrong key of the judge ends the run, too."""
    endpoint = serve(
        reply=_reply, script=lambda request: Status(402) if request.model == "judge" else None
    )
    pipe = Pipeline(writer(endpoint, num_threads=2), judge(endpoint, num_threads=2))
    with pytest.raises(RunFatalError, match="judge at 127"):
        pipe.generate(_rows(200))
    assert endpoint.ledger.requests <= 20


def test_rows_finished_before_a_fatal_error_are_handed_out(serve, writer) -> None:
    """What was paid for reaches the consumer; then the error is raised."""
    endpoint = serve(reply=_reply, script=lambda r: Status(402) if r.index >= 5 else None)
    pipe = Pipeline(writer(endpoint, num_threads=1))
    taken = []
    with pytest.raises(RunFatalError), pipe.iterate(_rows(50)) as rows:  # noqa: PT012
        for row in rows:
            taken.append(row.index)  # noqa: PERF401 - what came before the error counts
    assert taken == [0, 1, 2, 3, 4]
    assert endpoint.ledger.requests == 6


async def test_rows_finished_before_a_fatal_error_wait_for_a_slow_consumer(serve, writer) -> None:
    """A consumer that looks away while the run dies finds the finished rows all the same."""
    endpoint = serve(
        reply=_reply,
        # by row and not by arrival: two connections may swap what is sent through them
        script=lambda r: None if r.prompt.endswith(("r0", "r1")) else Status(402),
    )
    async with Pipeline(writer(endpoint, num_threads=2)).stream(_rows(50)) as rows:
        await endpoint.until(lambda ledger: ledger.requests >= 3 and ledger.in_flight == 0)
        assert {(await anext(rows)).index, (await anext(rows)).index} == {0, 1}
        with pytest.raises(RunFatalError):
            await anext(rows)


def test_a_server_that_asks_for_hours_stops_the_run(serve, writer) -> None:
    """More than an hour is not waited for, now or by the next run with the same LLM."""
    answers = iter([Status(429, headers={"retry-after": "7200"})])
    endpoint = serve(reply=_reply, script=lambda _: next(answers, None))
    pipe = Pipeline(writer(endpoint))
    with pytest.raises(RunFatalError, match="7200 s") as caught:
        pipe.generate(_rows(1))
    assert caught.value.cause == "wait_too_long"
    assert caught.value.retry_after_s == 7200
    assert endpoint.ledger.requests == 1
    assert pipe.generate(_rows(1))["generations"][:] == [["fine"]]


def test_the_summary_equals_the_ledger(serve, writer, judge) -> None:
    """Calls, retries and failures of the summary add up to what the endpoint counted."""

    def script(request: SimRequest):
        if request.model == "judge":
            return None
        if "r1\n" in request.prompt + "\n":
            return Status(500) if request.attempt <= 2 else None
        if "r2\n" in request.prompt + "\n":
            return Status(200, {"choices": []}) if request.attempt == 1 else None
        if "r3\n" in request.prompt + "\n":
            return Status(413)
        return Status(429, retry_after_s=0) if request.attempt == 1 and request.index == 0 else None

    endpoint = serve(reply=_reply, script=script)
    pipe = Pipeline(writer(endpoint), judge(endpoint))
    run = pipe.generate(_rows(6), num_generations=1).run
    assert (run.rows, run.rows_failed, run.rows_resumed) == (6, 1, 0)
    assert dict(run.failed_by_cause) == {"context_length": 1}
    assert run.calls == 5 + 5
    assert run.paid_retries == 1
    assert run.retries == 3 or endpoint.ledger.statuses[429] == 0
    failed_calls = 1
    assert run.calls + run.retries + run.paid_retries + failed_calls == endpoint.ledger.requests
    assert run.usage.completion_tokens > 0
    assert run.seconds > 0
    assert run.cost is None


def test_tokens_of_the_summary_are_those_of_the_provider(serve, writer) -> None:
    """Usage is the sum of what the replies say, cached tokens included."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    body = {"choices": [{"message": {"content": "x"}}], "usage": usage}
    endpoint = serve(script=Faults.always(Status(200, body)))
    run = Pipeline(writer(endpoint)).generate(_rows(3)).run
    assert run.usage.prompt_tokens == 300
    assert run.usage.completion_tokens == 60
    assert run.usage.cached_tokens == 192


def test_events_tell_the_run_from_start_to_end(serve, writer) -> None:
    """The first event is the start with the number of rows, the last the end with the summary."""
    events = []
    result = Pipeline(writer(serve(reply=_reply))).generate(_rows(3), on_event=events.append)
    assert isinstance(events[0], RunStarted)
    assert events[0].total_rows == 3
    assert isinstance(events[-1], RunFinished)
    assert events[-1].is_complete
    assert events[-1].summary.rows == result.run.rows == 3


def test_verbose_says_at_the_end_what_failed(serve, writer, capsys) -> None:
    """A line on standard error names the causes; without `verbose` there is none."""
    endpoint = serve(reply=_reply, script=_at_row(1, Status(413)))
    Pipeline(writer(endpoint)).generate(_rows(3))
    assert "1 of 3 rows have failures (context_length 1)" in capsys.readouterr().err
    Pipeline(writer(endpoint)).generate(_rows(3), verbose=False)
    assert not capsys.readouterr().err


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("way", ["stream", "iterate"])
async def test_what_the_body_raises_comes_out_as_it_is(serve, writer, error, way) -> None:
    """An exception of the `with` body is not wrapped, replaced or swallowed."""
    pipe = Pipeline(writer(serve(reply=_reply)))
    caught: BaseException | None = None
    try:
        if way == "stream":
            async with pipe.stream(_rows(20)) as rows:
                await anext(rows)
                _raise(error)
        else:
            with pipe.iterate(_rows(20)) as rows:
                next(rows)
                _raise(error)
    except BaseException as exc:  # noqa: BLE001 - which one, is the question
        caught = exc
    assert caught is error


async def test_a_stream_is_read_inside_its_block(serve, writer) -> None:
    """Reading a stream that was left is an error that says so; its summary stays."""
    async with Pipeline(writer(serve(reply=_reply))).stream(_rows(3)) as rows:
        await anext(rows)
    with pytest.raises(StreamClosedError, match="inside"):
        await anext(rows)
    assert rows.run.rows >= 1


async def test_an_exhausted_stream_stays_exhausted(serve, writer) -> None:
    """After the last row each further read ends the iteration again."""
    async with Pipeline(writer(serve(reply=_reply))).stream(_rows(2)) as rows:
        assert len([row async for row in rows]) == 2
        assert [row async for row in rows] == []
        assert rows.run.rows == 2


async def test_ordered_and_unordered_streams_give_the_same_rows(serve, writer) -> None:
    """`ordered=True` waits for slow rows; without it the quick ones come first."""
    from distilabel.testing import Delay

    endpoint = serve(reply=_reply, script=_at_row(0, Delay(0.15)))
    pipe = Pipeline(writer(endpoint, num_threads=4))
    async with pipe.stream(_rows(6)) as rows:
        quick = [row.index async for row in rows]
    async with pipe.stream(_rows(6), ordered=True) as rows:
        ordered = [row.index async for row in rows]
    assert quick[-1] == 0
    assert sorted(quick) == ordered == list(range(6))
