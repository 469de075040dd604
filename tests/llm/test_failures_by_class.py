"""How a run takes each class of failure, on a virtual clock and a scripted backend."""

import logging
import random

import anyio
import pytest

from distilabel.errors import (
    RowFatalError,
    RunFatalError,
    ThrottledError,
    TransientError,
    WarmingError,
)
from distilabel.llm.failures import failure_of
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import VirtualClock
from distilabel.testing.scripted import ScriptedLLM
from distilabel.transport import HttpReply


def _rows(count):
    return [{"input": f"prompt {number}"} for number in range(count)]


def _run(script, rows, **limits):
    """Rows, the error that stopped the run (or None), the LLM, and the virtual seconds it took."""
    llm = ScriptedLLM(TextGenerationTask(), script, latency_s=1.0, **limits)

    async def main():
        done, error, started = [], None, anyio.current_time()
        try:
            async with Pipeline(generator=llm).stream(rows, enable_checkpoints=False) as stream:
                async for row in stream:
                    done.append(row)  # noqa: PERF401 - those before the error count
        except RunFatalError as stopped:
            error = stopped
        return done, error, anyio.current_time() - started

    done, error, seconds = VirtualClock().run(main)
    return done, error, llm, seconds


def _unauthorized(**details):
    return RunFatalError("refused", cause="permission", **details)


def test_an_outage_of_ten_minutes_fails_no_row_and_is_probed_sparingly():
    """A dead server is probed at growing distances; when it is back every row is done."""
    back_at_s = 600.0

    def script(call):
        if anyio.current_time() < back_at_s:
            return TransientError("refused", cause="connect")
        return "Hello."

    done, error, llm, seconds = _run(script, _rows(200), num_threads=16)
    assert error is None
    assert len(done) == 200
    assert not any(row.errors for row in done)
    assert len(llm.calls) - 200 < 100
    assert seconds < back_at_s + 60 + 200 / 16 + 5


def test_a_server_that_never_comes_back_stops_the_run_after_half_an_hour():
    """The run gives the server up, not its rows."""
    done, error, llm, seconds = _run(
        lambda call: TransientError("refused", cause="connect"), _rows(50), num_threads=8
    )
    assert (done, error.cause) == ([], "unavailable")
    assert 1800 <= seconds < 2000
    assert len(llm.calls) < 120


def test_a_row_that_always_breaks_the_server_fails_alone():
    """A poison row is given up after five retries; the others do not notice."""

    def script(call):
        if call.prompt[-1]["content"] == "prompt 7":
            return TransientError("boom", cause="http_500")
        return "Hello."

    system = TextGenerationTask()
    assert system.system_prompt  # so that the user's text is the last message
    llm = ScriptedLLM(system, script, num_threads=4, prompt_format="openai")
    pipe = Pipeline(generator=llm)

    async def main():
        async with pipe.stream(_rows(100), enable_checkpoints=False) as stream:
            return [row async for row in stream]

    done = VirtualClock().run(main)
    failed = [row for row in done if row.errors]
    assert [row.index for row in failed] == [7]
    assert (failed[0].errors[0].cause, failed[0].errors[0].attempts) == ("http_500", 6)


def test_throttling_is_waited_out_and_nothing_is_sent_early():
    """After a 429 with Retry-After, no call goes out before its time has passed."""
    sent, throttled_at = [], []

    def script(call):
        now = anyio.current_time()
        sent.append(now)
        if len(throttled_at) < 5 and len(sent) % 20 == 0:
            throttled_at.append(now + 1.0)  # the reply comes a second later
            return ThrottledError("slow down", cause="rate_limited", retry_after_s=30.0)
        return "Hello."

    done, error, _, _ = _run(script, _rows(120), num_threads=10)
    assert error is None
    assert len(done) == 120
    for moment in throttled_at:
        assert not [now for now in sent if moment < now < moment + 30.0]


def test_a_server_that_asks_for_more_than_an_hour_stops_the_run():
    """Two hours are for the user to wait, not for the run."""
    done, error, llm, _ = _run(
        lambda call: ThrottledError("later", cause="rate_limited", retry_after_s=7200.0),
        _rows(5),
        num_threads=1,
    )
    assert (done, error.cause, len(llm.calls)) == ([], "wait_too_long", 1)


def test_a_cold_start_of_twenty_minutes_costs_no_row_and_one_probe_at_a_time():
    """While a model loads, one call at a time asks whether it is up."""
    up_at_s, in_flight, peak = 1200.0, 0, 0

    def script(call):
        if anyio.current_time() < up_at_s:
            return WarmingError("loading", cause="warming", retry_after_s=20.0)
        return "Hello."

    done, error, llm, _ = _run(script, _rows(30), num_threads=8)
    assert error is None
    assert not any(row.errors for row in done)
    assert len(llm.calls) < 8 + 1200 / 20 + 30 + 8
    assert (in_flight, peak) == (0, 0)


