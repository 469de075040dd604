"""A process that dies at any of the places that matter loses nothing, and buys nothing again.

First an undisturbed run counts how often each place is passed, so that the deaths can be spread
over all of it. What is passed once in a run is met in runs of different ages: a process has died
before, at a different row each time.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from statistics import mean
from typing import TYPE_CHECKING

import pytest
from crash_child import Job
from crash_kit import Chain, Child, look_at, publish, run_directory, settled, table, undisturbed

from distilabel.failpoints import EXIT_STATUS
from distilabel.testing import Latency, SimulatedEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from distilabel.testing import EndpointProcess

ROWS = 60
TIMES = 10
OFTEN = (
    "before_send",
    "after_body",
    "enqueue",
    "before_begin",
    "after_begin",
    "before_commit",
    "after_commit",
    "after_parse",
    "hand_over",
    "before_yield",
)
"""Passed for each call, row or group of records."""
GROUPED = ("before_begin", "after_begin", "before_commit", "after_commit")
"""Of these, how often varies: as the disk is slow, more records are committed together."""
ONCE = ("open", "before_finish", "close")
"""Passed once in a run."""
EXPORTING = ("export_write", "export_fsync", "export_rename")
"""Passed once when a data set is saved."""
IN_SHORT = ("after_body", "before_commit", "after_commit", "hand_over", "before_finish")


class Deaths:
    """Has children die at a point, and checks what they leave.

    Args:
        endpoint: whom they ask.
        seed: decides where they die.
    """

    def __init__(self, endpoint: EndpointProcess, seed: int, rows: int = ROWS) -> None:
        self.endpoint = endpoint
        self.job = Job(endpoint.openai_url, rows, threads=4)
        self.reference = undisturbed(self.job)
        self._chance = random.Random(seed)

    def passes(self) -> Mapping[str, int]:
        """How often each point is passed in an undisturbed run."""
        with run_directory() as directory:
            job = replace(self.job, directory=str(directory), counts_points=True)
            ended = Child(job).end()
        assert ended.status == 0, ended.said
        (line,) = (line for line in ended.said.splitlines() if line.startswith("passed "))
        counted: dict[str, int] = json.loads(line.removeprefix("passed "))
        return counted

    def counts(self, point: str, passes: int, times: int) -> Iterator[int]:
        """So many counts, spread over all passes that there are in every run."""
        always = (0.4 if point in GROUPED else 0.98) * passes
        for k in range(times):
            share = (k + self._chance.random()) / times
            yield 1 + int(share * always)

    def ages(self, times: int) -> Iterator[str]:
        """Where a process dies before, from early to late; the first two times nowhere."""
        yield from ("", "")[:times]
        for k in range(times - 2):
            yield f"hand_over:{1 + (k * self.job.rows) // (times - 1)}"

    def die(self, *points: str, reads_again: bool = False) -> list[int]:
        """A run that dies at each point in turn, then goes on to its end; the wasted calls."""
        self.endpoint.reset()
        with run_directory() as directory:
            job = replace(self.job, directory=str(directory))
            chain = Chain(job, self.endpoint, self.reference)
            for point in points:
                ended = Child(job, failpoint=point).end()
                assert ended.status == EXIT_STATUS, f"{point} was never reached: {ended.said}"
                chain.note(point, ended)
            chain.finish(reads_again=reads_again)
            return [told.wasted for told in chain.rounds[: len(points)]]

    def die_exporting(self, point: str, *before: str) -> list[int]:
        """A data set whose saving dies is not there, and saving it again buys nothing."""
        self.endpoint.reset()
        with run_directory() as directory:
            saved = directory.parent / "saved"
            job = replace(self.job, directory=str(directory), mode="generate", save_to=str(saved))
            for earlier in before:
                assert Child(job, failpoint=earlier).end().status == EXIT_STATUS
            ended = Child(job, failpoint=point).end()
            assert ended.status == EXIT_STATUS, f"{point} was never reached: {ended.said}"
            assert not (saved / "distilabel.json").exists()
            assert look_at(directory).rows == dict(enumerate(self.reference))
            paid = settled(self.endpoint).paid
            ended = Child(replace(job, resume="always")).end()
            assert ended.status == 0, ended.said
            assert [digest for _, digest in ended.rows(skipping=1)] == self.reference
            assert (saved / "distilabel.json").exists()
            assert settled(self.endpoint).paid == paid
        return [0]

    def die_archiving(self, point: str, before: str) -> list[int]:
        """A directory that dies while it is given to another run keeps what was paid for."""
        self.endpoint.reset()
        with run_directory() as directory:
            job = replace(self.job, directory=str(directory))
            assert Child(job, failpoint=before).end().status == EXIT_STATUS
            look = look_at(directory)
            kept, in_flight = sum(look.calls_of_row.values()), look.in_flight
            other = replace(job, judged_as="another judge")
            ended = Child(other, failpoint=point).end()
            assert ended.status == EXIT_STATUS, f"{point} was never reached: {ended.said}"
            assert sum(look_at(directory).calls_of_row.values()) == kept
            ended = Child(other).end()
            assert ended.status == 0, ended.said
            bodies = [call.body_hash for call in settled(self.endpoint).calls]
            wasted = len(bodies) - len(set(bodies))
            assert wasted <= in_flight
            assert (directory / "journal-1.sqlite").exists()
        return [wasted]


def report(found: Sequence[tuple[str, int, str, Sequence[int]]], title: str) -> str:
    """What each point cost."""
    heads = ("died at", "times", "at which pass", "wasted calls, mean", "max")
    lines = [
        (f"`{point}`", times, passes, float(mean(wasted)), max(wasted))
        for point, times, passes, wasted in found
    ]
    return table(title, heads, lines)


def test_a_process_may_die_where_it_matters():
    """Before and after a commit, between paying and keeping, and when rows are handed over."""
    with SimulatedEndpoint.process(latency=Latency.constant(0.002), seed=3) as endpoint:
        deaths = Deaths(endpoint, seed=3, rows=40)
        for point in IN_SHORT:
            times = 1 if point == "before_finish" else 7
            deaths.die(f"{point}:{times}")


@pytest.mark.campaign
def test_a_process_may_die_anywhere():
    """Ten deaths at each of 17 places lose no row, and waste only what was in flight."""
    seed = 1_117
    found: list[tuple[str, int, str, Sequence[int]]] = []
    with SimulatedEndpoint.process(latency=Latency.lognormal(0.002, 0.6, 1), seed=1) as endpoint:
        deaths = Deaths(endpoint, seed)
        passes = deaths.passes()
        assert set(passes) >= {*OFTEN, *ONCE}
        for point in OFTEN:
            counts = list(deaths.counts(point, passes[point], TIMES))
            wasted = [
                deaths.die(f"{point}:{count}", reads_again=count == counts[-1])[0]
                for count in counts
            ]
            found.append((point, TIMES, ", ".join(map(str, counts)), wasted))
        for point in ONCE:
            wasted = [deaths.die(*filter(None, (age, point)))[-1] for age in deaths.ages(TIMES)]
            found.append((point, TIMES, "1, in runs of different ages", wasted))
        for point in EXPORTING:
            wasted = [
                deaths.die_exporting(point, *filter(None, [age]))[-1] for age in deaths.ages(TIMES)
            ]
            found.append((point, TIMES, "1, in runs of different ages", wasted))
        wasted = [
            deaths.die_archiving("archive_rename", f"hand_over:{1 + 5 * k}")[0]
            for k in range(TIMES)
        ]
        found.append(("archive_rename", TIMES, "1, in runs of different ages", wasted))
    publish("failpoints", report(found, f"Deaths at failpoints, runs of {ROWS} rows, seed {seed}"))
