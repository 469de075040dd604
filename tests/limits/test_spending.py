"""The ceiling on what a run spends: exact sums, a fair line, no claim that waits for ever."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilabel.limits.spending import (
    CALL_TOKENS,
    MESSAGE_TOKENS,
    PICODOLLARS,
    Claim,
    Rates,
    Spending,
    dollars,
    picodollars,
    prompt_tokens_max,
)
from distilabel.types import Price, Usage


def test_claims_within_the_ceiling_are_granted_at_once():
    """Three of 30 fit into 100, the fourth waits."""
    spending = Spending(100)
    claims = [spending.ask(30, is_last_stage=True) for _ in range(4)]
    assert [claim.state for claim in claims] == ["granted"] * 3 + ["waiting"]
    assert spending.committed == 90


def test_what_an_attempt_does_not_use_goes_to_those_who_wait():
    """The first in the line gets what was left over."""
    spending = Spending(100)
    used, first, second = (spending.ask(100, is_last_stage=True) for _ in range(3))
    assert spending.settle(used, 0) == [first]
    assert second.state == "waiting"


def test_the_last_stage_goes_first():
    """A label that was asked for last gets the money before the generations that wait."""
    spending = Spending(100)
    under_way = spending.ask(100, is_last_stage=False)
    generation = spending.ask(60, is_last_stage=False)
    label = spending.ask(60, is_last_stage=True)
    assert spending.settle(under_way, 20) == [label]
    assert generation.state == "waiting"


def test_nobody_overtakes():
    """A small claim waits behind a large one that does not fit yet, so that no claim starves."""
    spending = Spending(100)
    under_way = spending.ask(50, is_last_stage=True)
    large = spending.ask(90, is_last_stage=True)
    small = spending.ask(1, is_last_stage=True)
    assert (large.state, small.state) == ("waiting", "waiting")
    assert spending.settle(under_way, 5) == [large, small]


def test_what_never_fits_is_refused():
    """With nothing under way there is nothing to wait for."""
    spending = Spending(100, spent=50)
    claim = spending.ask(51, is_last_stage=True)
    assert claim.state == "refused"
    assert spending.refused is claim
    assert spending.spent == 50


def test_a_refusal_ends_what_would_begin_and_lets_rows_finish():
    """After a refusal no new row gets money, even if it fits; a row's last stage does."""
    spending = Spending(100)
    assert spending.ask(101, is_last_stage=False).state == "refused"
    assert spending.ask(10, is_last_stage=False).state == "refused"
    assert spending.ask(10, is_last_stage=True).state == "granted"


def test_a_claim_that_is_withdrawn_makes_room():
    """Those behind a claim whose owner has gone are decided at once."""
    spending = Spending(100)
    under_way = spending.ask(50, is_last_stage=True)
    large = spending.ask(90, is_last_stage=True)
    small = spending.ask(10, is_last_stage=True)
    assert spending.withdraw(large) == [small]
    assert spending.settle(under_way, 50) == []
    assert spending.statistics().waiting == 0


def test_what_nobody_told_counts_as_spent():
    """What may have been billed is spent, and is counted apart."""
    spending = Spending(100)
    spending.settle(spending.ask(40, is_last_stage=True), 0, unsure=40)
    statistics = spending.statistics()
    assert (statistics.spent, statistics.unsure, statistics.granted) == (40, 40, 0)


def test_a_server_that_counts_more_is_noticed():
    """What an attempt cost beyond its worst case is added to all claims that follow."""
    spending = Spending(1000)
    spending.settle(spending.ask(100, is_last_stage=True), 130)
    assert spending.is_short
    assert spending.ask(100, is_last_stage=True).amount == 130


def test_without_a_ceiling_nothing_waits():
    """Then it only counts."""
    spending = Spending()
    claims = [spending.ask(10**20, is_last_stage=False) for _ in range(3)]
    assert {claim.state for claim in claims} == {"granted"}