def test_a_wrong_key_stops_the_run_after_two_rows_at_most():
    """One 401 is confirmed with one other row, and no further row is tried."""
    done, error, llm, seconds = _run(
        lambda call: _unauthorized(status=401), _rows(100), num_threads=1
    )
    assert done == []
    assert error.status == 401
    assert len(llm.calls) == 2
    assert seconds < 5


def test_a_wrong_key_with_one_row_is_asked_twice_and_reported():
    """A run of one row has nobody to confirm with, and still ends."""
    done, error, llm, _ = _run(lambda call: _unauthorized(status=401), _rows(1))
    assert (done, error.status, len(llm.calls)) == ([], 401, 2)


def test_a_403_for_one_row_is_that_rows_own():
    """A moderated row fails; the rows around it go on."""

    def script(call):
        if "prompt 3" in str(call.prompt):
            return _unauthorized(status=403)
        return "Hello."

    done, error, _, _ = _run(script, _rows(20), num_threads=4)
    assert error is None
    assert [(row.index, row.errors[0].cause) for row in done if row.errors] == [(3, "permission")]


def test_a_key_that_is_revoked_in_mid_run_stops_it():
    """After successes, two rows refused alike stop the run; the rest stays undone."""
    sent = 0

    def script(call):
        nonlocal sent
        sent += 1
        return "Hello." if sent <= 40 else _unauthorized(status=401)

    done, error, llm, _ = _run(script, _rows(200), num_threads=8)
    assert error.status == 401
    assert len(done) == 40
    assert len(llm.calls) <= 40 + 2 * 8


def test_insufficient_quota_stops_at_once():
    """What no waiting mends is not waited for."""
    done, error, llm, _ = _run(
        lambda call: RunFatalError("no credit", cause="insufficient_quota", status=429),
        _rows(50),
        num_threads=4,
    )
    assert (done, error.cause) == ([], "insufficient_quota")
    assert len(llm.calls) <= 4


def test_rows_that_all_fail_alike_stop_the_run_at_the_twentieth():
    """A prompt that no row's context can hold is found out after 20 rows, not after all."""
    done, error, llm, _ = _run(
        lambda call: RowFatalError("too long", cause="context_length"), _rows(500), num_threads=4
    )
    assert error.cause == "too_many_failures"
    assert 20 <= len(llm.calls) <= 20 + 4
    assert len(done) == 19


def test_one_row_in_a_hundred_may_fail():
    """Failures of single rows are kept and counted, and stop nothing."""
    turn = 0

    def script(call):
        nonlocal turn
        turn += 1
        if turn % 100 == 50:
            return RowFatalError("too long", cause="context_length")
        return "Hello."

    done, error, _, _ = _run(script, _rows(1000), num_threads=8)
    assert error is None
    assert sum(bool(row.errors) for row in done) == 10


@pytest.mark.parametrize(("status", "wait_s"), [(429, 2.0), (500, None), (503, None), (529, None)])
def test_a_reset_alone_is_a_reason_to_wait_with_a_429(status, wait_s):
    """With other statuses it says nothing: it stands on every reply of some servers."""
    reply = HttpReply(status, {"x-ratelimit-reset-tokens": "2s"}, b"{}")
    assert failure_of(reply, who="m").retry_after_s == wait_s


def _tellings(caplog):
    return [record for record in caplog.records if "requests fail" in record.getMessage()]


def test_a_server_that_flaps_is_told_of_at_most_once_a_minute(caplog):
    """Half of all attempts fail, so that the circuit opens again and again."""
    draw = random.Random(2)

    def script(call):
        return (
            TransientError("no", cause="http_503", status=503) if draw.random() < 0.5 else "Hello."
        )

    with caplog.at_level(logging.WARNING, "distilabel"):
        done, error, _, seconds = _run(script, _rows(2000), num_threads=16)
    assert error is None
    assert len(done) == 2000
    assert 2 <= len(_tellings(caplog)) <= seconds / 60 + 1


def test_an_outage_that_follows_soon_on_a_hitch_is_told_of_too(caplog):
    """What was passed over in the first minute is said after it, if the server is away still."""
    started_s = []

    def script(call):
        started_s.append(anyio.current_time())
        passed_s = anyio.current_time() - started_s[0]
        away = passed_s < 20 or 40 < passed_s < 400
        return TransientError("no", cause="connect") if away else "Hello."

    with caplog.at_level(logging.WARNING, "distilabel"):
        done, error, _, _ = _run(script, _rows(1000), num_threads=16)
    assert error is None
    assert not any(row.errors for row in done)
    assert len(_tellings(caplog)) == 2
