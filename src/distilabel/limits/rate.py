"""Requests and tokens per minute: what the user says, and what replies tell. Pure.

Rules:

- What is limited leaves at even distances ("virtual scheduling", the Generic Cell Rate Algorithm of
  ITU-T I.371): no burst at the start, after a window or after an idle time, and in no minute more
  than was said.
- Tokens are reserved by an estimate before a call, and settled by what the reply says afterwards:
  what was too much is given back, what was too little is charged.
- `x-ratelimit-*` headers tell what is left and when all of it will be back. While more than a fifth
  is left they change nothing. Below it, what is left is spread over the next 5 s, on top of what
  comes back meanwhile: `(limit - remaining) / reset` a second, as in a bucket that refills evenly.
  For a window that comes back at once that is more than its share, and the server's own
  `Retry-After` does the rest: a limit that was learned never slows down without need.
- Values that contradict each other are not believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distilabel.limits.retry_after import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Pace", "Quota", "Rate", "RateStatistics", "read_quota"]

_SLACK_S = 0.05
"""How late something may leave and still have the next one leave as if it had been in time."""
_LOW_SHARE = 0.2
_SPREAD_S = 5.0
_RESET_MAX_S = 86_400.0 * 31
_TOKEN_CHARACTERS = 4
_REPLY_TOKENS_AT_FIRST = 256.0


class Pace:
    """Lets a quantity through at an even rate.

    >>> pace = Pace(rate_per_s=2.0)
    >>> pace.take(now=0.0, amount=1.0)
    >>> pace.wait_s(now=0.0), pace.wait_s(now=10.0)
    (0.45, 0.0)
    """

    __slots__ = ("_next_at", "rate_per_s")

    def __init__(self, rate_per_s: float) -> None:
        self.rate_per_s = rate_per_s
        self._next_at = -math.inf

    def wait_s(self, now: float) -> float:
        """Seconds until something may leave; 0: now."""
        return max(0.0, self._next_at - now)

    def take(self, now: float, amount: float) -> None:
        """Something leaves: the next may when its share of the time has passed."""
        self._next_at = max(self._next_at, now - _SLACK_S) + amount / self.rate_per_s

    def settle(self, amount: float) -> None:
        """So much more was used than was said (less, if negative)."""
        self._next_at += amount / self.rate_per_s


@dataclass(frozen=True, slots=True)
class Quota:
    """What a reply told about one limit."""

    limit: float
    remaining: float
    reset_s: float
    """When all of it will be back."""

    @property
    def rate_per_s(self) -> float | None:
        """How fast what is left may be used; None: there is enough of it.

        >>> Quota(limit=600, remaining=300, reset_s=30.0).rate_per_s
        >>> Quota(limit=600, remaining=60, reset_s=54.0).rate_per_s
        22.0
        """
        if self.remaining > _LOW_SHARE * self.limit:
            return None
        return (self.limit - self.remaining) / self.reset_s + self.remaining / _SPREAD_S


def read_quota(headers: Mapping[str, str], kind: str) -> Quota | None:
    """What `x-ratelimit-*-{kind}` headers tell; None if nothing, or nothing that can be.

    Args:
        headers: of a reply; names in lower case, or a case-insensitive mapping.
        kind: "requests" or "tokens".

    >>> read_quota({"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "20",
    ...             "x-ratelimit-reset-requests": "57.6s"}, "requests")
    Quota(limit=500.0, remaining=20.0, reset_s=57.6)
    """
    limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
    remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    reset_s = parse_duration(headers.get(f"x-ratelimit-reset-{kind}"))
    if limit is None or remaining is None or reset_s is None:
        return None
    if not (limit > 0 and 0 <= remaining <= limit and 0 < reset_s <= _RESET_MAX_S):
        return None
    return Quota(limit, remaining, reset_s)


@dataclass(frozen=True, slots=True)
class RateStatistics:
    """What is kept to at one moment, per second; None: no limit."""

    requests_per_s: float | None
    tokens_per_s: float | None
    tokens_estimated: float
    """Tokens that the next reply is expected to bring."""


class Rate:
    """Requests and tokens per minute of one backend.

    Args:
        requests_per_minute: None: none that the user knows of.
        tokens_per_minute: read and written together; None: the same.

    >>> rate = Rate(requests_per_minute=60)
    >>> rate.sent(now=0.0, tokens=0.0)
    >>> 0.9 <= rate.wait_s(now=0.0) <= 1.1
    True
    """

    def __init__(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self._said: dict[str, float] = {}
        self._paces: dict[str, Pace] = {}
        self._reply_tokens = _REPLY_TOKENS_AT_FIRST
        self._has_reply = False
        self.says(requests_per_minute, tokens_per_minute)

    def says(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        """The user names limits, instead of those named before."""
        for kind, said in (("requests", requests_per_minute), ("tokens", tokens_per_minute)):
            if said is not None:
                # In no minute more than that, its first and its last moment included.
                self._said[kind] = said / 60.0 / (1.0 + 1.0 / said + _SLACK_S / 60.0)
                self._keep_to(kind, self._said[kind])
            elif self._said.pop(kind, None) is not None:
                del self._paces[kind]

    @property
    def is_limiting(self) -> bool:
        """Whether anything is kept to."""
        return bool(self._paces)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a call takes."""
        return "tokens" in self._paces

    def statistics(self) -> RateStatistics:
        """What is kept to at this moment."""
        rates = {kind: pace.rate_per_s for kind, pace in self._paces.items()}
        return RateStatistics(rates.get("requests"), rates.get("tokens"), self._reply_tokens)

    def estimate(self, characters: int, texts: int) -> float:
        """Tokens that a call will take: a prompt so long, and so many texts in reply."""
        return characters / _TOKEN_CHARACTERS + texts * self._reply_tokens

    def wait_s(self, now: float) -> float:
        """Seconds until the next call may be sent; 0: now."""
        return max((pace.wait_s(now) for pace in self._paces.values()), default=0.0)

    def sent(self, now: float, tokens: float) -> None:
        """A call leaves, with so many tokens reserved."""
        for kind, pace in self._paces.items():
            pace.take(now, tokens if kind == "tokens" else 1.0)

    def settled(self, reserved: float, used: float) -> None:
        """A call is over: it took `used` tokens of the `reserved` ones; 0 if it was refused."""
        if (pace := self._paces.get("tokens")) is not None and reserved:
            pace.settle(used - reserved)

    def replied(self, tokens: float) -> None:
        """A text of so many tokens came: the next are expected to be like the last ones."""
        share = 0.1 if self._has_reply else 1.0
        self._has_reply = True
        self._reply_tokens += (tokens - self._reply_tokens) * share

    def learn(self, headers: Mapping[str, str]) -> None:
        """A reply tells what is left."""
        for kind in ("requests", "tokens"):
            quota = read_quota(headers, kind)
            rate, said = None if quota is None else quota.rate_per_s, self._said.get(kind)
            known = [each for each in (rate, said) if each is not None]
            if known:
                self._keep_to(kind, min(known))
            elif quota is not None:
                self._paces.pop(kind, None)

    def _keep_to(self, kind: str, rate_per_s: float) -> None:
        pace = self._paces.get(kind)
        if pace is None:
            self._paces[kind] = Pace(rate_per_s)
        else:
            pace.rate_per_s = rate_per_s


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
