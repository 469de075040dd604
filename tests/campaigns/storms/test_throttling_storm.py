"""Half an hour of 429, in every form in which servers say how long to stay away.

Goodput is what was admitted, as a share of what the server's bucket would have admitted at most. A
run of a minute and a half ends with rows that wait for long, having been turned away many times;
so there
it is taken when four rows in five are done.
"""

import pytest
from storm_kit import FORMS, Throttle, rows, run

from distilabel.testing import Latency

RATE_PER_S = 4.0
BURST = 12
PERMITS = 32


def storm(form, minutes: float, record_property):
    """A run that keeps a token bucket busy for so long."""
    server = Throttle(form, rate_per_s=RATE_PER_S, burst=BURST)
    source = rows(int(BURST + RATE_PER_S * minutes * 60))
    latency = Latency.lognormal(0.5, 0.6, seed=7)
    outcome = run(source, permits=PERMITS, script=server, latency=latency, ledger="counters")
    goodput = server.goodput(outcome.seconds)
    record_property("goodput", round(goodput, 3))
    record_property("share_throttled", round(server.share_throttled, 3))
    print(  # noqa: T201 - what `nox -s storms` is for
        f"{form.name:16} goodput {goodput:.3f}  throttled {server.share_throttled:.3f}  "
        f"{outcome.seconds:.0f} s"
    )
    assert outcome.error is None
    assert outcome.failed == []
    assert len(outcome.rows) == len(source)
    assert server.early == []
    return goodput, outcome


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_minute_and_a_half_of_throttling(form, record_property):
    """Nothing is sent before its time, no row fails, and the server's capacity is used."""
    _, outcome = storm(form, 1.5, record_property)
    done = len(outcome.rows) * 4 // 5
    assert done >= 0.9 * (BURST + RATE_PER_S * outcome.finished_s[done - 1])


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_half_an_hour_of_throttling(form, record_property):
    """Through 30 minutes of 429 nothing is sent too early, no row fails, goodput is over 90 %."""
    goodput, _ = storm(form, 30.0, record_property)
    assert goodput >= 0.9
