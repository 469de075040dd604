"""A script that is stopped by SIGINT or SIGTERM sends nothing more, and ends as the signal would.

The script calls `generate` and is started by a shell, whose exit status is looked at. Signals fall
anywhere from the call on: while the journal is opened, while rows are bought, while the data set is
built. Arrival at the endpoint and signals are told by the same clock, the machine's monotonic one.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, replace
from statistics import mean, quantiles
from typing import TYPE_CHECKING

import anyio
import pytest
from crash_child import Job
from crash_kit import Chain, Child, look_at, publish, run_directory, settled, table, undisturbed

from distilabel.errors import ConfigurationError
from distilabel.pipeline import Pipeline
from distilabel.pipeline.run import DRAIN_MAX_S
from distilabel.testing import Latency, SimulatedEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crash_kit import Ended

    from distilabel.testing import EndpointProcess

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
LATE_MAX_S = 0.1
LATE_UNDER_COVERAGE_S = 1.0
"""For the short form, beside everything else on a small machine; the campaign keeps the promise."""
SPREAD_S = 2.5
"""Signals fall within so long after the call."""
both_signals = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"]
)


@dataclass(slots=True)
class Stop:
    """One signal, and what came of it."""

    sent_s: float
    until_s: float
    """When the endpoint's next child was started: what arrived before that is of this one."""
    drain_s: float
    """From the signal to the end of the process."""
    late_s: float = 0.0
    """How long after the signal the last call arrived; 0: none did."""


class Script:
    """A script that calls `generate`, under a shell."""

    def __init__(self, job: Job) -> None:
        self.child = Child(replace(job, mode="generate"), in_shell=True)
        assert self.child.wait_for(1), self.child.end().said
        self.pid = int(self.child.first_line())

    def send(self, number: int) -> float:
        """Send a signal to the script, not to its shell; when that was."""
        sent_s = time.monotonic()
        os.kill(self.pid, number)
        return sent_s

    def end(self) -> Ended:
        """Wait for its end."""
        return self.child.end()


def stop(chain: Chain, number: int, chance: random.Random) -> Stop | None:
    """One round of a chain, stopped somewhere; None: it was done before the signal."""
    script = Script(chain.job)
    script.child.wait_over(chance.uniform(0.0, SPREAD_S))
    if script.child.is_over:
        chain.note("end", script.end(), skipping=1)
        return None
    sent_s = script.send(number)
    ended = script.end()
    assert ended.status == STATUS[signal.Signals(number)], (ended.status, ended.said)
    look = chain.note("stopped", ended, skipping=1)
    assert look.in_flight == 0
    return Stop(sent_s, time.monotonic(), ended.ended_s - sent_s)


def campaign(
    number: int,
    *,
    stops: int,
    rows: int,
    latency: Latency,
    seed: int,
    late_max_s: float = LATE_MAX_S,
) -> list[Stop]:
    """So many signals, over as many chains as that takes."""
    chance = random.Random(seed)
    found: list[Stop] = []
    with SimulatedEndpoint.process(latency=latency, seed=seed) as endpoint:
        reference = undisturbed(Job(endpoint.openai_url, rows))
        while len(found) < stops:
            endpoint.reset()
            some: list[Stop] = []
            with run_directory() as directory:
                job = Job(endpoint.openai_url, rows, str(directory))
                chain = Chain(job, endpoint, reference)
                while len(found) + len(some) < stops and not chain.is_finished:
                    stopped = stop(chain, number, chance)
                    some += [] if stopped is None else [stopped]
                chain.finish(reads_again=False)
            measure(some, endpoint, late_max_s)
            found += some
    return found


