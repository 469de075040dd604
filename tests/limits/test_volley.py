"""What the first replies of a server tell: a queue, or none."""

import random

import pytest

from distilabel.limits import Adaptive
from distilabel.limits.volley import Places, Volley

SENT = 64


def queued(volley: Volley, places: int, replies: int, seconds: float = 1.0) -> list[object]:
    """Replies of a server with so many places; what the volley says to each."""
    said = []
    for number in range(1, replies + 1):
        now = seconds * ((number - 1) // places + 1)
        said.append(volley.replied(number, now, now, SENT - number + 1))
    return said


@pytest.mark.parametrize("places", [1, 2, 4, 8])
def test_a_queue_is_seen_in_its_first_replies(places):
    """A quarter of a volley tells a queue, and the limit on trial is below the places."""
    volley = Volley()
    said = queued(volley, places, 16)
    assert said[:-1] == [None] * 15
    assert 1 <= said[-1] <= places
    assert volley.is_trying


@pytest.mark.parametrize("places", [1, 4, 8])
def test_the_trial_tells_the_places(places):
    """Replies a second while it queued, times what a reply takes alone, are the places."""
    volley = Volley()
    queued(volley, places, SENT)
    verdict = None
    while verdict is None or isinstance(verdict, float):  # a number is a smaller trial
        verdict = volley.tried(1.0, 100.0)
    assert isinstance(verdict, Places)
    assert verdict.places == pytest.approx(places, rel=0.1)
    assert verdict.replies[0] == (1.0, 100.0)


def test_a_trial_that_queues_itself_is_made_again_with_less():
    """Where fewer places are found than the limit on trial would need, half of it is tried."""
    volley = Volley()
    limit = queued(volley, 8, SENT)[15]
    verdict = None
    while verdict is None:
        verdict = volley.tried(limit / 8 * 0.9, 100.0)
    assert verdict == limit // 2


def test_replies_that_stay_slow_were_no_queue():
    """If a reply of the trial takes as long as one of the volley, the volley is free."""
    volley = Volley()
    queued(volley, 1, SENT)
    verdict = None
    while verdict is None:
        verdict = volley.tried(60.0, 100.0)
    assert verdict == "free"


def test_late_requests_that_are_answered_first_set_it_free():
    """Where replies come in no order, a few of them show that more than half are served."""
    order = random.Random(1).sample(range(1, SENT + 1), 10)
    volley = Volley()
    said = [volley.replied(number, 0.3, 0.3, SENT - n) for n, number in enumerate(order)]
    assert "free" in said


def test_replies_in_order_that_all_take_the_same_set_it_free():
    """In order, and each as long as the first: nothing queues, as the last of them show."""
    volley = Volley()
    said = [volley.replied(number, 1.0, 1.0, SENT) for number in range(1, 97)]
    assert said == [None] * 95 + ["free"]


def test_a_client_that_is_slow_itself_is_no_queue():
    """Replies that come within milliseconds tell of this process, not of a server."""
    volley = Volley()
    assert not any(isinstance(said, float) for said in queued(volley, 1, SENT, seconds=0.001))


def test_a_client_that_is_held_up_all_the_time_finds_nothing_and_goes_on():
    """Replies of which nothing is known do not hold the limit for good, nor leave it on trial."""
    held, tried = Adaptive(256), Adaptive(256)
    for adaptive in (held, tried):
        adaptive.sent(0.0)
        adaptive.tick(0.5)
    attempts = [tried.sent(0.0) for _ in range(63)]
    for number, sent in enumerate(attempts[:16], start=1):
        tried.ended()
        tried.succeeded(sent, 1.0 * number, 100.0)
    assert tried.limit == 1
    for adaptive in (held, tried):
        for _ in range(96):
            sent = adaptive.sent(70.0)
            adaptive.ended()
            adaptive.succeeded(sent, None, 100.0)
    assert held.is_ramping
    assert tried.limit == 64
