"""What to do after a failed attempt: wait, and how long, or give up. Pure: chance is an argument.

Rules (`docs/design/failures.md` has the table):

- Throttled and warming cost no attempt: the server is well, it is only busy or not up yet.
- Transient failures are tried again at most 5 times, invalid replies (they were paid for) at
  most twice, counted apart.
- Row-fatal and run-fatal failures are never tried again.
- The wait is `max(Retry-After, U(0, min(60, base·2^n))) + U(0, 0.1·Retry-After)`: full jitter,
  never earlier than the server asked, and spread out after it. The jitter's source: "Exponential
  Backoff And Jitter", AWS Architecture Blog, 2015.
- A server that asks for more than an hour is not waited for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distilabel.errors import (
    CallError,
    InvalidReplyError,
    ThrottledError,
    TransientError,
)
from distilabel.limits.failing import Failing

if TYPE_CHECKING:
    import random

__all__ = ["RetryPolicy", "RetryState"]


_RETRIES_AFTER_OUTAGE = 2
"""Retries of a call that had used up its own when the backend went away."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long. The numbers are those of `docs/design/failures.md`."""

    transient_retries_max: int = 5
    paid_retries_max: int = 2
    transient_base_s: float = 0.5
    throttle_base_s: float = 1.0
    warming_wait_s: float = 5.0
    """How long to leave a warming server alone if it gives no estimate."""
    backoff_max_s: float = 60.0
    retry_after_max_s: float = 3600.0

    def start(self) -> RetryState:
        """The state of one call, before its first attempt."""
        return RetryState(self)


@dataclass(slots=True)
class RetryState:
    """What one call has been through."""

    policy: RetryPolicy
    attempts: int = field(default=0)
    """Attempts made, of every kind."""
    transient: int = field(default=0)
    throttled: int = field(default=0)
    paid: int = field(default=0)
    """Attempts that brought a paid reply of no use."""
    failing: Failing = field(default_factory=Failing)
    """Since when it has failed."""
    spent: int = field(default=0)
    """What its retries have taken out of the backend's budget."""

    def acquitted(self) -> None:
        """Its failures were the backend's. It has some attempts again for when that is well."""
        self.transient = max(0, self.policy.transient_retries_max - _RETRIES_AFTER_OUTAGE)
        self.failing.quiet_times = 0

    def wait_s(self, error: CallError, chance: random.Random) -> float | None:
        """Seconds to wait before the next attempt; None: give up.

        >>> import random
        >>> from distilabel.errors import RowFatalError, TransientError
        >>> state = RetryPolicy().start()
        >>> state.wait_s(RowFatalError("too long", cause="context_length"), random.Random(0))
        >>> reset = TransientError("reset", cause="connection")
        >>> [state.wait_s(reset, random.Random(0)) is not None for _ in range(6)]
        [True, True, True, True, True, False]
        """
        policy = self.policy
        if isinstance(error, ThrottledError):
            self.throttled += 1
            return self._backoff(error, policy.throttle_base_s, self.throttled, chance)
        if isinstance(error, InvalidReplyError):
            self.paid += 1
            is_over, tries = self.paid > policy.paid_retries_max, self.paid
        elif isinstance(error, TransientError):
            self.transient += 1
            is_over, tries = self.transient > policy.transient_retries_max, self.transient
        else:
            return None
        return None if is_over else self._backoff(error, policy.transient_base_s, tries, chance)

    def _backoff(self, error: CallError, base_s: float, tries: int, chance: random.Random) -> float:
        asked_s = error.retry_after_s or 0.0
        ceiling_s = min(self.policy.backoff_max_s, base_s * 2.0 ** min(tries - 1, 10))
        return max(asked_s, chance.uniform(0.0, ceiling_s)) + chance.uniform(0.0, 0.1 * asked_s)
