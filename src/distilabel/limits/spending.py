"""A ceiling on what a run spends, held by reservation. Pure: it decides, others wait.

Rules:

- Before an attempt its worst case is claimed. A claim is granted if what is spent, what is granted
  to others and the claim itself stay within the ceiling. So whatever the attempts under way turn
  out to cost, at any concurrency, the spend cannot pass the ceiling.
- After it, a claim is settled with what the attempt cost, and the rest of it is free again. What
  may have been billed without anybody telling (no reply came) is settled as spent, and counted
  apart.
- Rows finish before new ones begin: first come claims of last stages, then those of rows that have
  begun, then new rows, each in the order of asking. Nobody overtakes a claim that is too large just
  now, so that none starves; it gets what those under way do not use.
- A row begins only if, besides its own claim, the last stages of all rows under way can be paid, as
  far as the mean of the claims for them tells: else the money would be gone in first stages, and
  nothing finished. This is a forecast; that the ceiling holds does not depend on it.
- If a claim is at its turn, nothing is granted to anybody, no row under way can still turn out to
  need less, and it does not fit, it never will: it is refused. From then on no row begins; those in
  hand may finish if they can.
- There is no deadlock: whoever holds a granted claim waits for no other claim.
- Sums are whole picodollars (a millionth of the price of a token at a dollar a million), so that
  nothing is lost to rounding; worst cases are rounded up and the ceiling down.
- Every operation takes constant time, however many wait, but for the question whether a claim is
  to be refused.

An upper bound on the tokens of a prompt, without a tokenizer: a token of a byte-level BPE (all of
OpenAI's, Llama 3, Qwen, Mistral's later ones) stands for at least one byte, and so does one of a
SentencePiece vocabulary with bytes to fall back on. So a text has no more tokens than bytes of
UTF-8. What the server's chat template adds is bounded by a generous number for each message and
each call. Where a server counts more all the same (a system prompt of its own, say), `Spending`
notices when the claim is settled, and adds what was missing to all claims that follow.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distilabel.types import Price, PromptText, Usage

__all__ = [
    "CALL_TOKENS",
    "MESSAGE_TOKENS",
    "PICODOLLARS",
    "Claim",
    "ClaimState",
    "Rates",
    "Spending",
    "SpendingStatistics",
    "dollars",
    "picodollars",
    "prompt_tokens_max",
]

PICODOLLARS: Final = 10**12
"""In a US dollar."""

MESSAGE_TOKENS: Final = 16
"""What a chat template may add to a message: role, beginning, end. OpenAI's adds 4, Llama 3's 6."""
CALL_TOKENS: Final = 128
"""What it may add to a call: the beginning of the answer, a default system prompt. OpenAI's adds 3,
those of open models up to about 70 (gpt-oss)."""

_LAST, _BEGUN, _NEW = range(3)

ClaimState: TypeAlias = Literal["waiting", "granted", "refused", "settled"]


def picodollars(amount: float) -> int:
    """A ceiling in whole picodollars, rounded down.

    >>> picodollars(0.1)
    100000000000
    """
    return int((Decimal(str(amount)) * PICODOLLARS).to_integral_value(ROUND_FLOOR))


def dollars(amount: int) -> float:
    """Picodollars in US dollars."""
    return amount / PICODOLLARS


def prompt_tokens_max(prompt: PromptText, *, further_bytes: int = 0) -> int | None:
    """The most tokens that a prompt can have; None: it holds more than text, which is not bounded.

    Args:
        prompt: as it is sent.
        further_bytes: of what else the server puts before the model: a schema, tools.

    >>> prompt_tokens_max("Grüße") - CALL_TOKENS - MESSAGE_TOKENS
    7
    """
    if isinstance(prompt, str):
        return _bytes(prompt) + MESSAGE_TOKENS + CALL_TOKENS + further_bytes
    total = CALL_TOKENS + further_bytes
    for message in prompt:
        for value in message.values():
            if not isinstance(value, str):
                return None
            total += _bytes(value)
        total += MESSAGE_TOKENS
    return total


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Rates:
    """A price in whole picodollars a token, rounded up."""

    input: int
    output: int
    cached_input: int

    @classmethod
    def of(cls, price: Price) -> Rates:
        """The rates of a price.

        >>> from distilabel.types import Price
        >>> Rates.of(Price(0.15, 0.60))
        Rates(input=150000, output=600000, cached_input=150000)
        """
        cached = price.input if price.cached_input is None else price.cached_input
        return cls(_rate(price.input), _rate(price.output), _rate(cached))

    def cost(self, usage: Usage) -> int:
        """What these tokens cost."""
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        read = (usage.prompt_tokens - cached) * self.input + cached * self.cached_input
        return read + usage.completion_tokens * self.output

    def worst(self, most: Usage) -> int:
        """The most that so many tokens can cost, cached or not."""
        return most.prompt_tokens * max(self.input, self.cached_input) + (
            most.completion_tokens * self.output
        )


def _rate(per_million: float) -> int:
    return int((Decimal(str(per_million)) * 10**6).to_integral_value(ROUND_CEILING))


@dataclass(frozen=True, slots=True)
class SpendingStatistics:
    """A run's money at one moment, in picodollars."""

    ceiling: int | None
    spent: int
    """What is settled, that of earlier sessions included."""
    granted: int
    """What attempts under way may cost at most."""
    unsure: int
    """The part of what this session spent that was never told, and may not have been billed."""
    waiting: int
    """Claims that wait."""


