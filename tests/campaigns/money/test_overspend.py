"""`max_cost` at 256 in flight: what the provider bills never passes it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

import pytest
from bill import MAX_NEW_TOKENS, PRICES, Bill, Picky, PickyJudge

from distilabel.errors import BudgetExceededError, TransientError
from distilabel.limits.spending import PICODOLLARS, Rates
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Latency, ScriptedLLM, SimulatedEndpoint, VirtualClock
from distilabel.types import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

PERMITS = 256


@dataclass
class Outcome:
    """What came of a run."""

    bill: Bill
    peak_in_flight: int
    paid: float
    spent: float
    rows: int
    error: BudgetExceededError | None


def rows(chance: random.Random, count: int) -> list[dict[str, str]]:
    """Prompts of any length, some of them of letters that take several bytes."""
    return [
        {"input": f"{number} " + chance.choice("ag ü漢🎲") * chance.randint(1, 400)}
        for number in range(count)
    ]


def run(seed: int, *, max_cost: float, stages: int = 1, count: int = 2_000) -> Outcome:
    """A run in virtual time, in a storm of its own."""
    chance = random.Random(seed)
    bill = Bill(seed)
    server = SimulatedEndpoint(
        latency=Latency.lognormal(0.5, 0.6, seed), script=bill.script, reply=bill.reply
    )

    def backend(task, model: str) -> OpenAILLM:
        return OpenAILLM(
            task,
            model,
            base_url=server.openai_url,
            max_new_tokens=MAX_NEW_TOKENS,
            num_threads=PERMITS,
            adaptive=False,
            price=PRICES[model],
        )

    async def main() -> Outcome:
        async with server.here():
            judge = backend(PickyJudge(), "judge") if stages == 2 else None
            pipe = Pipeline(backend(Picky(), "writer"), judge)
            taken, error = 0, None
            try:
                async with pipe.stream(
                    rows(chance, count),
                    num_generations=chance.choice([1, 1, 3]),
                    max_cost=max_cost,
                    enable_checkpoints=False,
                    verbose=False,
                ) as stream:
                    async for _ in stream:
                        taken += 1
            except BudgetExceededError as exceeded:
                error = exceeded
            spent = stream.run.cost + stream.run.cost_unsure
            ledger = server.ledger
            return Outcome(bill, ledger.peak_in_flight, bill.paid(ledger), spent, taken, error)

    return VirtualClock().run(main)


def check(outcome: Outcome, max_cost: float) -> None:
    """The ceiling held, most of it was used, and what we say was spent covers the bill."""
    assert outcome.error is not None, "the ceiling was not reached"
    assert outcome.paid <= outcome.bill.at_most <= max_cost
    assert outcome.bill.at_most <= outcome.spent + 1e-12
    assert outcome.error.spent == pytest.approx(outcome.spent, abs=1e-9)
    assert outcome.error.spent + outcome.error.needed > max_cost
    assert outcome.error.spent <= max_cost


CEILINGS = {1: 0.08, 2: 1.5}
"""By stages: enough that 256 worst cases fit."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bill_stays_within_max_cost(seed):
    """In one stage and in two, at 256 in flight, whatever goes wrong."""
    stages = 1 + seed % 2
    outcome = run(seed, max_cost=CEILINGS[stages], stages=stages)
    check(outcome, CEILINGS[stages])
    assert outcome.peak_in_flight >= PERMITS


class Greedy(ScriptedLLM):
    """Bills each call that is sent at the most that it can cost, and loses some of the replies."""

    def __init__(self, seed: int, **settings) -> None:
        self.max_new_tokens = MAX_NEW_TOKENS
        self.billed = 0
        self.in_flight = self.peak_in_flight = 0
        self._chance = random.Random(seed)
        task = TextGenerationTask(system_prompt="")
        super().__init__(task, self._answer, num_threads=PERMITS, adaptive=False, **settings)

    async def complete(self, call: Call) -> Reply | Sequence[str]:
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.latency_s = self._chance.lognormvariate(-0.7, 0.6)
        self.billed += Rates.of(self.price).worst(self.tokens_max(call))
        try:
            return await super().complete(call)
        finally:
            self.in_flight -= 1

    def _answer(self, call: Call) -> Reply | Exception:
        if self._chance.random() < 0.1:
            return TransientError("lost", cause="connection")
        return Reply(("text",) * call.num_generations, usage=self.tokens_max(call))


@pytest.mark.parametrize(
    "seed", [*range(5), *(pytest.param(k, marks=pytest.mark.campaign) for k in range(5, 105))]
)
def test_a_provider_that_bills_the_worst_case_stays_within_max_cost(seed):
    """The bound is reached and not passed: no more than one call's worth stays unspent."""

    async def main() -> tuple[Greedy, BudgetExceededError]:
        llm = Greedy(seed, price=PRICES["judge"])
        with pytest.raises(BudgetExceededError) as caught:
            await Pipeline(llm).agenerate(
                rows(random.Random(seed), 1_500),
                num_generations=2,
                max_cost=2.0,
                enable_checkpoints=False,
                verbose=False,
            )
        return llm, caught.value

    llm, error = VirtualClock().run(main)
    assert llm.peak_in_flight == PERMITS
    assert llm.billed <= 2 * PICODOLLARS
    assert llm.billed == pytest.approx(error.spent * PICODOLLARS)
    assert error.spent + error.needed > 2.0


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_the_bill_stays_within_max_cost_in_100_runs_of_100():
    """One hundred storms, with ceilings from a few calls to most of the rows."""
    chance = random.Random(7)
    used, billed, peaks = [], [], []
    for seed in range(100):
        stages = chance.choice([1, 2])
        max_cost = CEILINGS[stages] * chance.choice([0.05, 0.3, 1.0, 1.0, 1.3])
        outcome = run(1_000 + seed, max_cost=max_cost, stages=stages)
        check(outcome, max_cost)
        used.append(outcome.spent / max_cost)
        billed.append(outcome.bill.at_most / max_cost)
        peaks.append(outcome.peak_in_flight)
    busy = sum(peak >= PERMITS for peak in peaks)
    print(  # noqa: T201 - what `nox -s money` is for
        f"{len(used)} runs, {busy} of them with {PERMITS} in flight: at least {min(used):.3f} of "
        f"the ceiling counted as spent; {min(billed):.2f} to {max(billed):.2f} of it billed, "
        f"{mean(billed):.2f} in the mean"
    )
    assert busy > 50
