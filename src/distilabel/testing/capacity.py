"""How much a simulated endpoint can serve: slots with a queue, or a token bucket that refuses.

Rules:

- `Slots` serves ``n`` requests at once; the others wait, first come first served, without limit and
  without ever being refused: that is how vLLM behaves.
- A request that leaves the queue (its client went away) costs nothing; one that leaves its slot
  gives it to the one that has waited longest.
- `TokenBucket` never queues: a request finds a token, or is refused and told how long to wait. That
  is how a hosted API behaves. Its rate can be changed while it runs, from any thread; what was
  earned until that moment was earned at the old rate.
- A refused request takes nothing out of the bucket.

This module does not know asyncio: time comes in as an argument, or from a clock that is given.
"""

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bucket", "BucketStatistics", "Slots", "SlotsStatistics", "TokenBucket"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SlotsStatistics:
    """What `Slots` are doing.

    Attributes:
        n: how many requests can be served at once.
        serving: how many are being served.
        waiting: how many wait for a slot.
    """

    n: int
    serving: int
    waiting: int


class Slots(Generic[T]):
    """``n`` requests are served at once, the rest wait in order of arrival.

    >>> slots = Slots[str](1)
    >>> slots.arrive("a"), slots.arrive("b"), slots.arrive("c")
    (True, False, False)
    >>> slots.leave("a")
    'b'
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ValueError(f"there must be at least one slot, got {n}")
        self.n = n
        self._serving: set[T] = set()
        self._waiting: dict[T, None] = {}  # a dict keeps the order and forgets in O(1)

    def arrive(self, item: T) -> bool:
        """Whether the request may start now; otherwise it waits."""
        if len(self._serving) < self.n:
            self._serving.add(item)
            return True
        self._waiting[item] = None
        return False

    def leave(self, item: T) -> T | None:
        """Let the request go, served or not, and name the one that may start in its place."""
        if item in self._waiting:
            del self._waiting[item]
            return None
        self._serving.remove(item)
        if not self._waiting:
            return None
        following = next(iter(self._waiting))
        del self._waiting[following]
        self._serving.add(following)
        return following

    def statistics(self) -> SlotsStatistics:
        """How many are served and how many wait."""
        return SlotsStatistics(self.n, len(self._serving), len(self._waiting))


class Bucket:
    """A quantity that refills at a steady rate up to a limit: one half of a `TokenBucket`."""

    def __init__(self, rate_per_s: float, limit: float) -> None:
        self.rate_per_s = rate_per_s
        self.limit = limit
        self.level = limit
        self._settled_s: float | None = None

    def settle(self, now_s: float) -> None:
        """Credit what was earned since the last time, at the rate that held until now."""
        if self._settled_s is not None:
            earned = max(0.0, now_s - self._settled_s) * self.rate_per_s
            self.level = min(self.limit, self.level + earned)
        self._settled_s = now_s

    def wait_s(self, amount: float) -> float:
        """How long until that much is there; 0 when it is."""
        missing = min(amount, self.limit) - self.level
        if missing <= 0:
            return 0.0
        return missing / self.rate_per_s if self.rate_per_s > 0 else 3600.0

    def full_in_s(self) -> float:
        """How long until the bucket is full again."""
        return self.wait_s(self.limit)


@dataclass(frozen=True, slots=True)
class BucketStatistics:
    """What is left in a `TokenBucket`: the numbers of the ``x-ratelimit-*`` headers.

    Attributes:
        limit_requests: how many requests the full bucket admits at once.
        remaining_requests: how many it would admit now.
        reset_requests_s: when it will be full again.
        limit_tokens: how many language model tokens a minute, or None if they are not limited.
        remaining_tokens: how many are left, or None.
        reset_tokens_s: when they will all be back, or None.
    """

    limit_requests: int
    remaining_requests: int
    reset_requests_s: float
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None


class TokenBucket:
    """At most ``rate_per_s`` requests a second with bursts of ``burst``; above that, a 429.

    Args:
        rate_per_s: how many requests a second are admitted in the long run.
        burst: how many are admitted at once after a rest.
        tokens_per_min: optionally, how many language model tokens a minute are admitted as well;
            as OpenAI counts them: the prompt's, and the most that the reply may have.

    >>> bucket = TokenBucket(rate_per_s=2, burst=1)
    >>> bucket.take(now_s=0.0), bucket.take(now_s=0.0), bucket.take(now_s=0.5)
    (0.0, 0.5, 0.0)
    """

    def __init__(
        self, rate_per_s: float, burst: float = 1, *, tokens_per_min: float | None = None
    ) -> None:
        if rate_per_s < 0 or burst < 1:
            raise ValueError(f"need rate_per_s >= 0 and burst >= 1, got {rate_per_s} and {burst}")
        self.clock: Callable[[], float] = time.monotonic
        self._lock = threading.Lock()  # the rate is changed by a test, the tokens by the server
        self._requests = Bucket(rate_per_s, burst)
        self._tokens = (
            None if tokens_per_min is None else Bucket(tokens_per_min / 60, tokens_per_min)
        )

    @property
    def rate_per_s(self) -> float:
        """How many requests a second are admitted; may be set while the endpoint runs."""
        return self._requests.rate_per_s

    @rate_per_s.setter
    def rate_per_s(self, rate_per_s: float) -> None:
        with self._lock:
            self._requests.settle(self.clock())
            self._requests.rate_per_s = rate_per_s

    def take(self, now_s: float, tokens: int = 0) -> float:
        """0 if the request is admitted, otherwise how many seconds it should stay away."""
        with self._lock:
            self._requests.settle(now_s)
            wait_s = self._requests.wait_s(1)
            if self._tokens is not None:
                self._tokens.settle(now_s)
                wait_s = max(wait_s, self._tokens.wait_s(tokens))
            if wait_s == 0:
                self._requests.level -= 1
                if self._tokens is not None:
                    self._tokens.level -= tokens
            return wait_s

    def statistics(self) -> BucketStatistics:
        """What was left after the last request."""
        with self._lock:
            requests, tokens = self._requests, self._tokens
            limits = (int(requests.limit), max(0, int(requests.level)), requests.full_in_s())
            if tokens is None:
                return BucketStatistics(*limits)
            left = max(0, int(tokens.level))
            return BucketStatistics(*limits, int(tokens.limit), left, tokens.full_in_s())
