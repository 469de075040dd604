"""The adaptive limit: its rules one by one, and what they come to against simulated servers."""

from itertools import pairwise

import pytest

from distilabel.limits import Adaptive, AdaptivePolicy
from distilabel.limits.volley import Places, VolleyPolicy

SECONDS = 0.5
"""A reply."""


def grown(ceiling: int) -> Adaptive:
    """A limit that is at its ceiling, and has seen nothing yet."""
    return Adaptive(ceiling, policy=AdaptivePolicy(start=ceiling))


def fill(adaptive: Adaptive, now: float = 1.0) -> list:
    """As many attempts as may be under way."""
    return [adaptive.sent(now) for _ in range(adaptive.limit - adaptive.statistics().in_flight)]


def succeed(adaptive: Adaptive, sent, seconds: float = SECONDS) -> None:
    """One attempt ends well."""
    adaptive.ended()
    adaptive.succeeded(sent, seconds, 100.0)


def refuse(adaptive: Adaptive, sent, now: float = 1.0) -> None:
    """One attempt is refused."""
    adaptive.ended()
    adaptive.refused(now, sent)


def clean_round(adaptive: Adaptive, rounds: int = 1) -> list[int]:
    """Rounds in which all that may be sent is sent, and succeeds; the limit after each."""
    limits = []
    for _ in range(rounds):
        for sent in fill(adaptive):
            succeed(adaptive, sent)
        limits.append(adaptive.limit)
    return limits


def refused_once(ceiling: int) -> Adaptive:
    """A limit that was refused one request, and nothing is under way."""
    adaptive = grown(ceiling)
    attempts = fill(adaptive)
    refuse(adaptive, attempts.pop())
    for sent in attempts:
        succeed(adaptive, sent)
    return adaptive


def test_it_starts_with_eight():
    """Before anything is known eight may be under way, or the ceiling if that is lower."""
    assert Adaptive(100).limit == 8
    assert Adaptive(3).limit == 3


def test_the_first_reply_is_waited_for_with_64_but_not_for_long():
    """Where no reply comes in 0.75 s the limit doubles on, up to its ceiling."""
    adaptive = Adaptive(300)
    adaptive.sent(0.0)
    limits = {}
    for step in range(1, 40):
        adaptive.tick(step * 0.025)
        limits[step * 25] = adaptive.limit
    assert (limits[100], limits[725], limits[900]) == (64, 64, 300)


def test_it_doubles_by_the_clock_and_is_held_at_64_until_a_reply():
    """Each 25 ms double the limit up to 64, and on when a late request was answered first."""
    adaptive = Adaptive(100)
    adaptive.sent(0.0)
    limits = []
    for step in range(1, 6):
        adaptive.tick(step * 0.0251)
        limits.append(adaptive.limit)
    assert limits == [16, 32, 64, 64, 64]
    succeed(adaptive, fill(adaptive, 0.15)[-1])
    assert adaptive.is_ramping
    adaptive.tick(0.2)
    adaptive.tick(0.3)
    assert adaptive.limit == 100
    assert not adaptive.is_ramping


def test_without_a_ceiling_of_the_users_replies_decide_beyond_64():
    """The clock takes the limit to 64 at most; from there each success adds one."""
    adaptive = Adaptive(10_000, ramp_to=64)
    adaptive.sent(0.0)
    adaptive.tick(60.0)
    assert adaptive.limit == 64
    attempts = fill(adaptive)
    for sent in attempts[:-10:-1]:
        succeed(adaptive, sent)
        fill(adaptive)
    assert adaptive.limit == 73


def test_it_does_not_grow_when_it_is_not_used():
    """Ten successes one after another need no more than one permit, and get no more."""
    adaptive = Adaptive(10_000, ramp_to=8)
    for _ in range(10):
        succeed(adaptive, adaptive.sent(1.0))
    assert adaptive.limit == 8


def test_one_volley_of_refusals_is_one_cut():
    """Of all that was sent before a cut, no refusal counts as another one."""
    adaptive = grown(100)
    attempts = fill(adaptive)
    for sent in attempts[:20]:
        succeed(adaptive, sent)
    for sent in attempts[20:40]:
        refuse(adaptive, sent)
    assert adaptive.statistics().cuts == 1
    assert (
        60 <= adaptive.limit <= 70
    )  # 60 were left standing; paced, a quarter more may be under way


def test_the_first_volley_cuts_to_what_is_left_standing():
    """Of 256 at once the server took 40: that is about what it can take."""
    adaptive = grown(256)
    for sent in fill(adaptive)[40:]:
        refuse(adaptive, sent)
    assert 36 <= adaptive.limit <= 40


def test_a_later_volley_leaves_most_of_the_limit():
    """However many refusals a volley has, at least 0.7 of the limit is left of it."""
    adaptive = refused_once(100)
    before = clean_round(adaptive)[-1]
    for sent in fill(adaptive)[1:]:
        refuse(adaptive, sent)
    assert adaptive.statistics().cuts == 2
    assert adaptive.limit >= 0.7 * before - 1


