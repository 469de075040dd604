"""Whether the first requests stand in a queue, told by the order in which replies come. Pure.

The limit doubles by the clock, so that the first volley is sent before any reply has come, and a
server with few places has it all. Waiting until replies are slow would take as long as the volley
takes to be served. Rules:

- In a queue, the n-th request to be finished is one of the first n + places - 1 that were sent, and
  each takes longer than the one before. Where nothing queues, later requests overtake earlier ones
  as lengths happen to be, or (if all take the same time) none takes longer than the first.
- So many places are shown: the latest request that was answered, less those that were over before.
  As soon as that is more than half of the volley, the volley is free: the limit may go on to
  double. Until then it is held at 64, if replies come within 0.75 s.
- If from 16 replies on no more places were shown than half the replies, and later requests took 1.5
  times as long as the first, it is a queue. Places are then replies a second times what a request
  takes that did not wait (Little's law), which are those up to the number of places.
- At once the limit becomes 0.6 of these places, on trial: nothing is sent until the volley is
  served, which tells replies a second; those that come then tell how long one takes. The product
  of the two is the places. If it is less than 1.3 times the limit on trial, that may have queued
  itself, and half of it is tried; if it is two thirds of the volley or more, it was no queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Places", "Volley", "VolleyPolicy", "VolleyVerdict"]


@dataclass(frozen=True, slots=True)
class VolleyPolicy:
    """The numbers of `docs/design/limits.md`."""

    held_at: int = 64
    """No more are sent before replies have shown that nothing queues."""
    replies_min: int = 16
    look_each: int = 8
    replies_max: int = 96
    """Replies after which a volley that shows nothing is taken to be free."""
    growth_min: float = 1.5
    """How much longer later requests take than the first, in a queue."""
    seconds_min: float = 0.05
    """Quicker replies are the client's own work: it may be the client that queues."""
    trial_share: float = 0.6
    trial_replies_min: int = 48
    trial_replies_each: int = 8
    """Replies of a trial, for each request that may be under way."""
    trial_replies_max: int = 96
    sure_above: float = 1.3
    """A trial that tells of fewer places than so many times its limit may have queued itself."""
    places_share_max: float = 0.67
    """A queue has at most this part of the volley in places."""


class Places(NamedTuple):
    """What a trial found."""

    places: float
    replies: tuple[tuple[float, float], ...]
    """Seconds and tokens of requests that did not wait."""


VolleyVerdict: TypeAlias = Literal["free"] | Places


class _Reply(NamedTuple):
    number: int
    seconds: float


class Volley:
    """Looks at the first replies of a server.

    >>> volley = Volley()
    >>> limits = [volley.replied(number, now=1.0 * number, seconds=1.0 * number, under_way=64)
    ...           for number in range(1, 17)]
    >>> limits[-1], volley.is_trying
    (1.0, True)
    """

    def __init__(self, policy: VolleyPolicy | None = None) -> None:
        self.policy = policy or VolleyPolicy()
        self.is_trying = False
        """Whether the limit is on trial."""
        self.peak = 0
        """Requests that were under way at once, at most."""
        self._replies: list[_Reply] = []
        self._tried: list[tuple[float, float]] = []
        self._trial_replies = self._trial_limit = 0
        self._latest = self._shown = self._over = self._missed = 0
        self._begin = self._last = self._guess = 0.0

    @property
    def has_replies(self) -> bool:
        """Whether a reply has come."""
        return self._over > 0

    def replied(
        self, number: int, now: float, seconds: float, under_way: int
    ) -> float | Literal["free"] | None:
        """A reply came to a request of the volley.

        Args:
            number: of the request; the first that was sent is 1.
            now: the time.
            seconds: from the request to the whole reply.
            under_way: requests at this moment, this one included.

        Returns:
            The limit to try; "free": nothing queues; None: nothing is known yet.
        """
        if not self._over:
            self._begin = now - seconds
        self.peak = max(self.peak, under_way)
        if under_way < self._guess:
            return None  # the queue is served, and places are idle
        self._latest = max(self._latest, number)
        self._shown = max(self._shown, self._latest - self._over)
        self._over += 1
        self._last = now
        if self.is_trying:
            return None
        self._replies.append(_Reply(number, seconds))
        if 2 * self._shown > max(self.peak, self.policy.replies_min):
            return "free"
        return self._look()

    def missed(self) -> bool:
        """A reply came of which nothing is known; True: too many, nothing will be found."""
        self._missed += 1
        return self._missed >= self.policy.replies_max

    def _look(self) -> float | Literal["free"] | None:
        policy, replies = self.policy, len(self._replies)
        if replies < policy.replies_min or replies % policy.look_each:
            return None
        if 2 * self._shown <= replies and self._is_growing():
            places = self._places()
            if places <= policy.places_share_max * self.peak:
                self.is_trying, self._guess = True, places
                return self._try(max(1, int(policy.trial_share * places)))
        return "free" if replies >= policy.replies_max else None

    def _is_growing(self) -> bool:
        self._replies.sort()
        times = [reply.seconds for reply in self._replies]
        first, later = times[: len(times) // 4], times[len(times) // 2 :]
        first_s, later_s = _mean(first), _mean(later)
        policy = self.policy
        return min(first) >= policy.seconds_min and later_s >= policy.growth_min * first_s

    def _places(self) -> float:
        """Replies a second times the time of a reply that did not wait."""
        rate = self._rate()
        numbers = len(self._replies)
        while True:
            # Of places or fewer none waited; of more, each mean is above what it should be.
            places = rate * _mean([reply.seconds for reply in self._replies[:numbers]])
            fewer = max(1, ceil(places))
            if fewer >= numbers:
                return places
            numbers = fewer

    def _rate(self) -> float:
        return self._over / max(self._last - self._begin, self.policy.seconds_min)

    def _try(self, limit: int) -> float:
        policy = self.policy
        self._trial_limit = limit
        self._trial_replies = min(
            max(policy.trial_replies_min, policy.trial_replies_each * limit),
            policy.trial_replies_max,
        )
        self._tried.clear()
        return float(limit)

    def tried(self, seconds: float, tokens: float) -> VolleyVerdict | float | None:
        """A reply came to a request of the trial.

        Args:
            seconds: from the request to the whole reply.
            tokens: that it brought, for each generation.

        Returns:
            What was found; a number: the limit to try next; None: it takes more replies.
        """
        self._tried.append((seconds, tokens))
        if len(self._tried) < self._trial_replies:
            return None
        places = self._rate() * _mean([taken_s for taken_s, _ in self._tried])
        if places > self.policy.places_share_max * self.peak:
            return "free"
        if self._trial_limit > 1 and places < self.policy.sure_above * self._trial_limit:
            return self._try(self._trial_limit // 2)
        return Places(places, tuple(self._tried))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