class Claim:
    """What one attempt may cost at most. Made by `Spending.ask`."""

    __slots__ = ("amount", "needed", "rank", "row", "state")

    def __init__(self, amount: int, row: int, rank: int) -> None:
        self.amount = amount
        self.row = row
        self.rank = rank
        """0: a last stage; 1: another stage of a row that has begun; 2: a new row."""
        self.state: ClaimState = "waiting"
        self.needed = amount
        """With what had to be left for rows to finish, when it was refused."""


class Spending:
    """The money of one run.

    Args:
        ceiling: what it may spend; None: there is none, and nothing waits.
        spent: what earlier sessions of the run have spent.

    >>> spending = Spending(ceiling=100)
    >>> first, second = (spending.ask(60, is_last_stage=True) for _ in range(2))
    >>> first.state, second.state
    ('granted', 'waiting')
    >>> spending.settle(first, 10)[0] is second, second.state
    (True, 'granted')
    """

    def __init__(self, ceiling: int | None = None, spent: int = 0) -> None:
        self.ceiling = ceiling
        self._spent = self._spent_before = spent
        self._granted = self._granted_claims = 0
        self._unsure = 0
        self._short = 0
        self._first_refused: Claim | None = None
        self._news: list[Claim] = []
        self._begun: set[int] = set()
        self._last_total = self._last_count = 0
        self._queues = tuple(OrderedDict[Claim, None]() for _ in (_LAST, _BEGUN, _NEW))

    @property
    def committed(self) -> int:
        """What the run has spent and may be spending: never more than the ceiling."""
        return self._spent + self._granted

    @property
    def spent(self) -> int:
        """What is settled, that of earlier sessions included."""
        return self._spent

    @property
    def refused(self) -> Claim | None:
        """The first claim that could not be granted any more; None: the money suffices so far."""
        return self._first_refused

    @property
    def is_short(self) -> bool:
        """Whether an attempt has cost more than its worst case: the server counts otherwise."""
        return self._short > 0

    def statistics(self) -> SpendingStatistics:
        """The money at this moment."""
        waiting = sum(map(len, self._queues))
        return SpendingStatistics(self.ceiling, self._spent, self._granted, self._unsure, waiting)

    def expect(self, amount: int) -> None:
        """Say what a row's last stage may cost, before the first row is there. A guess will do."""
        self._last_total, self._last_count = amount, 1

    def ask(self, amount: int, *, is_last_stage: bool, row: int = 0) -> Claim:
        """Claim the worst case of an attempt. The claim says whether it is granted."""
        rank = _LAST if is_last_stage else _BEGUN if row in self._begun else _NEW
        claim = Claim(amount + self._short, row, rank)
        if is_last_stage:
            self._begun.discard(row)
            self._last_total += claim.amount
            self._last_count += 1
        self._queue_of(claim)[claim] = None
        self._decide()
        if claim.state != "waiting":
            self._news.remove(claim)
        return claim

    def news(self) -> list[Claim]:
        """Waiting claims that were decided since this was asked last: by a claim that came, too."""
        news, self._news = self._news, []
        return news

    def row_over(self, row: int) -> list[Claim]:
        """A row is finished, or given up. Returns the claims that this decides."""
        if row in self._begun:
            self._begun.discard(row)
            self._decide()
        return self.news()

    def settle(self, claim: Claim, cost: int, *, unsure: int = 0) -> list[Claim]:
        """An attempt is over. Returns the claims that this decides.

        Args:
            claim: what it was granted.
            cost: what it cost, as far as that was told.
            unsure: what it may have cost besides.
        """
        if claim.state != "granted":
            raise RuntimeError(f"a claim was settled that was {claim.state}, not granted")
        claim.state = "settled"
        self._granted -= claim.amount
        self._granted_claims -= 1
        self._spent += cost + unsure
        self._unsure += unsure
        self._short += max(0, cost + unsure - claim.amount)
        self._decide()
        return self.news()

    def withdraw(self, claim: Claim) -> list[Claim]:
        """Whoever waited does not any more. Returns the claims that this decides."""
        self._queue_of(claim).pop(claim, None)
        self._decide()
        return self.news()

    def _queue_of(self, claim: Claim) -> OrderedDict[Claim, None]:
        return self._queues[claim.rank]

    def _decide(self) -> None:
        """Grant and refuse at the head of the line, as far as that can be decided now."""
        while (claim := self._next()) is not None:
            is_closed = self._first_refused is not None and claim.rank == _NEW
            needed = claim.amount + self._set_aside(claim)
            if not is_closed and self._has(needed):
                self._grant(claim)
            elif is_closed or self._is_stuck(claim):
                claim.state, claim.needed = "refused", needed
                self._first_refused = self._first_refused or claim
            else:
                break
            del self._queue_of(claim)[claim]
            self._news.append(claim)

    def _is_stuck(self, claim: Claim) -> bool:
        """Whether no money will come free: nothing is granted, and no row will need less."""
        if self._granted_claims:
            return False
        return claim.rank != _NEW or self._begun <= {each.row for each in self._queues[_NEW]}

    def _grant(self, claim: Claim) -> None:
        claim.state = "granted"
        self._granted += claim.amount
        self._granted_claims += 1
        if claim.rank == _NEW:
            self._begun.add(claim.row)

    def _set_aside(self, claim: Claim) -> int:
        """What is to be left when this is granted, so that rows under way can finish."""
        if claim.rank == _LAST or not self._last_count:
            return 0
        rows = 1 if claim.rank == _BEGUN else len(self._begun) + (claim.row not in self._begun)
        return rows * (self._last_total // self._last_count)

    def _next(self) -> Claim | None:
        waiting: Iterable[Claim] = (queue_head for q in self._queues for queue_head in q)
        return next(iter(waiting), None)

    def _has(self, amount: int) -> bool:
        return self.ceiling is None or self.committed + amount <= self.ceiling