def test_a_refusal_from_before_the_cut_says_nothing():
    """Refusals of requests that were sent two cuts ago change nothing."""
    adaptive = grown(100)
    old, *others = fill(adaptive)
    refuse(adaptive, others.pop())
    refuse(adaptive, adaptive.sent(1.0))
    before = adaptive.statistics()
    refuse(adaptive, old)
    after = adaptive.statistics()
    assert (after.cuts, after.limit) == (before.cuts, before.limit)


def test_it_grows_again_slowly_then_faster():
    """Clean rounds after a second volley give back ever more, at most a quarter at once."""
    adaptive = refused_once(1000)
    for sent in fill(adaptive)[500:]:
        refuse(adaptive, sent)
    limits = clean_round(adaptive, 30)
    steps = [after / before for before, after in pairwise(limits)]
    assert limits == sorted(limits)
    assert max(steps) <= 1.26
    assert min(steps[:10]) < 1.02
    assert limits[-1] == 1000


def test_after_a_refusal_attempts_leave_one_by_one():
    """Once refused, attempts leave at even distances, after a long pause too."""
    adaptive = grown(100)
    attempts = fill(adaptive)
    for sent in attempts[:50]:
        succeed(adaptive, sent)
    refuse(adaptive, attempts[50])
    for sent in attempts[51:]:
        succeed(adaptive, sent)
    clean_round(adaptive)
    rate = adaptive.statistics().rate_per_s
    assert rate is not None
    now = 100.0  # after a pause
    left = []
    while len(left) < 10:
        now += adaptive.wait_s(now)
        adaptive.sent(now)
        left.append(now)
    distances = [after - before for before, after in pairwise(left)]
    assert distances == pytest.approx([1 / rate] * 9)


def test_without_a_refusal_nothing_is_paced():
    """A limit that was never refused sends as fast as it may."""
    adaptive = grown(100)
    for _ in fill(adaptive):
        assert adaptive.wait_s(1.0) == 0.0


def test_replies_that_take_no_time_are_no_trouble():
    """Where a virtual clock stands still, refusals and successes are counted all the same."""
    adaptive = grown(64)
    attempts = fill(adaptive)
    refuse(adaptive, attempts.pop())
    for sent in attempts:
        succeed(adaptive, sent, 0.0)
    for _ in range(20):
        for sent in fill(adaptive):
            succeed(adaptive, sent, 0.0)
    assert adaptive.limit == 64


def test_too_few_file_descriptors_lower_the_ceiling():
    """When there is none for a connection, no more are opened than there are, from then on."""
    adaptive = grown(256)
    attempts = fill(adaptive)
    for _ in attempts[30:]:
        adaptive.ended()
    adaptive.starved()
    assert adaptive.limit == adaptive.ceiling == 30
    for sent in attempts[:30]:
        succeed(adaptive, sent)
    assert clean_round(adaptive, 30)[-1] == 30


@pytest.mark.parametrize("limit", [1, 2, 4])
@pytest.mark.parametrize("slowdown", [10.0, 1000.0])
def test_slow_replies_starve_no_small_limit(limit, slowdown):
    """At limits of 1 to 4 replies may take a thousand times as long: all permits stay."""
    adaptive = Adaptive(limit)
    clean_round(adaptive, 20)
    for _ in range(500):
        for sent in fill(adaptive):
            succeed(adaptive, sent, SECONDS * slowdown)
    assert adaptive.limit == limit


def test_a_server_that_became_slower_is_not_starved():
    """Replies that stay slow at a lower limit give the limit back."""
    adaptive = grown(64)
    clean_round(adaptive, 20)
    for _ in range(40):
        for sent in fill(adaptive):
            succeed(adaptive, sent, 3 * SECONDS)
    assert adaptive.limit == 64


def test_a_slow_first_reply_does_not_blind_the_guard(simulation):
    """After a start with replies ten times too slow, a queue is found all the same."""
    guard = Adaptive(64).guard
    for _ in range(16):
        guard.note(8, 10.0, 100.0, 64.0)
    for _ in range(1000):
        assert guard.note(60, 1.0, 100.0, 64.0) is None
    found = [guard.note(64, 3.0, 100.0, 64.0) for _ in range(400)]
    assert any(limit is not None and limit < 40 for limit in found)


@pytest.mark.parametrize(
    ("places", "limit", "toll", "said"),
    [
        (4.0, 6.0, 1.25, 5.0),  # nearer to a queue of 6 at 4 than to none
        (4.0, 6.0, 1.2, None),
        (4.0, 5.0, 1.25, None),  # it did not grow
        (2.0, 3.0, 1.25, None),  # too few to do without one
        (12.0, 17.0, 1.25, None),
    ],
)
def test_growth_beyond_few_places_is_taken_back(places, limit, toll, said):
    """Where replies show that one more of few only queues, the limit is what it was before."""
    guard = Adaptive(64).guard
    guard.begin(Places(places, ((1.0, 100.0),) * 48))
    found = [guard.note(int(limit), toll, 100.0, limit) for _ in range(140)]
    assert [each for each in found if each is not None] == ([] if said is None else [said])


