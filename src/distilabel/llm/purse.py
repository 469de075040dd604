"""The money of one run: claimed before each attempt, settled after it.

`limits.spending` decides; here is who waits for it, and what an attempt's end means for money.

Rules:

- Money is claimed before a permit is taken, and without holding one.
- A reply is settled with the tokens that the provider counted. What it did not count (no usage at
  all, or no prompt tokens, as text-generation-inference has it) is settled at its worst case.
- Not billed: what was never sent (no connection), and what the server turned away: 429, any other
  status that is no 200. Whatever else ends without a reply (reset, timeout, cancelled under way)
  may have been served and billed, and is settled at its worst case.
- What may be spent at this moment is noted where the process's death does not take it along, before
  the attempt that may spend it is sent.
- A purse serves one run, in one event loop. An LLM that serves several runs knows none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import anyio

from distilabel.errors import (
    CallError,
    ConfigurationError,
    DispatchStoppedError,
    RunFatalError,
    ThrottledError,
    WarmingError,
)
from distilabel.limits.spending import Rates, Spending, picodollars
from distilabel.naming import named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from distilabel.limits.spending import Claim
    from distilabel.llm.asking import CallContext
    from distilabel.llm.base import LLM
    from distilabel.types import Call, Price, StageName, Usage

__all__ = ["UNMETERED", "Account", "Purse", "may_be_billed", "unbounded"]

_NEVER_SENT: Final = frozenset(
    {"connect", "connect_timeout", "bad_url", "bad_header", "tls", "too_many_files"}
)


def may_be_billed(error: CallError) -> bool:
    """Whether an attempt that failed like this may be on the provider's bill.

    >>> from distilabel.errors import TransientError
    >>> may_be_billed(TransientError("reset", cause="connection"))
    True
    >>> may_be_billed(TransientError("oh", cause="http_500", status=500))
    False
    """
    if isinstance(error, ThrottledError | WarmingError | RunFatalError):
        return False
    if error.cause in _NEVER_SENT:
        return False
    return error.status is None or 200 <= error.status < 300


class Account:
    """What one attempt has claimed; a context manager around it. This one claims nothing."""

    __slots__ = ()

    def departed(self) -> None:
        """The attempt is sent."""

    def landed(self, usage: Usage | None) -> None:
        """It brought a reply of so many tokens."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """An attempt that did not land is over, in whatever way."""


UNMETERED: Final = Account()
"""For attempts whose price is not known, or that nobody counts."""


class Purse:
    """What a run may spend, and has spent.

    Args:
        prices: of each stage.
        last_stage: where rows finish: its calls get money first.
        max_cost: the ceiling in US dollars; None: only count.
        spent: picodollars that earlier sessions of the run have spent.
        note: told what may be spent at this moment, in picodollars, earlier sessions included.
    """

    def __init__(
        self,
        prices: Mapping[StageName, Price],
        *,
        last_stage: StageName,
        max_cost: float | None = None,
        spent: int = 0,
        note: Callable[[int], None] | None = None,
    ) -> None:
        self.max_cost = max_cost
        ceiling = None if max_cost is None else picodollars(max_cost)
        self.spending = Spending(ceiling, spent)
        self.is_unbounded = False
        """A reply came without tokens, of a backend whose worst case is not known."""
        self._rates = {stage: Rates.of(price) for stage, price in prices.items()}
        self._last_stage = last_stage
        self._note = note
        self._waiting: dict[Claim, anyio.Event] = {}

    @property
    def is_exhausted(self) -> bool:
        """Whether a call could not be paid any more: no new row is to begin."""
        return self.spending.refused is not None

    def worst_case(self, llm: LLM, call: Call, stage: StageName) -> int | None:
        """What one attempt can cost at most, in picodollars; None: that is not bounded."""
        most = llm.tokens_max(call)
        return None if most is None else self._rates[stage].worst(most)

    async def reserve(self, llm: LLM, call: Call, context: CallContext) -> Account:
        """Claim an attempt's worst case; returns once the money is there.

        Raises:
            DispatchStoppedError: it will not be there, or the run is stopping. Nothing is claimed.
            ConfigurationError: there is a ceiling, and this call's worst case is not known.
        """
        if context.flight.is_stopped:
            raise DispatchStoppedError("the run is stopping")
        most = llm.tokens_max(call)
        if most is None and self.spending.ceiling is not None:
            raise ConfigurationError(unbounded(llm))
        rates = self._rates[context.stage]
        amount = 0 if most is None else rates.worst(most)
        is_last = context.stage == self._last_stage
        claim = self.spending.ask(amount, is_last_stage=is_last, row=context.row_index)
        self._decided(self.spending.news())
        if claim.state == "waiting":
            await self._wait(claim)
        if claim.state == "refused":
            raise DispatchStoppedError("max_cost is used up")
        return _Metered(self, claim, rates, most)

    async def _wait(self, claim: Claim) -> None:
        decided = self._waiting[claim] = anyio.Event()
        try:
            await decided.wait()
        except BaseException:
            if claim.state == "granted":
                self.settle(claim, 0)
            elif claim.state == "waiting":
                self._decided(self.spending.withdraw(claim))
            raise
        finally:
            del self._waiting[claim]

    def row_over(self, row: int) -> None:
        """A row is finished, or stays pending."""
        self._decided(self.spending.row_over(row))

    def settle(self, claim: Claim, cost: int, unsure: int = 0) -> None:
        """An attempt is over."""
        self._decided(self.spending.settle(claim, cost, unsure=unsure))

    def _decided(self, claims: list[Claim]) -> None:
        self._tell()
        for claim in claims:
            self._waiting[claim].set()

    def _tell(self) -> None:
        if self._note is not None:
            self._note(self.spending.committed)


def unbounded(llm: LLM) -> str:
    """What to say of a backend whose calls have no worst case."""
    return (
        named("max_cost")
        + f" needs to know what a call to {llm.model_name} can cost at most, and that is not "
        "known: set the backend's "
        + named("max_new_tokens")
        + ", or override its tokens_max(call); a prompt that holds more than text has no bound."
    )


class _Metered(Account):
    """An attempt with a claim."""

    __slots__ = ("_claim", "_has_departed", "_is_over", "_most", "_purse", "_rates")

    def __init__(self, purse: Purse, claim: Claim, rates: Rates, most: Usage | None) -> None:
        self._purse = purse
        self._claim = claim
        self._rates = rates
        self._most = most
        self._has_departed = self._is_over = False

    def departed(self) -> None:
        self._has_departed = True

    def landed(self, usage: Usage | None) -> None:
        if usage is None:
            self._settle(0, self._worst())
        elif usage.prompt_tokens:
            self._settle(self._rates.cost(usage))
        else:
            self._settle(self._rates.cost(usage), self._worst(only_prompt=True))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_over:
            return
        if isinstance(error, CallError) and error.usage is not None:
            self.landed(error.usage)
        elif not self._has_departed or (isinstance(error, CallError) and not may_be_billed(error)):
            self._settle(0)
        else:
            self._settle(0, self._worst())

    def _worst(self, *, only_prompt: bool = False) -> int:
        if self._most is None:
            self._purse.is_unbounded = True
            return 0
        if only_prompt:
            return self._most.prompt_tokens * self._rates.input
        return self._rates.worst(self._most)

    def _settle(self, cost: int, unsure: int = 0) -> None:
        self._is_over = True
        self._purse.settle(self._claim, cost, unsure)
