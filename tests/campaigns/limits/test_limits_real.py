"""The adaptive limit in real time over HTTP; everything is read from the endpoint's ledger."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from distilabel.pipeline import Pipeline
from distilabel.testing import Latency, Status

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "_adaptive_real.py"
WAIT_S = 0.5
ON_ITS_WAY_S = WAIT_S / 2
"""What was sent before a refusal was read may arrive for so long after it."""


@pytest.fixture(scope="module")
def real() -> ModuleType:
    """`benchmarks/_adaptive_real.py` as a module."""
    spec = importlib.util.spec_from_file_location("_adaptive_real", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_a_quota_is_followed_for_seconds(real):
    """The short form: a quota that halves and returns within ten seconds is roughly followed."""
    run = real.real_quota(rate=60.0, burst=60.0, warm_s=3.0, phase_s=2.5, num_threads=128)
    assert run.goodput >= 0.6
    assert run.throttled <= 0.15


def test_nothing_is_sent_before_retry_after_has_passed(serve, writer):
    """After each 429, no request but those on their way arrives until its time is over."""
    chance = random.Random(5)
    refused = {chance.randrange(50, 1500) for _ in range(6)}

    def script(request):
        return Status(429, retry_after_s=WAIT_S) if request.index in refused else None

    endpoint = serve(latency=Latency.lognormal(0.1, 0.6, 1), script=script)
    rows = [{"input": f"prompt {number}"} for number in range(1500)]
    dataset = Pipeline(writer(endpoint, num_threads=64)).generate(
        rows, enable_checkpoints=False, verbose=False
    )
    assert dataset.run.rows_failed == 0
    calls = endpoint.ledger.calls
    pauses = [call for call in calls if call.status == 429]
    assert len(pauses) >= 4
    for pause in pauses:
        begin, end = pause.finished_s + ON_ITS_WAY_S, pause.finished_s + WAIT_S
        assert not [call for call in calls if begin < call.arrived_s < end]


@pytest.mark.campaign
@pytest.mark.parametrize(("rate", "burst"), [(40.0, 40.0), (100.0, 100.0), (60.0, 6.0)])
def test_a_quota_that_halves_and_returns(real, rate, burst):
    """Within a tenth of an oracle's goodput, at most 3 % throttled after the first minute."""
    run = real.real_quota(rate=rate, burst=burst, warm_s=60.0, phase_s=60.0, num_threads=256)
    assert run.goodput >= 0.9
    assert run.throttled <= 0.03


@pytest.mark.campaign
@pytest.mark.parametrize("slots", [8, 16, 64])
def test_a_queue_stays_short(real, slots):
    """Latency within 1.5 times that of an idle server, at 95 % of its throughput."""
    run = real.real_queue(slots=slots, warm_s=60.0, seconds=120.0, num_threads=256)
    assert run.latency <= 1.5
    assert run.throughput >= 0.95


@pytest.mark.campaign
def test_a_queue_of_four_slots_stays_short(real):
    """Of few slots: 1.75 times and 90 %, as two minutes of them draw few latencies."""
    run = real.real_queue(slots=4, warm_s=60.0, seconds=120.0, num_threads=256)
    assert run.latency <= 1.75
    assert run.throughput >= 0.9
