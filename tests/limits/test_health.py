"""A backend's health and a run's breaker: pure decisions over explicit times."""

import pytest

from distilabel.limits import Breaker, Company, Failing, Health, HealthPolicy

POLICY = HealthPolicy()


def _send(health, now=0.0, row=0):
    assert health.wait_s(now) == 0.0
    return health.sent(now, row)


def _drain(health):
    while health.pays(POLICY.transient_cost):
        pass


def test_a_pause_is_never_shortened():
    """A later, shorter throttle leaves the longer one standing."""
    health = Health()
    health.throttled(0.0, 10.0)
    health.throttled(1.0, 2.0)
    assert health.wait_s(9.0) == 1.0
    assert health.wait_s(10.0) == 0.0


def test_warming_lets_one_probe_through_at_a_time():
    """While a server starts, one attempt is tried and the rest wait; success frees all."""
    health = Health()
    assert health.warming(0.0, 5.0)
    assert health.wait_s(4.0) == 1.0
    is_probe = _send(health, 5.0)
    assert is_probe
    assert health.wait_s(5.0) == POLICY.poll_s
    health.ended(is_probe=True)
    assert health.warming(6.0, 5.0)
    _send(health, 11.0)
    health.ended(is_probe=True)
    health.succeeded(0, retry_cost=0)
    assert not health.is_probing
    assert health.wait_s(11.0) == 0.0


def test_an_attempt_from_before_does_not_make_room_for_a_second_probe():
    """Only the end of the probe itself lets the next probe go."""
    health = Health()
    before = _send(health)
    health.warming(0.0, 1.0)
    _send(health, 1.0)
    health.ended(is_probe=before)
    assert health.wait_s(1.0) == POLICY.poll_s


def test_warming_ends_after_half_an_hour():
    """A server that never comes up is given up."""
    health = Health()
    assert health.warming(0.0, 5.0)
    assert health.warming(1799.0, 5.0)
    assert not health.warming(1800.0, 5.0)


def test_the_budget_pays_35_transient_retries_and_no_more():
    """500 tokens at 14 a retry; what succeeds gives its cost back, a clean success gives 1."""
    health = Health()
    assert [health.pays(14) for _ in range(36)].count(True) == 35
    health.succeeded(0, retry_cost=28)
    assert health.statistics().budget_tokens == 10 + 28
    health.succeeded(0, retry_cost=0)
    assert health.statistics().budget_tokens == 39


def test_a_success_never_overfills_the_budget():
    """The budget has a ceiling."""
    health = Health()
    health.succeeded(0, retry_cost=100)
    assert health.statistics().budget_tokens == POLICY.budget_tokens


def test_a_success_gives_back_what_was_paid_until_it_was_sent():
    """The backend was well then, so that it was for rows' own failures; what came after is open."""
    health = Health()
    assert health.pays(14, since=1.0)
    assert health.pays(14, since=2.0)
    assert health.pays(14, since=3.0)
    assert health.pays(14)
    health.answered(4.0, 2.0, 1)
    assert health.statistics().budget_tokens == 500 - 2 * 14


def test_the_budget_never_has_more_than_its_ceiling():
    """Costs that a retry's success gave back already are not added to it once more."""
    health = Health()
    assert health.pays(14, since=1.0)
    health.succeeded(0, retry_cost=14)
    health.answered(4.0, 2.0, 1)
    assert health.statistics().budget_tokens == POLICY.budget_tokens


def _failing_first(health, *, sent, at):
    failing = Failing()
    health.sent(sent, 1)
    failing.departs(health.sent_count)
    failing.again(1, at)
    return failing


def test_a_first_failure_is_the_rows_own_if_an_attempt_sent_later_outlives_it_well():
    """The backend took another attempt after it, and answered that when this one had failed."""
    health = Health()
    failing = _failing_first(health, sent=0.0, at=2.0)
    assert not health.stumbled(1, failing)
    health.sent(0.0, 2)
    health.answered(2.0, 0.0, health.sent_count)
    assert health.stumbled(1, failing)
    failing.is_backends = True
    assert not health.stumbled(1, failing)


@pytest.mark.parametrize(("number", "came"), [(1, 3.0), (3, 1.9)])
def test_an_attempt_that_was_sent_before_or_was_back_before_tells_nothing(number, came):
    """The backend may have gone away after the one, and before the other was due."""
    health = Health()
    health.sent(0.0, 2)
    failing = _failing_first(health, sent=0.0, at=2.0)
    health.sent(0.0, 3)
    health.answered(came, 0.0, number)
    assert not health.stumbled(1, failing)


def test_of_the_answers_since_the_one_that_was_sent_last_counts():
    """Replies that come in another order than that of their requests are all looked at."""
    health = Health()
    failing = _failing_first(health, sent=0.0, at=2.0)
    for number, came in ((9, 1.0), (5, 2.0), (0, 3.0)):
        health.answered(came, 0.0, number)
    assert health.is_own(failing)


