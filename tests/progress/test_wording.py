"""Figures in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.progress.wording import as_clock, as_count, as_line


def test_a_line_says_it_all(stage):
    """One line holds rows, rates, tokens, troubles, elapsed time and time left."""
    assert as_line(stage(retries=3, throttles=2, rows_failed=1)) == (
        "generator writer: 123/200 rows, 21.3 rows/s, 84.2k tokens, 8.0k tokens/s, "
        "61/64 in flight, 3 retried, 2 throttled, 1 failed, 0:07 elapsed, 0:04 left"
    )


def test_a_line_says_no_more_than_is_known(stage):
    """Without a total there is no time left, and without troubles no word of them."""
    line = as_line(stage(rows_total=None, left_s=None, rows_per_s=None, tokens_per_s=None))
    assert line == (
        "generator writer: 123 rows, - rows/s, 84.2k tokens, - tokens/s, 61/64 in flight, "
        "0:07 elapsed"
    )


@pytest.mark.parametrize("state", ["done", "stopped"])
def test_a_line_says_how_it_ended(stage, state):
    """A stage that is over says so in place of the time left."""
    assert as_line(stage(state=state, left_s=None)).endswith(f"elapsed, {state}")


def test_a_running_stage_has_time_left(stage):
    """As long as a stage runs, it does not claim that no time is left."""
    assert as_line(stage(left_s=0.01)).endswith("0:01 left")


def test_a_models_name_writes_no_escape_codes(stage):
    """A server's name for its model cannot steer the terminal."""
    assert "\x1b" not in as_line(stage(model="\x1b[2Jm\r\n"))


@given(st.integers(0, 10**14))
def test_a_count_is_short(number):
    """A count takes six characters at most, and is true to five per cent."""
    text = as_count(number)
    assert len(text) <= 6
    scale = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1)
    assert float(text.rstrip("kMGT")) * scale == pytest.approx(number, rel=0.05)


@given(st.floats(0, 10**7))
def test_a_clock_never_shows_sixty(seconds):
    """Minutes and seconds of a clock stay below sixty."""
    assert all(int(part) < 60 for part in as_clock(seconds).split(":")[1:])


def test_cached_tokens_are_named_where_there_are_any(stage):
    """What a prompt cache gave stands behind the tokens."""
    assert "84.2k tokens (12.3k cached), " in as_line(stage(cached_tokens=12_345))
    assert "cached" not in as_line(stage())
