"""The programs behind `nox -s bench`: what they measure is all there, and what fails is told."""

import importlib
import sys
from pathlib import Path

import pytest

from distilabel.testing import Latency, SimulatedEndpoint

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CLIENTS = ["generate", "generate, no checkpoints", "stream", "AsyncOpenAI"]


@pytest.fixture
def jobs(monkeypatch):
    """The module that runs clients; benchmarks are programs and on no path."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield importlib.import_module("_jobs")
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run(jobs, name: str, *, stages: int, latency: Latency | None = None, timeout_s: float = 60.0):
    """Forty rows, eight at a time."""
    (client,) = [client for client in jobs.CLIENTS if client.name == name]
    setting = jobs.Setting(0.0, 0.6, 1, 8, stages)
    with SimulatedEndpoint.process(latency=latency, ledger="counters") as endpoint:
        return jobs.run_client(client, jobs.OWN_PYTHON, endpoint, setting, 40, timeout_s)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize(
    "name", ["bare aiohttp", *(pytest.param(name, marks=pytest.mark.campaign) for name in CLIENTS)]
)
def test_a_client_makes_every_row_with_a_call_for_each_stage(jobs, name, stages):
    """A client's figures are about all rows, and warming up is not counted."""
    outcome = run(jobs, name, stages=stages)
    assert outcome.problem == ""
    assert outcome.report.complete_rows == 40
    assert outcome.calls == 40 * stages
    assert 0 < outcome.report.first_row_s <= outcome.report.wall_s
    assert outcome.report.cpu_s > 0
    assert outcome.report.memory_mb > 10


def test_a_client_that_is_not_done_in_time_is_told_and_ended(jobs):
    """A client that takes too long is a line with that reason."""
    outcome = run(jobs, "bare aiohttp", stages=1, latency=Latency.constant(600.0), timeout_s=0.5)
    assert outcome.report is None
    assert outcome.problem == "not done after 0.5 s"


def test_a_client_that_fails_is_told_with_its_last_words(jobs):
    """A client that breaks is a line with the error it broke with."""
    client = jobs.Client("broken", "no_such_program")
    setting = jobs.Setting(0.0, 0.6, 1, 8, 1)
    with SimulatedEndpoint.process(ledger="counters") as endpoint:
        outcome = jobs.run_client(client, jobs.OWN_PYTHON, endpoint, setting, 40, 60.0)
    assert outcome.report is None
    assert "No such file or directory" in outcome.problem


def test_the_ideal_of_two_stages_takes_twice_the_calls(jobs):
    """A setting's ideal is that of `ideal.py`, on the draws of the endpoint."""
    one = jobs.Setting(0.5, 0.0, 1, 8, 1)
    two = jobs.Setting(0.5, 0.0, 1, 8, 2)
    assert one.ideal_s(32) == pytest.approx(2.0)
    assert two.ideal_s(32) == pytest.approx(2.5)


def test_of_two_rounds_the_less_counts(jobs):
    """CPU and wall time are each the least of a client's rounds, and a report beats none."""
    slow = jobs.Outcome(10, jobs.Report(9.0, 1.0, 2.0, 50.0, 10), calls=10)
    busy = jobs.Outcome(10, jobs.Report(5.0, 0.5, 3.0, 60.0, 10), calls=10)
    for found in (slow.better(busy), busy.better(slow)):
        assert (found.report.wall_s, found.report.first_row_s, found.report.cpu_s) == (
            5.0,
            0.5,
            2.0,
        )
    failed = jobs.Outcome(10, problem="it broke")
    assert failed.better(slow) == slow.better(failed) == slow


@pytest.mark.campaign
def test_what_cannot_be_installed_is_told(monkeypatch, tmp_path):
    """An environment that cannot be made is an error that holds the installer's words."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    environments = importlib.import_module("_environments")
    requirements = tmp_path / "peer.txt"
    requirements.write_text("./is-not-there-1.0-py3-none-any.whl\n")
    with pytest.raises(environments.BuildError, match="is-not-there"):
        environments.interpreter(requirements, tmp_path / "environments")