def test_a_probe_that_hangs_is_waited_for_no_longer_than_a_minute():
    """Then the next one goes, so that a server that is back is found in time."""
    health = Health()
    health.circuit_open(0.0)
    assert _send(health, 1.0)
    assert health.wait_s(60.9) == POLICY.poll_s
    assert health.wait_s(61.0) == 0.0
    assert _send(health, 61.0)
    health.ended(is_probe=True)
    assert health.wait_s(62.0) == POLICY.poll_s


def test_the_longer_a_circuit_is_open_the_more_rows_may_wait_beside_the_window():
    """Twice as many after each probe that failed: 8, 16, 32, 64; none while it is closed."""
    health, now, beside = Health(), 0.0, []
    assert health.aside_max == 0
    for _ in range(6):
        health.circuit_open(now)
        beside.append(health.aside_max)
        now += health.wait_s(now)
    assert beside == [8, 16, 32, 64, 64, 64]
    health.succeeded(0, retry_cost=0)
    assert health.aside_max == 0


def test_the_last_rows_try_once_more_all_at_once_when_its_time_is_over():
    """Nobody else will come, so that there is nothing to spare the backend for."""
    health = Health()
    _fail(health, 0.0, 1)
    _fail(health, 0.0, 2)
    health.circuit_open(0.0)
    assert not health.is_hopeless(Company(rows=3, is_last=True, window=3))
    assert not health.is_hopeless(Company(rows=2, is_last=False, window=3))
    assert health.is_hopeless(Company(rows=2, is_last=True, window=3))
    health.let_go()
    assert not health.circuit_open(1800.0)
    assert _send(health, 1800.0)
    assert health.wait_s(1800.0) == 0.0


def test_more_rows_than_a_run_has_in_hand_when_all_is_well_are_not_failed():
    """So many that fail alike are more likely to be the server's fault."""
    health = Health()
    for row in range(12):
        _fail(health, 0.0, row)
    assert not health.is_hopeless(Company(rows=12, is_last=True, window=3))
    assert health.is_hopeless(Company(rows=12, is_last=True, window=4))


