"""Servers that are away, asleep, or dripping: on a virtual clock, over loopback."""

import math

import pytest
from storm_kit import backend, now_s, number_of, rows, run

from distilabel.errors import RunFatalError
from distilabel.testing import (
    Drip,
    Faults,
    Hangup,
    Latency,
    NeverAnswers,
    Reset,
    Status,
)

BEGINS_S, MINUTES = 30.0, 10.0
ENDS_S = BEGINS_S + 60 * MINUTES
LATENCY_S = 2.0
WAYS = {
    "reset": Reset(),
    "hang-up": Hangup(),
    "502": Status(502),
    "503": Status(503),
    "504": Status(504),
    "hangs": NeverAnswers(),
    "half a reply": Reset(200),
}


def outage(fault, *, permits):
    """A run of a few minutes through an outage of ten; the outcome, and when requests arrived."""
    arrivals = []

    def script(request):
        arrivals.append(now_s())
        return fault if BEGINS_S <= now_s() < ENDS_S else None

    count = int(permits / LATENCY_S * 180)
    outcome = run(
        rows(count),
        permits=permits,
        script=script,
        latency=Latency.constant(LATENCY_S),
        ledger="counters",
    )
    return outcome, arrivals, count


@pytest.mark.parametrize(
    ("way", "permits"),
    [
        *((way, 16) for way in ("reset", "503", "hangs")),
        *(
            pytest.param(way, permits, marks=pytest.mark.campaign)
            for way in WAYS
            for permits in (8, 16, 64)
        ),
    ],
)
def test_an_outage_of_ten_minutes(way, permits, record_property, caplog):
    """No row fails, the dead server is probed sparingly, and full speed is back in a minute."""
    outcome, arrivals, count = outage(WAYS[way], permits=permits)
    assert "One at a time is tried" in caplog.text  # the user is told why nothing goes on
    assert outcome.error is None
    assert [row.errors[0].cause for row in outcome.failed] == []
    assert len(outcome.rows) == count
    probes = sum(BEGINS_S <= moment < ENDS_S for moment in arrivals)
    late_s = next(moment for moment in outcome.finished_s if moment > ENDS_S + 1) - ENDS_S
    full = permits / LATENCY_S
    after = [moment for moment in outcome.finished_s if ENDS_S + 60 <= moment < ENDS_S + 90]
    record_property("probes", probes)
    print(  # noqa: T201 - what `nox -s storms` is for
        f"{way:13} {permits:3} permits: {probes:3} requests in the outage, first row "
        f"{late_s:.0f} s after it, then {len(after) / 30 / full:.2f} of full speed"
    )
    assert probes <= 2 * permits + 50  # what was on its way before anybody could know, and probes
    assert len(after) >= 0.95 * 30 * full


@pytest.mark.parametrize(
    ("drip", "bound_s"),
    [
        pytest.param(Drip(every_s=5.0), 600.0, id="a byte each 5 s"),
        pytest.param(Drip(every_s=61.0, bytes_each=300), 200.0, id="silent for longer than idle"),
        pytest.param(Drip(every_s=119.0, bytes_each=1), 600.0, id="just below the first byte's"),
    ],
)
def test_a_slow_loris_is_left_after_the_timeout(drip, bound_s):
    """A reply that drips costs one attempt of at most ten minutes, and the next one goes well."""
    outcome = run(rows(1), permits=1, script=Faults.on_attempt(1, drip))
    assert outcome.failed == []
    assert outcome.ledger.requests == 2
    assert outcome.seconds <= bound_s + 1.0


def test_slow_lorises_hold_up_nobody_else():
    """Where one reply in ten drips, the others go through at the speed of the permits left."""

    def script(request):
        is_slow = number_of(request) % 10 == 0 and request.attempt == 1
        return Drip(every_s=1.0) if is_slow else None

    outcome = run(rows(400), permits=16, script=script, latency=Latency.constant(LATENCY_S))
    assert outcome.failed == []
    assert len(outcome.rows) == 400
    assert outcome.ledger.requests <= 400 + 40
    assert outcome.seconds <= 600 * math.ceil(40 / 16) + 60


@pytest.mark.parametrize(
    "body",
    [
        {"error": "Model meta/llama is currently loading", "estimated_time": 30.0},
        {"error": "endpoint is scaled to zero"},
        {"error": {"message": "Service is initializing"}},
    ],
    ids=["loading", "scaled to zero", "initializing"],
)
def test_a_server_that_scales_to_zero_in_mid_run_is_waited_for(body):
    """For a quarter of an hour one call at a time asks, and no row pays for it."""
    arrivals = []

    def script(request):
        arrivals.append(now_s())
        return Status(503, body=body) if BEGINS_S <= now_s() < BEGINS_S + 900 else None

    outcome = run(rows(500), permits=8, script=script, latency=Latency.constant(LATENCY_S))
    assert outcome.error is None
    assert outcome.failed == []
    asked = sum(BEGINS_S <= moment < BEGINS_S + 900 for moment in arrivals)
    assert asked <= 8 + 900 / 5
    assert outcome.seconds <= 500 * LATENCY_S / 8 + 900 + 60
    assert outcome.ledger.statuses[503] == asked


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_revoked_in_mid_run_stops_the_run(status):
    """Two rows are refused alike, and what is sent after that was on its way."""

    def script(request):
        return Status(status) if request.index >= 100 else None

    outcome = run(rows(500), permits=8, script=script, latency=Latency.constant(LATENCY_S))
    assert isinstance(outcome.error, RunFatalError)
    assert outcome.error.status == status
    assert 100 - 8 <= len(outcome.rows) <= 100
    assert outcome.failed == []
    assert outcome.ledger.requests <= 100 + 2 * 8


def test_one_row_in_a_hundred_is_too_long():
    """Those rows fail with one call each, all others are done."""
    source = [
        {"input": "x" * 2_000 * (number % 100 == 0) + f"row {number}"} for number in range(1_000)
    ]
    outcome = run(source, permits=16, max_prompt_chars=1_500, latency=Latency.constant(LATENCY_S))
    assert outcome.error is None
    assert sorted(row.index for row in outcome.failed) == list(range(0, 1_000, 100))
    assert {row.errors[0].cause for row in outcome.failed} == {"context_length"}
    assert {row.errors[0].attempts for row in outcome.failed} == {1}
    assert outcome.ledger.requests == 1_000


def test_every_row_is_too_long():
    """The run stops at the twentieth, before it has spent the others."""
    outcome = run(
        [{"input": "x" * 2_000 + f" {number}"} for number in range(1_000)],
        permits=16,
        max_prompt_chars=1_500,
    )
    assert isinstance(outcome.error, RunFatalError)
    assert outcome.error.cause == "too_many_failures"
    assert outcome.ledger.requests <= 20 + 16
    assert outcome.ledger.paid == 0


def test_a_refused_connection_is_an_outage_too():
    """A server that is not there at all is probed for half an hour, and then the run stops."""

    def nowhere(url, **settings):
        del url
        return backend("http://127.0.0.1:9/v1", **settings)  # the port of `discard`

    outcome = run(rows(100), permits=16, make=nowhere)
    assert isinstance(outcome.error, RunFatalError)
    assert outcome.error.cause == "unavailable"
    assert outcome.rows == []
    assert 1_800 <= outcome.seconds < 2_000
