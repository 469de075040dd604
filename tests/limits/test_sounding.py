"""The depth of a queue is sounded, where nobody saw what a reply takes without one."""

from dataclasses import dataclass
from itertools import pairwise
from math import inf

import pytest

from distilabel.limits import Adaptive
from distilabel.limits.latency import LatencyGuard
from distilabel.limits.sounding import Sounded, Sounding

REPLIES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Server:
    """What replies take, and how many requests it is seen to work on at once."""

    places: float
    slowdown: float = 0.0

    def seconds(self, limit: float) -> float:
        """A reply, with so many under way."""
        return max(1.0, limit / self.places) * (1.0 + self.slowdown * limit)

    def sounded(self, limit: float, shown: float = 1.0) -> tuple[list[float], Sounded | None]:
        """The limits that were tried, and what was found."""
        sounding, tried = Sounding(), []
        for _ in range(REPLIES_MAX):
            found = sounding.note(int(limit), shown, self.seconds(limit), 100.0, limit)
            if isinstance(found, Sounded):
                return tried, found
            if found is not None:
                tried.append(limit := found)
        return tried, None


@pytest.mark.parametrize("places", [1, 3, 16, 50, 100])
def test_the_places_of_a_queue_are_found(places):
    """Under whatever queue of 256 requests, the places are found to a tenth."""
    tried, found = Server(places).sounded(256.0)
    assert found is not None
    assert found.places == pytest.approx(places, rel=0.1)
    assert found.limit_before == 256.0
    assert [after / before for before, after in pairwise([256.0, *tried])] == [0.5] * len(tried)
    assert found.fit.expected_s(100.0) == pytest.approx(1.0)


def test_where_nothing_queues_one_step_is_made():
    """Replies that are no quicker with half of the requests are what is to be expected."""
    tried, found = Server(inf).sounded(256.0)
    assert tried == [128.0]
    assert found is not None
    assert found.places is None
    assert found.fit.expected_s(100.0) == pytest.approx(1.0)


def test_a_server_that_works_on_more_than_half_is_left_alone():
    """One reply in ten shows that most of the limit is worked on: nothing is tried."""
    sounding = Sounding()
    for number in range(REPLIES_MAX):
        shown = 200.0 if number % 10 == 0 else 1.0
        assert sounding.note(256, shown, 1.0, 100.0, 256.0) is None
    assert not sounding.is_under_way


def test_what_is_given_up_begins_anew():
    """When something else sets the limit, a step that was under way is forgotten."""
    sounding = Sounding()
    while not sounding.is_under_way:
        sounding.note(64, 1.0, 4.0, 100.0, 64.0)
    sounding.abandon(40.0)
    assert not sounding.is_under_way
    said = [sounding.note(40, 1.0, 4.0, 100.0, 40.0) for _ in range(40 + 96)]
    assert said == [None] * (40 + 95) + [20.0]


def test_the_guard_sounds_only_what_it_may():
    """Of requests whose depth is not to be sounded, a guard without a base line says nothing."""
    guard = LatencyGuard()
    assert guard.is_blind
    said = {guard.note(200, 4.0, 100.0, 256.0) for _ in range(1000)}
    assert said == {None}
    found = [guard.note(200, 4.0, 100.0, 256.0, shown=1.0) for _ in range(96)]
    assert found[-1] == 100.0
    assert guard.is_trying


# Against the simulated servers of benchmarks/adaptive.py.


@pytest.mark.parametrize("ceiling", [256, None])
def test_a_client_that_was_held_up_finds_the_queue(simulation, ceiling):
    """Latency within 1.5 times an idle server's at 95 %, though the first 3 s taught nothing."""
    server = simulation.Server("slots", slots=64, held_up_s=3.0)
    for seed in (41, 42):
        limit = Adaptive(10_000, ramp_to=64) if ceiling is None else Adaptive(ceiling)
        run = simulation.queue_run(server, limit, 150.0, seed)
        assert run.latency <= 1.5
        assert run.throughput >= 0.95


def test_where_nothing_queues_being_held_up_costs_nothing(simulation):
    """Of replies that scatter the order alone shows that the whole ceiling is worked on."""
    server = simulation.Server("no queue", held_up_s=3.0)
    counts = simulation.Scenario(server, Adaptive(256), 30.0, seed=43).run()
    assert counts.limits[-1][1] == 256
    assert sorted(counts.limits) == sorted(counts.limits, key=lambda at: at[1])