def measure(stops: Sequence[Stop], endpoint: EndpointProcess, late_max_s: float) -> None:
    """When the last call of each round arrived; and that nothing was paid twice in the chain."""
    report = settled(endpoint)
    assert report.paid == report.delivered == report.requests
    assert len({call.body_hash for call in report.calls}) == report.paid, "bought twice"
    for one in stops:
        after = [c.arrived_s - one.sent_s for c in report.calls if c.arrived_s < one.until_s]
        one.late_s = max(0.0, *after, 0.0)
        assert one.late_s < late_max_s, f"a call was sent {one.late_s * 1e3:.0f} ms after a signal"


def report(found: dict[str, list[Stop]], title: str) -> str:
    """How soon each signal took effect."""
    heads = (
        "signal",
        "times",
        "calls that arrived later: runs",
        "latest, ms after",
        "bought twice",
        "end after, mean s",
        "p95",
        "max",
    )
    lines = [
        (
            name,
            len(stops),
            sum(one.late_s > 0 for one in stops),
            max(one.late_s for one in stops) * 1e3,
            0,
            f"{mean(one.drain_s for one in stops):.2f}",
            f"{quantiles([one.drain_s for one in stops], n=20)[-1]:.2f}",
            f"{max(one.drain_s for one in stops):.2f}",
        )
        for name, stops in found.items()
    ]
    return table(title, heads, lines)


@both_signals
def test_a_script_is_stopped_and_goes_on(number):
    """After a signal at a random moment nothing is sent, and later nothing is bought twice."""
    latency = Latency.lognormal(0.05, 0.6, 5)
    found = campaign(
        number,
        stops=1,
        rows=200,
        latency=latency,
        seed=5,
        late_max_s=LATE_UNDER_COVERAGE_S,
    )
    assert len(found) == 1


@pytest.mark.campaign
def test_two_hundred_signals_waste_nothing():
    """100 SIGINT and 100 SIGTERM: nothing is sent 100 ms later, nothing is bought twice."""
    seed, rows = 130_143, 1_000
    latency = Latency.lognormal(0.05, 0.6, seed)
    found = {
        number.name: campaign(number, stops=100, rows=rows, latency=latency, seed=seed + number)
        for number in STATUS
    }
    assert [len(stops) for stops in found.values()] == [100, 100]
    publish("signals", report(found, f"Signals, runs of {rows:,} rows, seed {seed}"))


@both_signals
def test_a_second_signal_drops_what_is_in_flight(number):
    """The run ends without the calls, and its journal says what may be paid for again."""
    slow = Latency.constant(60.0)
    with SimulatedEndpoint.process(latency=slow) as endpoint, run_directory() as directory:
        script = Script(Job(endpoint.openai_url, 100, str(directory), threads=8))
        wait_for(endpoint, requests=8)
        first_s = script.send(number)
        script.child.wait_said("stopping:")  # two that come before the first is heard are one
        wait_for(endpoint, requests=8, for_s=0.2)
        assert not script.child.is_over
        script.send(number)
        ended = script.end()
        assert ended.status == STATUS[number]
        # Neither the calls' 60 s nor the patience of the first signal; 2 s on an idle machine.
        assert ended.ended_s - first_s < DRAIN_MAX_S
        assert "waiting for 8 calls in flight" in ended.said
        assert look_at(directory).in_flight == 8
        assert endpoint.ledger.requests == 8


@both_signals
def test_a_third_signal_exits_at_once(number):
    """Not even a disk that takes its time keeps the third one up."""
    slow = Latency.constant(60.0)
    with SimulatedEndpoint.process(latency=slow) as endpoint, run_directory() as directory:
        script = Script(Job(endpoint.openai_url, 100, str(directory), closing_s=9.0, threads=8))
        wait_for(endpoint, requests=8)
        for heard in ("stopping:", "slow: close"):
            script.send(number)
            script.child.wait_said(heard)  # two that come before the first is heard are one
            assert not script.child.is_over
        third_s = script.send(number)
        ended = script.end()
        assert ended.status == STATUS[number]
        assert ended.ended_s - third_s < 4.0  # of 9; half a second on an idle machine


