"""Rows that break a server by 502, 503 and 504, told from a server that has too much: pure."""

import pytest

from distilabel.limits import Failing, Health, HealthPolicy
from distilabel.limits.failing import Oddities

POLICY = HealthPolicy()


def fails(oddities, failing, *, load, sent_count):
    """One more failure of a call, with so many others under way."""
    failing.departs(sent_count, load)
    failing.again(failing.times + 1, float(sent_count))
    oddities.stumbled(failing, sent_count)


def others_go_well(oddities, *, load, first, count=10):
    """So many first tries, sent one after the other."""
    for number in range(first, first + count):
        other = Failing()
        other.departs(number, load)
        oddities.succeeded(other)


def odd_call(oddities, *, first, load=7, usual=7, times=6):
    """A call that failed so often, while others went well beside the usual number of attempts."""
    failing = Failing(is_backends=True)
    for turn in range(times):
        others_go_well(oddities, load=usual, first=first + 20 * turn)
        fails(oddities, failing, load=load, sent_count=first + 20 * turn + 10)
    others_go_well(oddities, load=usual, first=first + 20 * times)
    return failing


def test_who_fails_each_time_where_others_go_well_is_odd():
    """Six failures, where hardly any other call fails, are no chance."""
    oddities = Oddities()
    assert oddities.is_odd(odd_call(oddities, first=1))


def test_who_fails_when_more_than_usual_is_under_way_is_not():
    """A server with seven places refuses the eighth, however often it comes."""
    oddities = Oddities()
    assert not oddities.is_odd(odd_call(oddities, first=1, load=7, usual=6))


def test_nobody_is_odd_while_nothing_goes_well():
    """What went well before a call failed twice says nothing of an outage since then."""
    oddities, failing = Oddities(), Failing(is_backends=True)
    others_go_well(oddities, load=7, first=1, count=60)
    for turn in range(6):
        fails(oddities, failing, load=0, sent_count=60 + turn)
        assert not oddities.is_odd(failing)


def test_nobody_is_odd_where_half_of_all_first_tries_fail():
    """Six failures of a call are then what is to be expected of some."""
    oddities = Oddities()
    for number in range(64):
        fails(oddities, Failing(is_backends=True), load=7, sent_count=2 * number)
        others_go_well(oddities, load=7, first=2 * number + 1, count=1)
    failing = Failing(is_backends=True)
    for turn in range(6):
        fails(oddities, failing, load=0, sent_count=200 + turn)
    others_go_well(oddities, load=7, first=300, count=1)
    assert not oddities.is_odd(failing)


def test_odd_calls_are_rows_once_three_have_failed_until_one_goes_well_after_all():
    """One may have had bad luck; and who recovers was no such row."""
    oddities = Oddities()
    for number in range(3):
        assert not oddities.are_rows
        oddities.failed(odd_call(oddities, first=1_000 * number))
    assert oddities.are_rows
    lucky = Failing(is_backends=True)
    fails(oddities, lucky, load=7, sent_count=5_000)
    oddities.recovered(lucky)
    assert oddities.are_rows
    fails(oddities, lucky, load=7, sent_count=5_001)
    oddities.recovered(lucky)
    assert not oddities.are_rows


def poison(health, row):
    """A row that is answered 503 six times; how many tokens it took, after it has failed."""
    failing, before = Failing(is_backends=True), health.statistics().budget_tokens
    for turn in range(6):
        for other in range(10):
            well = Failing()
            health.ended(is_probe=health.sent(0.0, 1_000 + other))
            well.departs(health.sent_count, 7)
            health.succeeded(1_000 + other, retry_cost=0, failing=well)
        health.ended(is_probe=health.sent(0.0, row))
        failing.departs(health.sent_count, 7)
        failing.again(turn + 1, 0.0)
        cost = 0 if health.stumbled(row, failing) else POLICY.transient_cost
        assert health.pays(cost)
        failing.paid += cost
    health.failed(row, failing)
    return before - health.statistics().budget_tokens


def test_rows_that_break_the_server_by_503_do_not_use_up_its_budget():
    """The first two pay for their retries, less what others bring; those that follow nothing."""
    health = Health()
    taken = [poison(health, row) for row in range(10)]
    assert taken[:2] == pytest.approx([6 * POLICY.transient_cost - 50] * 2, abs=10)
    assert all(tokens <= 0 for tokens in taken[2:])
    assert health.statistics().budget_tokens >= POLICY.budget_tokens - 84
