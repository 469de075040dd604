"""Intervals: formulas against tables, and how often they hold the truth."""

import random

import pytest

from distilabel.pipeline.intervals import Range, makespan, share, student, total, total_seconds


@pytest.mark.parametrize(
    ("freedom", "expected"), [(4, 2.132), (9, 1.833), (19, 1.729), (49, 1.677), (200, 1.653)]
)
def test_students_quantiles(freedom, expected):
    """The 95 % points of any table."""
    assert student(0.95, freedom) == pytest.approx(expected, abs=2e-3)


def test_wilsons_interval():
    """Half of ten is 27 to 73 %, and the lower end of one in twenty is that of Brown et al."""
    found = share(5, 10)
    assert (found.low, found.high) == (
        pytest.approx(0.2693, abs=1e-3),
        pytest.approx(0.7307, abs=1e-3),
    )
    assert share(1, 20).low == pytest.approx(0.10536 / 20)


def test_all_of_it_is_no_guess():
    """A sample of all rows leaves nothing open."""
    assert share(3, 10, of_all=10) == Range.exactly(0.3)
    assert total([1.0, 2.0, 3.0], 3) == Range.exactly(6.0)


def test_a_total_is_no_less_than_what_was_seen():
    """One huge row among small ones: the lower end stays at the sample's own sum."""
    values = [1.0] * 19 + [10_000.0]
    found = total(values, 25)
    assert found.low >= sum(values)


def test_two_distances_make_one():
    """As the sides of a right triangle."""
    assert Range(7.0, 10.0, 13.0) + Range(6.0, 10.0, 14.0) == Range(15.0, 20.0, 25.0)


def test_rows_are_scheduled_as_permits_allow():
    """Four rows of a second, two at once, then a slow judge of one permit."""
    assert makespan([(1.0,)] * 4, [2]) == 2.0
    assert makespan([(1.0, 3.0)] * 4, [2, 1]) == 13.0


@pytest.mark.parametrize(
    ("rows", "limits"), [(200, [16]), (1_000, [64, 16]), (200, [64]), (100, [256])]
)
def test_times_hold_the_truth(rows, limits):
    """Over 30 runs with lognormal seconds, the 90 % interval holds the time in 80 % or more."""
    chance, held = random.Random(rows), 0
    for seed in range(30):
        run = [[chance.lognormvariate(-0.7, 0.6) for _ in limits] for _ in range(rows)]
        told = total_seconds(chance.sample(run, 20), limits, rows, seed)
        held += told.low <= makespan(run, limits) <= told.high
    assert held >= 24


def test_time_grows_with_rows():
    """Beyond what is simulated each row takes as long as the busiest stage needs for one."""
    told = total_seconds([(1.0, 1.0)] * 20, [10, 5], 1_000_000)
    assert told.mid == pytest.approx(200_000, rel=0.01)
