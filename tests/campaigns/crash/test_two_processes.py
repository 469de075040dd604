"""Two processes and one run directory: the second is refused, and a dead one locks nobody out."""

from __future__ import annotations

import random
import time
from statistics import mean
from typing import TYPE_CHECKING

import pytest
from crash_child import Job, pipeline_of, rows_of
from crash_kit import Child, look_at, publish, run_directory, settled, table

from distilabel.errors import RunLockedError
from distilabel.testing import Latency, SimulatedEndpoint

if TYPE_CHECKING:
    from pathlib import Path

    from distilabel.testing import EndpointProcess

REFUSED_MAX_S = 1.0
LATENCY = Latency.lognormal(0.02, 0.6, 1)


async def attempt(job: Job) -> tuple[float, RunLockedError | None]:
    """Go on with a run in this process, for one row: seconds until that row, or the refusal."""
    stream = pipeline_of(job).stream(
        rows_of(job.rows), num_generations=2, checkpoint_dir=job.directory, verbose=False
    )
    started_s = time.monotonic()
    try:
        async with stream as rows:
            await anext(rows)
            return time.monotonic() - started_s, None
    except RunLockedError as error:
        return time.monotonic() - started_s, error


async def contend(
    endpoint: EndpointProcess, *, times: int, seed: int
) -> tuple[list[float], list[float]]:
    """Seconds until each refusal beside a live holder, and until a row after the holder's death."""
    chance = random.Random(seed)
    refused: list[float] = []
    freed: list[float] = []
    for _ in range(times):
        with run_directory() as directory:
            job = Job(endpoint.openai_url, 1_000, str(directory))
            child = Child(job)
            assert child.wait_for(chance.randrange(1, 100))
            took_s, error = await attempt(job)
            assert error is not None, "two processes use one run directory"
            assert error.holder_pid == child.process.pid
            assert str(child.process.pid) in str(error)
            refused.append(took_s)
            child.kill()
            ended = child.end()
            took_s, error = await attempt(job)
            assert error is None, "a dead process holds a lock"
            freed.append(took_s)
            assert set(dict(ended.rows())) <= set(look_at(directory).rows)
    return refused, freed


def start_together(job: Job, runs: Path) -> list[int]:
    """Two of the same at once; how many rows each was handed."""
    children = [Child(job, runs=runs) for _ in range(2)]
    ended = [child.end() for child in children]
    for one in ended:
        if one.status:
            assert "RunLockedError" in one.said
            assert job.directory is not None, one.said
    return [len(one.rows()) for one in ended]


def race(endpoint: EndpointProcess, *, times: int) -> tuple[int, int]:
    """Starts two at once in one directory, then with default ones; how many finished of each."""
    named = default = 0
    for _ in range(times):
        with run_directory() as directory:
            endpoint.reset()
            job = Job(endpoint.openai_url, 60, str(directory))
            finished = [rows == job.rows for rows in start_together(job, directory.parent)]
            assert any(finished), "both were refused"
            named += sum(finished)
            report = settled(endpoint)
            assert report.paid == 2 * job.rows * sum(finished)
            runs = directory.parent / "runs"
            own = Job(endpoint.openai_url, 60)
            assert start_together(own, runs) == [own.rows] * 2
            default += 2
            assert sorted(look_at(one).is_finished for one in runs.iterdir()) == [True, True]
    return named, default


async def test_a_second_process_is_refused():
    """The second is told within a second who holds the directory, and goes on once that is dead."""
    with SimulatedEndpoint.process(latency=LATENCY) as endpoint:
        refused, freed = await contend(endpoint, times=2, seed=2)
    assert max(refused) < REFUSED_MAX_S
    assert len(freed) == 2


def test_two_processes_may_start_at_once():
    """Of two in one directory one is refused; with default directories each has its own."""
    with SimulatedEndpoint.process(latency=LATENCY) as endpoint:
        race(endpoint, times=1)


@pytest.mark.campaign
async def test_a_hundred_second_processes_are_refused():
    """100 live holders refuse within a second, 100 dead ones do not; 20 races have a winner."""
    seed = 2_002
    with SimulatedEndpoint.process(latency=LATENCY, seed=seed) as endpoint:
        refused, freed = await contend(endpoint, times=100, seed=seed)
        named, default = race(endpoint, times=20)
    assert max(refused) < REFUSED_MAX_S
    heads = ("what", "times", "mean, ms", "max, ms")
    lines = [
        ("second process refused, naming the holder", 100, mean(refused) * 1e3, max(refused) * 1e3),
        ("first row after the holder was killed", 100, mean(freed) * 1e3, max(freed) * 1e3),
        ("two started at once, one directory: finished", f"{named} of 40", "", ""),
        ("two started at once, default directories: finished", f"{default} of 40", "", ""),
    ]
    publish("two-processes", table(f"Two processes, one run directory, seed {seed}", heads, lines))
