"""Requests and tokens per minute: even distances, settled tokens, headers that tell the truth."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.limits.rate import Quota, Rate, read_quota


def departures(rate: Rate, calls: int, tokens: float = 0.0, now: float = 0.0) -> list[float]:
    """When so many calls leave that are always ready."""
    left = []
    for _ in range(calls):
        now += rate.wait_s(now)
        rate.sent(now, tokens)
        left.append(now)
    return left


def most_in_a_minute(left: list[float]) -> int:
    """The most departures within any minute, both ends included."""
    return max(sum(start <= moment <= start + 60.0 for moment in left) for start in left)


@pytest.mark.parametrize("per_minute", [1, 2, 60, 500, 3000])
def test_no_minute_has_more_requests_than_said(per_minute):
    """Any minute has at most as many departures as were said, and hardly fewer."""
    left = departures(Rate(requests_per_minute=per_minute), 3 * per_minute + 1)
    assert most_in_a_minute(left) <= per_minute
    assert left[-1] <= 3 * 60 * (1.002 + 1 / per_minute) + 1


@given(st.integers(2, 600), st.integers(0, 2**32))
def test_no_minute_has_more_after_idle_times(per_minute, seed):
    """Idle times earn nothing: after one, calls leave as evenly as ever."""
    chance, rate, now, left = random.Random(seed), Rate(requests_per_minute=per_minute), 0.0, []
    for _ in range(10):
        now += chance.choice([0.0, 1.0, 30.0, 300.0])
        left += departures(rate, chance.randint(1, per_minute // 2 + 1), now=now)
        now = left[-1]
    assert most_in_a_minute(left) <= per_minute


def test_a_late_call_does_not_slow_the_next_ones():
    """Calls that leave a few milliseconds late, as loops have it, lose no throughput."""
    rate, now = Rate(requests_per_minute=6000), 0.0
    for _ in range(600):
        now += rate.wait_s(now) + 0.004
        rate.sent(now, 0.0)
    assert now <= 6.2


def test_tokens_are_settled():
    """What was reserved too much is given back, and what was too little charged."""
    for used, seconds in ((1000.0, 60.0), (100.0, 6.0), (2000.0, 120.0)):
        rate, now = Rate(tokens_per_minute=60_000), 0.0
        for _ in range(60):
            now += rate.wait_s(now)
            rate.sent(now, 1000.0)
            rate.settled(1000.0, used)
        assert now + rate.wait_s(now) == pytest.approx(seconds, rel=0.02, abs=0.1)


def test_a_refused_call_gives_its_tokens_back():
    """A call that took nothing costs nothing."""
    rate = Rate(tokens_per_minute=600)
    rate.sent(0.0, 500.0)
    rate.settled(500.0, 0.0)
    assert rate.wait_s(0.0) == 0.0


def test_estimates_follow_the_replies():
    """The next call is expected to write what the last ones wrote."""
    rate = Rate(tokens_per_minute=1000)
    for _ in range(50):
        rate.replied(40.0)
    assert rate.estimate(characters=400, texts=2) == pytest.approx(180.0, rel=0.01)


def test_the_last_word_counts():
    """Limits that are named anew replace those before, and None lifts them."""
    rate = Rate(requests_per_minute=600, tokens_per_minute=100)
    rate.says(60, None)
    found = rate.statistics()
    assert found.requests_per_s == pytest.approx(1.0, rel=0.02)
    assert found.tokens_per_s is None
    rate.says(None, None)
    assert not rate.is_limiting


def headers(limit, remaining, reset, kind="requests"):
    """What a reply tells of one limit."""
    return {
        f"x-ratelimit-limit-{kind}": limit,
        f"x-ratelimit-remaining-{kind}": remaining,
        f"x-ratelimit-reset-{kind}": reset,
    }


@pytest.mark.parametrize(
    ("said", "quota"),
    [
        (headers("500", "499", "120ms"), Quota(500.0, 499.0, 0.12)),
        (headers("500", "0", "6m0s"), Quota(500.0, 0.0, 360.0)),
        (headers("500", "0", "1s"), Quota(500.0, 0.0, 1.0)),
        (headers("500", "501", "1s"), None),
        (headers("500", "-1", "1s"), None),
        (headers("0", "0", "1s"), None),
        (headers("many", "0", "1s"), None),
        (headers("500", "0", "0s"), None),
        (headers("500", "0", "-5"), None),
        (headers("500", "0", "later"), None),
        (headers("nan", "nan", "nan"), None),
        (headers("inf", "0", "1s"), None),
        (headers("500", "0", "9999d"), None),
        ({"x-ratelimit-limit-requests": "500"}, None),
        ({}, None),
    ],
)
def test_what_headers_tell(said, quota):
    """OpenAI's formats are read, and what cannot be true is not believed."""
    assert read_quota(said, "requests") == quota


def test_plenty_left_slows_nobody():
    """While more than a fifth is left, nothing is kept to."""
    rate = Rate()
    rate.learn(headers("500", "120", "45s"))
    assert not rate.is_limiting
    rate.learn(headers("500", "50", "54s"))
    assert rate.statistics().requests_per_s == pytest.approx(450 / 54 + 50 / 5)
    rate.learn(headers("500", "400", "12s"))
    assert not rate.is_limiting


def test_a_learned_limit_never_lifts_one_that_was_said():
    """The user's limit stays whatever a server tells."""
    rate = Rate(requests_per_minute=60)
    before = rate.statistics().requests_per_s
    rate.learn(headers("50000", "49999", "1ms"))
    assert rate.statistics().requests_per_s == before
    rate.learn(headers("100", "0", "200s"))
    assert rate.statistics().requests_per_s == 0.5


def test_a_bucket_is_emptied_but_not_refused():
    """A client that keeps to the headers uses the whole rate, and is refused next to nothing."""
    from distilabel.testing import TokenBucket
    from distilabel.testing.ratelimit_headers import rate_limit_headers

    bucket, rate, now, refused, admitted = TokenBucket(50.0, 100.0), Rate(), 0.0, 0, 0
    while now < 120.0:
        now += max(rate.wait_s(now), 0.001)  # at most a thousand a second
        rate.sent(now, 0.0)
        if bucket.take(now) > 0:
            refused += 1
        else:
            admitted += 1
        rate.learn(dict(rate_limit_headers(bucket.statistics())))
    assert refused <= 0.01 * admitted
    assert admitted >= 0.97 * (100 + 120 * 50)
