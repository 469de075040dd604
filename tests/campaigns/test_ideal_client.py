"""The perfect client of `benchmarks/ideal.py`, against what can be said of it beforehand."""

import doctest
import importlib.util
import sys
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.testing import Latency

FILE = Path(__file__).parents[2] / "benchmarks" / "ideal.py"


@pytest.fixture(scope="module")
def ideal():
    """The module; benchmarks are programs and on no path."""
    spec = importlib.util.spec_from_file_location("ideal", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["ideal"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["ideal"]


def test_examples(ideal):
    """Its examples come out as they are printed."""
    assert doctest.testmod(ideal).failed == 0


@given(
    seed=st.integers(0, 1_000),
    rows=st.integers(1, 60),
    permits=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_no_stage_is_faster_than_its_permits(ideal, seed, rows, permits):
    """A run is as long as either stage's work shared by its permits, and as its longest call."""
    stages = [list(draws_of(seed + k, rows)) for k in range(2)]
    found = ideal.simulate([iter(draws) for draws in stages], rows=rows, permits=permits)
    bounds = [sum(draws) / limit for draws, limit in zip(stages, permits, strict=True)]
    bounds += [max(draws) for draws in stages]
    assert found.total_s >= max(bounds) - 1e-9
    assert found.total_s <= sum(map(sum, stages)) + 1e-9
    assert 0 < found.first_row_s <= found.total_s


@given(rows=st.integers(1, 200), permits=st.integers(1, 50))
def test_equal_calls_go_in_waves(ideal, rows, permits):
    """One stage of calls of a second each takes as many seconds as there are waves."""
    found = ideal.simulate([repeat(1.0)], rows=rows, permits=[permits])
    assert found.total_s == -(-rows // permits)


def draws_of(seed: int, rows: int):
    """The first draws of a seed."""
    draws = Latency.lognormal(0.5, 0.6, seed).draws()
    return (next(draws) for _ in range(rows))
