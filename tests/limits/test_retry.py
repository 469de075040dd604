"""Retry policy and Retry-After: pure decisions."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.errors import (
    InvalidReplyError,
    RowFatalError,
    RunFatalError,
    ThrottledError,
    TransientError,
)
from distilabel.limits import RetryPolicy, parse_retry_after


def _waits(error, times):
    state = RetryPolicy().start()
    return [state.wait_s(error, random.Random(k)) for k in range(times)]


def test_transient_failures_are_tried_again_five_times():
    """The sixth transient failure is the last."""
    waits = _waits(TransientError("reset", cause="connection"), 6)
    assert all(wait is not None for wait in waits[:5])
    assert waits[5] is None


def test_paid_retries_are_counted_apart():
    """Two useless replies are asked for again, whatever transient failures came before."""
    state = RetryPolicy().start()
    for _ in range(4):
        state.wait_s(TransientError("reset", cause="connection"), random.Random(0))
    useless = InvalidReplyError("no JSON")
    outcomes = [state.wait_s(useless, random.Random(0)) is not None for _ in range(3)]
    assert outcomes == [True, True, False]
    assert state.wait_s(TransientError("reset", cause="connection"), random.Random(0)) is not None


def test_throttling_never_gives_up():
    """A server that is only busy costs no attempt."""
    assert None not in _waits(ThrottledError("slow down", cause="rate_limited"), 500)


@pytest.mark.parametrize("kind", [RowFatalError, RunFatalError])
def test_fatal_failures_are_not_tried_again(kind):
    """What cannot succeed is asked once."""
    assert _waits(kind("no", cause="no"), 1) == [None]


@given(
    asked_s=st.floats(0, 3600),
    tries=st.integers(1, 40),
    seed=st.integers(),
)
def test_no_wait_is_shorter_than_asked_or_longer_than_the_cap(asked_s, tries, seed):
    """The wait lies between Retry-After and max(Retry-After, 60 s) plus a tenth of Retry-After."""
    state = RetryPolicy().start()
    error = ThrottledError("slow down", cause="rate_limited", retry_after_s=asked_s)
    chance = random.Random(seed)
    waits = [state.wait_s(error, chance) for _ in range(tries)]
    assert all(asked_s <= wait <= max(asked_s, 60.0) + 0.1 * asked_s for wait in waits)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        (
            {
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
                "retry-after": "Mon, 23 Nov 2026 10:01:30 GMT",
            },
            90.0,
        ),
        (
            {
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
                "retry-after": "Mon, 23 Nov 2026 09:00:00 GMT",
            },
            0.0,
        ),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12"}, 12.0),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "12s"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "1h0m1s",
            },
            3601.0,
        ),
    ],
)
def test_every_form_of_retry_after_is_read(headers, wait_s):
    """Seconds, milliseconds, dates against the reply's own clock, and reset headers."""
    assert parse_retry_after(headers) == pytest.approx(wait_s)


def _resets(requests=None, requests_left=None, tokens=None, tokens_left=None):
    named = {
        "x-ratelimit-reset-requests": requests,
        "x-ratelimit-remaining-requests": requests_left,
        "x-ratelimit-reset-tokens": tokens,
        "x-ratelimit-remaining-tokens": tokens_left,
    }
    return {name: value for name, value in named.items() if value is not None}


@pytest.mark.parametrize(
    ("headers", "throttled_s", "else_s"),
    [
        (_resets(requests="2s"), 2.0, None),
        (_resets(tokens="2s"), 2.0, None),
        (_resets(requests="3s", tokens="2s"), 3.0, None),
        (_resets(requests="2s", requests_left="many"), 2.0, None),
        (_resets(tokens="2s", tokens_left="3"), 2.0, None),
        (_resets(tokens="2s", tokens_left="0"), 2.0, 2.0),
        (_resets("120ms", "9000", "2s", "0"), 2.0, 2.0),
        (_resets("6h", "9000", "2s", "0"), 2.0, 2.0),
        (_resets("6h", "9000", "2s", "3"), 2.0, None),
        (_resets("3s", "0", "20s", "9000"), 3.0, 3.0),
        (_resets("6h", "9000", "6h", "400000"), 60.0, None),
        (_resets("6h", "9000"), None, None),
        ({"retry-after": "1", **_resets("9s", "0", "9s", "0")}, 1.0, 1.0),
    ],
)
def test_a_reset_is_heeded_as_far_as_its_kind_may_be_short(headers, throttled_s, else_s):
    """With a 429 what is not said to be left, then tokens; with another status what is at 0."""
    assert parse_retry_after(headers, is_throttled=True) == throttled_s
    assert parse_retry_after(headers) == else_s


_TOLD = ["retry-after", "retry-after-ms", "date", *_resets("", "", "", "")]


@given(st.dictionaries(st.sampled_from(_TOLD), st.text()), st.booleans())
def test_nonsense_never_raises(headers, is_throttled):
    """Whatever a server writes into Retry-After, the answer is a number or None."""
    wait_s = parse_retry_after(headers, is_throttled=is_throttled)
    assert wait_s is None or wait_s >= 0
