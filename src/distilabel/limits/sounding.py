"""How deep a queue is, where nobody saw what a reply takes without one. Pure.

The guard for queues learns what is to be expected from the first replies. Where the client was held
up while they came, there is nothing to compare later ones with, and a queue that stands from the
start stays unseen. So the depth is sounded:

- First for free: a reply tells how many requests are worked on at once, namely its number less
  those that were over when it came, as a queue is served in order. If one in twenty shows more than
  half of those under way, at most half of them can queue, and nothing is tried.
- Otherwise half of the requests are let under way, and what replies take then is compared with what
  they took before. Half a queue is half as long: if they come more than 1.4 times as soon, it was
  one, and half of that is tried. Else what they take is what is to be expected.
- Places are then the requests that were under way at first, times what a reply takes now, over what
  it took then (Little's law). While there is a queue the server has enough to do: only the last
  step costs something, as much as half a round of replies or so.

A reply counts by what its length lets expect, fitted to the replies before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from distilabel.limits.fit import Fit

__all__ = ["Sounded", "Sounding", "SoundingPolicy"]


@dataclass(frozen=True, slots=True)
class SoundingPolicy:
    """The numbers of `docs/design/limits.md`."""

    replies: int = 96
    """Replies of a step."""
    free_share: float = 0.05
    """Of the replies, to show that more than half of the requests are worked on at once."""
    step: float = 0.5
    """The part of the requests under way that the next step lets through."""
    of_one_max: float = 5.0
    """One reply counts for no more than this many times what is to be expected."""


class Sounded(NamedTuple):
    """What was found."""

    limit_before: float
    places: float | None
    """None: no queue."""
    fit: Fit
    """What a reply takes that did not wait."""


class Sounding:
    """Lowers the limit step by step, as long as replies become quicker by it.

    >>> sounding, limit, found = Sounding(), 64.0, None
    >>> while not isinstance(found, Sounded):  # 16 places; a reply takes a second
    ...     limit = found or limit
    ...     found = sounding.note(int(limit), 1, max(1.0, limit / 16), 100.0, limit)
    >>> limit, round(found.places, 3)
    (8.0, 16.0)
    """

    def __init__(self, policy: SoundingPolicy | None = None) -> None:
        self.policy = policy or SoundingPolicy()
        self._before: Fit | None = None
        self._limit_before = self._rank_before = 0.0
        self._toll = 1.0
        self._begin(0.0)

    @property
    def is_under_way(self) -> bool:
        """Whether the limit was lowered; it is to stay as it is."""
        return self._before is not None

    def abandon(self, limit: float) -> None:
        """Something else set the limit: what was being found out is void."""
        self._before, self._toll = None, 1.0
        self._begin(limit)

    def note(
        self, rank: int, shown: float, seconds: float, tokens: float, limit: float
    ) -> float | Sounded | None:
        """A reply came, to a request sent under the present limit.

        Args:
            rank: requests under way when it was sent, itself included.
            shown: its number, less those that were over when it came.
            seconds: from the request to the whole reply.
            tokens: that it brought, more than 0; of parallel generations, for each.
            limit: the present limit.

        Returns:
            The limit to use from now on, what was found, or None: nothing yet.
        """
        if self._skip >= 1.0:  # what comes first after a change are the quick ones
            self._skip -= 1.0
            return None
        self._fit.add(seconds, tokens)
        self._ranks += rank
        self._free += 2.0 * shown > rank
        if self._before is not None:
            expected_s = self._before.expected_s(tokens)
            self._expected_s += expected_s
            self._seconds += min(seconds, self.policy.of_one_max * expected_s)
        if self._fit.replies < self.policy.replies:
            return None
        return self._start(limit) if self._before is None else self._go_on(limit)

    def _begin(self, skip: float) -> None:
        self._skip = skip
        self._fit = Fit()
        self._ranks = self._free = 0
        self._expected_s = self._seconds = 0.0

    def _start(self, limit: float) -> float | None:
        rank = self._ranks / self._fit.replies
        if self._free >= self.policy.free_share * self._fit.replies or rank < 2.0:
            self._begin(0.0)
            return None
        self._fit.solve()
        self._before, self._limit_before, self._rank_before = self._fit, limit, rank
        return self._lower(rank)

    def _lower(self, limit: float) -> float:
        lower = max(1.0, float(int(self.policy.step * limit)))
        self._begin(lower)
        return lower

    def _go_on(self, limit: float) -> float | Sounded:
        toll, toll_before = self._seconds / self._expected_s, self._toll
        is_queue = toll < sqrt(self.policy.step) * toll_before
        if is_queue and limit >= 2.0:
            self._toll = toll
            return self._lower(limit)
        places = self._rank_before * toll if is_queue or toll_before < 1.0 else None
        self._fit.solve()
        found = Sounded(self._limit_before, places, self._fit)
        self.abandon(0.0)
        return found
