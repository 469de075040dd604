"""A run that is killed again and again loses no row and buys nothing again that was kept.

Where the kills fall is drawn from a seed: a fifth anywhere in the child's start (imports, opening
the journal, what will be reused), a fifth while kept rows are read again, the rest while rows are
being bought, each after a number of acknowledged rows and some microseconds.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from statistics import mean
from typing import TYPE_CHECKING

import pytest
from crash_child import Job
from crash_kit import Chain, Child, publish, run_directory, table, undisturbed

from distilabel.testing import Latency, SimulatedEndpoint

if TYPE_CHECKING:
    from crash_kit import Round

START_MAX_S = 2.0


class Killer:
    """Kills one child of a chain, somewhere.

    Args:
        chance: where.
        kills: how many there are to be in a chain, about.
    """

    def __init__(self, chance: random.Random, kills: int) -> None:
        self._chance = chance
        self._kills = kills

    def kill(self, chain: Chain) -> bool:
        """One round; False: the run was done before it was killed."""
        chance, kept = self._chance, len(chain.acknowledged)
        draw = chance.random()
        child = Child(chain.job)
        if draw < 0.2:
            phase = "starting"
            child.wait_over(chance.uniform(0.0, START_MAX_S))
        else:
            phase = "replaying" if draw < 0.4 and kept else "buying"
            first = 1 if phase == "replaying" else kept
            more = kept if phase == "replaying" else 2 * chain.job.rows // self._kills
            child.wait_for(first + chance.randrange(max(1, more)))
            until_s = time.monotonic() + chance.uniform(0.0, 0.02)
            while time.monotonic() < until_s:
                pass
        child.kill()
        ended = child.end()
        if phase == "starting" and ended.content:
            phase = "replaying" if len(ended.rows()) < kept else "buying"
        chain.note("end" if ended.status == 0 else phase, ended)
        assert ended.status in {0, -9}, ended.said
        return ended.status == -9


def campaign(*, kills: int, rows: int, kills_a_chain: int, seed: int) -> list[Round]:
    """So many kills, over as many chains as that takes; all rounds but those that ended well."""
    chance = random.Random(seed)
    rounds: list[Round] = []
    latency = Latency.lognormal(0.004, 0.6, seed)
    with SimulatedEndpoint.process(latency=latency, seed=seed) as endpoint:
        reference = undisturbed(Job(endpoint.openai_url, rows))
        while len(rounds) < kills:
            endpoint.reset()
            with run_directory() as directory:
                chain = Chain(Job(endpoint.openai_url, rows, str(directory)), endpoint, reference)
                killer = Killer(chance, kills_a_chain)
                killed = 0
                while killed < kills - len(rounds) and not chain.is_finished:
                    killed += killer.kill(chain)
                chain.finish()
            rounds += chain.rounds[:killed]
    return rounds


def report(rounds: list[Round], title: str) -> str:
    """What the kills cost."""
    groups = {
        phase: [r for r in rounds if r.phase == phase]
        for phase in ("starting", "replaying", "buying")
    }
    groups["all"] = rounds
    lines = [
        (
            phase,
            len(some),
            mean(r.wasted for r in some),
            max(r.wasted for r in some),
            mean(r.in_flight for r in some),
            max(r.in_flight for r in some),
            max(r.oldest_ms for r in some),
        )
        for phase, some in groups.items()
        if some
    ]
    heads = (
        "killed while",
        "kills",
        "wasted calls, mean",
        "max",
        "in flight by the journal, mean",
        "max",
        "oldest wasted reply, ms before the kill",
    )
    return table(title, heads, lines)


def test_a_run_that_is_killed_is_resumed_without_loss():
    """After each of 4 kills no acknowledged row is lost and no kept call is bought again."""
    rounds = campaign(kills=4, rows=120, kills_a_chain=4, seed=7)
    assert len(rounds) == 4


@pytest.mark.campaign
def test_two_hundred_kills_lose_nothing():
    """200 kills of runs of 2,000 rows lose no acknowledged row and waste only calls in flight."""
    seed, rows = 20_240_917, 2_000
    rounds = campaign(kills=200, rows=rows, kills_a_chain=20, seed=seed)
    assert len(rounds) == 200
    assert Counter(r.phase for r in rounds)["buying"] > 50
    publish("sigkill", report(rounds, f"200 SIGKILLs, runs of {rows:,} rows, seed {seed}"))