@both_signals
def test_a_signal_is_not_swallowed_while_the_data_set_is_built(number):
    """There is nothing to be stopped any more, and the script ends all the same, at no cost."""
    with SimulatedEndpoint.process() as endpoint, run_directory() as directory:
        job = Job(endpoint.openai_url, 20, str(directory), building_s=2.0)
        script = Script(job)
        wait_for(endpoint, requests=40)
        script.child.wait_said("slow: build")
        script.send(number)
        ended = script.end()
        assert ended.status == STATUS[number]
        look = look_at(directory)
        assert (len(look.rows), look.is_finished) == (20, False)
        assert Child(replace(job, building_s=0.0)).end().status == 0
        assert endpoint.ledger.paid == 40


def wait_for(endpoint: EndpointProcess, *, requests: int, for_s: float = 0.0) -> None:
    """Wait until so many requests have arrived; and see that for so long no more do."""
    deadline_s = time.monotonic() + 30.0
    while endpoint.ledger.requests < requests:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        time.sleep(0.005)
    assert endpoint.ledger.requests == requests


# What signals do in this very process.


def handlers() -> list[object]:
    """What SIGINT and SIGTERM do now."""
    return [signal.getsignal(number) for number in STATUS]


@pytest.fixture
def watched(serve, writer) -> Callable[[], list[object]]:
    """Runs a pipeline; what the two signals did meanwhile."""
    pipe = Pipeline(writer(serve()))

    def run() -> list[object]:
        during: list[object] = []
        pipe.generate([{"input": "Hi"}], on_event=lambda _: during.extend(handlers()))
        return during

    return run


def test_signals_are_listened_to_and_put_back(watched):
    """In the main thread, without a loop, both are ours while `generate` runs and not after."""
    before = handlers()
    assert before == [signal.default_int_handler, signal.SIG_DFL]
    assert not set(watched()) & set(before)
    assert handlers() == before


def test_signals_are_put_back_after_an_error(serve, writer):
    """Also if the run never began."""
    before = handlers()
    with pytest.raises(ConfigurationError):
        Pipeline(writer(serve())).generate({"input": "no rows"})  # type: ignore[arg-type]
    assert handlers() == before


def test_a_stopped_script_imports_nothing_while_it_ends(serve, writer, monkeypatch):
    """An import that is under way is waited for: its `exec`s would have Python exit with 1."""
    ended: list[str] = []

    def slow_import(name: str) -> None:
        threading.Event().wait(0.3)
        ended.append(name)

    monkeypatch.setattr("distilabel.pipeline.loading.import_module", slow_import)
    pipe = Pipeline(writer(serve(latency=Latency.constant(0.02))))
    once = iter([signal.SIGINT])

    def stop(_: object) -> None:
        for number in once:
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        pipe.generate([{"input": "Hi"}] * 9, on_event=stop)
    assert ended == ["datasets"]


def test_the_users_own_handlers_stay(watched, monkeypatch):
    """Whoever has set what a signal does keeps that, during the run and after."""
    own: list[int] = []
    before = [signal.signal(number, lambda n, _: own.append(n)) for number in STATUS]
    try:
        mine = handlers()
        assert set(watched()) == set(mine)
        assert handlers() == mine
    finally:
        for number, handler in zip(STATUS, before, strict=True):
            signal.signal(number, handler)


def test_other_threads_change_no_handlers(watched):
    """Outside of the main thread signals stay as they are."""
    before, found = handlers(), []
    thread = threading.Thread(target=lambda: found.extend(watched()))
    thread.start()
    thread.join()
    assert found
    assert all(one in before for one in found)


async def test_a_running_loop_keeps_its_handlers(watched):
    """Inside a running loop, signals are its owner's."""
    before = handlers()
    assert all(one in before for one in watched())
    found = await anyio.to_thread.run_sync(watched)
    assert all(one in before for one in found)