def test_an_open_circuit_probes_at_growing_distances_up_to_a_minute():
    """Probes after 1, 2, 4 … 60 s; half an hour without a success gives the server up."""
    health, now, waits = Health(), 0.0, []
    _drain(health)
    while health.circuit_open(now):
        waits.append(health.wait_s(now))
        now += waits[-1]
        health.ended(is_probe=_send(health, now))
    assert waits[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(waits[7:]) == {60.0}
    assert 1800 <= now < 1860


def test_failures_of_what_was_in_flight_do_not_lengthen_the_first_wait():
    """Sixty attempts that fail together open the circuit once."""
    health = Health()
    _drain(health)
    for _ in range(60):
        health.circuit_open(0.01)
    assert health.wait_s(0.01) == pytest.approx(1.0)


def test_one_success_closes_the_circuit():
    """The first success ends probing at once, without waiting the rest of the pause."""
    health = Health()
    _drain(health)
    health.circuit_open(0.0)
    health.succeeded(0, retry_cost=0)
    assert health.wait_s(0.0) == 0.0


def test_another_rows_success_makes_a_403_its_rows_own():
    """A key that works for another row is not at fault."""
    health = Health()
    health.ended(is_probe=_send(health, 0.0, row=1))
    assert health.suspect(0.0, row=1) == "open"
    health.ended(is_probe=_send(health, 0.1, row=2))
    health.succeeded(2, retry_cost=0)
    assert health.verdict(0.2) == "row"


def test_another_rows_equal_failure_makes_it_everybodys():
    """Two rows refused in the same way: it is the key."""
    health = Health()
    assert health.suspect(0.0, row=1) == "open"
    assert health.suspect(0.1, row=2) == "run"
    assert health.verdict(0.2) == "run"


def test_a_row_that_is_alone_decides_about_itself():
    """With nobody else calling, the same row is tried again, and its second failure decides."""
    health = Health()
    assert health.suspect(0.0, row=1) == "open"
    assert health.verdict(0.4) == "open"
    assert health.verdict(0.5) == "alone"
    assert health.suspect(0.6, row=1) == "run"


def test_a_slow_neighbour_is_waited_for():
    """While another row's attempt is in flight, the suspect is not alone."""
    health = Health()
    _send(health, 0.0, row=2)
    health.suspect(0.0, row=1)
    assert health.verdict(60.0) == "open"


def test_acquitted_means_forgotten():
    """After a verdict the next 403 is judged afresh."""
    health = Health()
    health.suspect(0.0, row=1)
    health.suspect(0.0, row=2)
    health.acquit()
    assert not health.is_probing
    assert health.suspect(1.0, row=3) == "open"


TWO = Company(rows=2, may_be_joined=False, is_last=True)
MORE = Company(rows=2, may_be_joined=True, is_last=False)
FAILING = Failing(first=10.0, since=12.0)


def _fail(health, now, row):
    _send(health, now, row)
    health.ended(is_probe=False)
    health.stumbled(row, Failing())


def _succeed(health, now, row):
    _send(health, now, row)
    health.answered(now, now, health.sent_count)
    health.ended(is_probe=False)
    health.succeeded(row, retry_cost=0)


def test_a_success_that_was_sent_since_makes_the_failure_the_rows_own():
    """One that was sent before tells nothing: the backend may have gone away after it."""
    health = Health()
    _succeed(health, 11.0, 2)
    _fail(health, 20.0, 1)
    assert health.is_to_blame(20.0, FAILING, MORE) is None
    _succeed(health, 20.0, 3)
    assert health.is_to_blame(21.0, FAILING, MORE) is True


def test_another_row_that_stumbles_too_makes_it_the_backend():
    """Once nothing is under way that might succeed."""
    health = Health()
    _fail(health, 20.0, 1)
    _fail(health, 20.0, 2)
    health.sent(20.0, 3)
    assert health.is_to_blame(20.0, FAILING, MORE) is None
    health.ended(is_probe=False)
    assert health.is_to_blame(20.0, FAILING, MORE) is False


def test_a_row_without_others_is_its_own_judge():
    """Alone in its run, or with one whose way here is longer than a minute."""
    health = Health()
    _fail(health, 20.0, 1)
    assert health.is_to_blame(20.0, FAILING, Company()) is True
    assert health.is_to_blame(20.0, FAILING, TWO) is None
    assert health.is_to_blame(20.0 + POLICY.other_row_max_s, FAILING, TWO) is True


def test_where_no_fresh_row_may_come_its_first_failure_counts():
    """A success after that one is the last that there will be."""
    health = Health()
    _succeed(health, 11.0, 3)
    _fail(health, 20.0, 1)
    _fail(health, 20.0, 2)
    assert health.is_to_blame(20.0, FAILING, TWO) is True
    assert health.is_to_blame(20.0, FAILING, MORE) is False


def test_a_row_that_has_failed_says_nothing_about_the_backend():
    """Who stumbles after it is the only one that does."""
    health = Health()
    _fail(health, 20.0, 1)
    _fail(health, 20.0, 2)
    health.failed(1)
    assert health.is_to_blame(20.0, FAILING, Company()) is True


def test_two_failures_may_be_by_chance():
    """From the second on what fails is taken for failing."""
    failing = Failing()
    for times, now in ((1, 1.0), (2, 2.0), (3, 3.0)):
        failing.again(times, now)
    assert (failing.first, failing.since) == (1.0, 2.0)
    failing.again(1, 9.0)
    assert (failing.first, failing.since) == (1.0, 9.0)


def test_twenty_equal_failures_trip_the_breaker():
    """The twentieth equal failure without a success stops the run."""
    breaker = Breaker()
    trips = [breaker.failed("context_length", row) for row in range(20)]
    assert trips == [False] * 19 + [True]


def test_a_success_or_another_cause_begins_the_count_anew():
    """Failures that differ, or that successes interrupt, are rows' own."""
    breaker = Breaker()
    for row in range(19):
        breaker.failed("context_length", row)
    breaker.succeeded(19)
    assert not breaker.failed("context_length", 20)
    for row, cause in enumerate(["a", "b"] * 40, start=21):
        assert not breaker.failed(cause, row)


def test_rows_that_were_overtaken_are_not_counted_as_in_a_row():
    """Those that are tried again and again are done long after the ones behind them went well."""
    breaker = Breaker()
    breaker.succeeded(100)
    assert not any(breaker.failed("http_500", row) for row in range(100))
    assert [breaker.failed("http_500", row) for row in range(101, 121)].index(True) == 19


def test_more_than_half_of_the_last_200_trips_the_breaker():
    """A run that mostly fails stops, however the failures are spread."""
    breaker = Breaker()
    trips = []
    for number in range(400):
        if number % 3 == 0:
            breaker.succeeded(number)
        else:
            trips.append(breaker.failed(f"cause {number % 2}", number))
    assert trips.count(True) > 0
    assert trips.index(True) >= 130


def test_a_judge_that_never_keeps_to_its_form_is_found_out_at_the_twentieth():
    """Also if one reply of its first ones could be used by chance."""
    for lucky in (None, 7):
        breaker = Breaker()
        trips = [
            breaker.succeeded(row)
            if row == lucky
            else breaker.failed("section_missing", row, is_of_text=True)
            for row in range(21)
        ]
        assert trips.index(True) == (19 if lucky is None else 20)


def test_odd_rows_together_do_not_trip_the_breaker_of_a_judge_that_does_well():
    """Not before they are more than half of the last 200, as with every other failure."""
    breaker = Breaker()
    for row in range(150):
        breaker.succeeded(row)
    trips = [breaker.failed("section_missing", row, is_of_text=True) for row in range(150, 300)]
    assert trips.index(True) == 100


def test_what_a_task_cannot_use_says_nothing_of_the_server():
    """It stands between failures of calls as a reply that came."""
    breaker = Breaker()
    for row in range(10):
        breaker.succeeded(row)
    for row in range(10, 90):
        is_of_text = row % 20 == 9
        assert not breaker.failed("http_500", row, is_of_text=is_of_text)


def test_one_in_a_hundred_never_trips_the_breaker():
    """Failures of single rows do not stop a run."""
    breaker = Breaker()
    for number in range(10_000):
        if number % 100 == 0:
            assert not breaker.failed("context_length", number)
        else:
            breaker.succeeded(number)