def test_numbers_that_no_user_may_break_are_the_documented_ones():
    """The start, the cuts and the growth are those of the design page."""
    policy, volley = AdaptivePolicy(), VolleyPolicy()
    assert (policy.start, policy.cut, policy.growth_max) == (8, 0.9, 0.25)
    assert (volley.held_at, volley.replies_min, volley.growth_min) == (64, 16, 1.5)


# Against the simulated servers of benchmarks/adaptive.py.


@pytest.mark.parametrize("rate", [20.0, 100.0])
@pytest.mark.parametrize("burst", [0.0, 1.0, 10.0])
def test_a_quota_that_halves_and_returns_is_followed(simulation, rate, burst):
    """Within a tenth of an oracle's goodput, at most 3 % throttled after the first minute."""
    server = simulation.Server("quota", rate=rate, burst=burst)
    run = simulation.quota_run(server, Adaptive(512), 60.0, seed=11)
    assert run.goodput >= 0.85 if burst == 0.0 and rate < 50 else run.goodput >= 0.9
    assert run.throttled <= 0.03


@pytest.mark.parametrize("slots", [16, 32, 64])
@pytest.mark.parametrize("tokens_sigma", [0.0, 1.0])
def test_a_queue_is_found_and_the_server_kept_busy(simulation, slots, tokens_sigma):
    """Latency within 1.5 times an idle server's at 95 % of its throughput (90 for odd lengths)."""
    server = simulation.Server("slots", slots=slots, tokens_sigma=tokens_sigma)
    runs = [simulation.queue_run(server, Adaptive(256), 240.0, seed) for seed in (21, 22, 23)]
    assert sum(run.latency for run in runs) / 3 <= 1.5
    assert sum(run.throughput for run in runs) / 3 >= (0.95 if tokens_sigma == 0.0 else 0.9)


@pytest.mark.parametrize(
    ("slots", "ceiling"),
    [
        *((slots, ceiling) for slots in (1, 2, 4, 8) for ceiling in (16, 64, None)),
        (4, 256),
        (8, 256),
    ],
)
def test_few_slots_are_found_within_a_minute(simulation, slots, ceiling):
    """Of whatever ceiling, latency is within 1.5 times an idle server's at 95 % of what it can."""
    server = simulation.Server("slots", slots=slots)
    runs = []
    for seed in (21, 22, 23, 24):
        limit = Adaptive(10_000, ramp_to=64) if ceiling is None else Adaptive(ceiling)
        runs.append(simulation.queue_run(server, limit, 300.0, seed))
    # One call at a time, on its way for 20 ms, keeps a slot busy for 0.97 of the time at most.
    at_most = server.mean_s / (server.mean_s + 0.02)
    assert sum(run.latency for run in runs) / 4 <= 1.5
    assert sum(run.throughput for run in runs) / 4 >= 0.95 * at_most


def test_at_four_slots_no_run_stays_above(simulation):
    """Runs whose limit grew by chance come back below 1.5 times an idle server's latency."""
    server = simulation.Server("slots", slots=4)
    for seed in (504, 511, 517, 556):  # 1.52 to 1.64, when growth was only stopped
        run = simulation.queue_run(server, Adaptive(256), 240.0, seed)
        assert run.latency <= 1.5
        assert run.throughput >= 0.93


@pytest.mark.parametrize("sigma", [0.0, 0.2, 0.6])
def test_where_nothing_queues_the_ceiling_is_reached_within_seconds(simulation, sigma):
    """Replies of scattered and of like lengths let the limit double on, and nothing is cut."""
    server = simulation.Server("no queue", sigma=sigma)
    for seed in (31, 32, 33):
        counts = simulation.Scenario(server, Adaptive(256), 5.0, seed).run()
        limits = [limit for _, limit in counts.limits]
        assert limits == sorted(limits)
        assert limits[-1] == 256


@pytest.mark.parametrize("tokens_sigma", [0.0, 1.0])
def test_noise_alone_costs_little(simulation, tokens_sigma):
    """Where nothing queues, lognormal latencies (sigma 0.6) cost at most 5 % of the throughput."""
    server = simulation.Server("slots", slots=1000, tokens_sigma=tokens_sigma)
    for seed in (31, 32, 33):
        adaptive = simulation.queue_run(server, Adaptive(64), 300.0, seed)
        fixed = simulation.queue_run(server, simulation.Fixed(64), 300.0, seed)
        assert adaptive.throughput >= 0.95 * fixed.throughput