def test_a_claim_is_settled_once():
    """Settling it twice is a bug, and says so."""
    spending = Spending(100)
    claim = spending.ask(10, is_last_stage=True)
    spending.settle(claim, 10)
    with pytest.raises(RuntimeError, match="settled"):
        spending.settle(claim, 10)


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32), ceiling=st.integers(0, 500), spent=st.integers(0, 100))
def test_no_history_passes_the_ceiling_and_every_claim_is_decided(seed, ceiling, spent):
    """The sum stays within the ceiling, and with nothing granted nobody waits."""
    chance = random.Random(seed)
    spending = Spending(ceiling, min(spent, ceiling))
    asked: list[Claim] = []
    for _ in range(200):
        granted = [claim for claim in asked if claim.state == "granted"]
        waiting = [claim for claim in asked if claim.state == "waiting"]
        move = chance.random()
        if move < 0.5:
            asked.append(
                spending.ask(chance.randint(0, 60), is_last_stage=bool(chance.randint(0, 1)))
            )
        elif move < 0.9 and granted:
            claim = chance.choice(granted)
            cost = chance.randint(0, claim.amount)
            spending.settle(claim, cost, unsure=chance.randint(0, claim.amount - cost))
        elif waiting:
            spending.withdraw(gone := chance.choice(waiting))
            asked.remove(gone)
        assert spending.committed <= ceiling
        assert spending.statistics().granted == sum(
            claim.amount for claim in asked if claim.state == "granted"
        )
    while granted := [claim for claim in asked if claim.state == "granted"]:
        spending.settle(granted[0], granted[0].amount)
        assert spending.committed <= ceiling
    assert not [claim for claim in asked if claim.state == "waiting"]


def test_a_claim_costs_the_same_however_many_wait():
    """Ten thousand times as many waiting claims do not make one ten times as dear."""

    def seconds(waiting: int) -> float:
        spending = Spending(1)
        spending.ask(1, is_last_stage=True)
        for _ in range(waiting):
            spending.ask(1, is_last_stage=False)
        tries = []
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(1_000):
                spending.withdraw(spending.ask(1, is_last_stage=False))
            tries.append(time.perf_counter() - begun)
        return min(tries)

    assert seconds(100_000) < 10 * seconds(10)


def test_rates_are_exact():
    """A price of up to six places is a whole number of picodollars a token."""
    rates = Rates.of(Price(0.15, 0.60, 0.075))
    assert rates.cost(Usage(1_000_000, 1_000_000, 500_000)) == int(0.7125 * PICODOLLARS)
    assert dollars(rates.worst(Usage(1_000_000, 1_000_000))) == 0.75


def test_what_cannot_be_exact_is_on_the_safe_side():
    """A rate is rounded up, a ceiling down."""
    assert Rates.of(Price(0.000_000_1, 0)).input == 1
    assert picodollars(1.999_999_999_999_9) == 2 * PICODOLLARS - 1


def test_a_dear_cache_is_no_trap():
    """Where reading from the cache costs more, the worst case is that."""
    rates = Rates.of(Price(1.0, 1.0, cached_input=1.25))
    assert rates.worst(Usage(4, 0)) == rates.cost(Usage(4, 0, 4)) == 5_000_000


@given(st.text())
def test_a_text_has_no_more_tokens_than_bytes(text):
    """The bound counts bytes of UTF-8, lone surrogates included, and what a template adds."""
    size = len(text.encode("utf-8", "surrogatepass"))
    assert prompt_tokens_max(text) == size + MESSAGE_TOKENS + CALL_TOKENS
    chat = [{"role": "user", "content": text}]
    assert prompt_tokens_max(chat, further_bytes=7) == size + 4 + MESSAGE_TOKENS + CALL_TOKENS + 7


def test_what_is_no_text_has_no_bound():
    """An image by its address costs more tokens than its address has bytes."""
    parts = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    assert prompt_tokens_max([{"role": "user", "content": parts}]) is None
