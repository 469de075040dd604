"""How many attempts may be under way at once: found out, and found again when it changes. Pure.

Rules:

- It begins with 8 and doubles every 25 ms up to the ceiling that the user named (up to 64 if none
  was), then grows by one with each success, which doubles it with each round trip, until the first
  signal. A server that refuses does so within a round trip of the network, long before it has
  written a reply: there is no need to wait for replies. At 64 it waits all the same, until the
  order of the first replies shows that they do not stand in a queue: see `volley`. If none has
  come 0.75 s after the first attempt, it goes on.
- Refused (429, 529), the limit becomes 0.9 of what was under way beside it; refusals of the same
  volley cut it further, but not below 0.7 of what it was (the first volley: to whatever is left
  standing). What was sent before a cut says nothing about the limit after it: one cut a round.
- From then on attempts are paced: sent at even distances, at a rate that is the limit over the time
  of a reply. Most quotas are refilled by the clock, and what leaves evenly finds them refilled;
  after a pause, too, attempts leave one by one. As many may be under way as that takes, and a
  quarter more: the pace is what binds, as replies scatter.
- Each clean round (as many successes as the limit, at least 4, of requests sent after the last
  cut) gives back 2 %, then 4 %, 8 %, 16 %, at most 25 %; after the first volley, which tells
  little, it doubles. Near what was refused the last time it goes by 1 %: it passes quickly through
  what is known to be fine and slowly through what is not.
- It grows only if at least 0.8 of it was used.
- Replies that are slow because they wait for each other lower the limit: see `latency`, and
  `sounding` where nothing is known of replies that did not wait. As long as that is so, only
  replies that show that more than half of the limit is worked on let it grow beyond 64.
- Too few file descriptors lower the ceiling itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from distilabel.limits.adaptive_policy import AdaptivePolicy
from distilabel.limits.latency import LatencyGuard
from distilabel.limits.volley import Places, Volley

__all__ = ["Adaptive", "AdaptiveStatistics", "LimitReason", "Sent"]

LimitReason: TypeAlias = Literal["start", "growth", "throttled", "latency", "files"]
"""Why the limit is what it is."""


_REPLY_SHARE = 1 / 64
"""Of one reply in the mean time of a reply."""
_REPLY_MIN_S = 0.001
"""No reply is quicker than that, even where a virtual clock stands still."""


class Sent(NamedTuple):
    """What is to be known about an attempt when it ends."""

    epoch: int
    """Cuts made before it was sent."""
    rank: int
    """Attempts under way when it was sent, itself included."""
    number: int
    """Attempts sent so far, itself included."""
    at: float
    """When it was sent."""


@dataclass(frozen=True, slots=True)
class AdaptiveStatistics:
    """The controller at one moment."""

    limit: int
    ceiling: int
    in_flight: int
    cuts: int
    reason: LimitReason
    rate_per_s: float | None
    """Attempts a second, evenly spaced; None: as many as the limit allows."""


class Adaptive:
    """The limit of one backend.

    Args:
        ceiling: the most it may be.
        ramp_to: up to where it doubles by the clock; None: up to the ceiling.
        policy: numbers.

    >>> adaptive = Adaptive(ceiling=64)
    >>> attempts = [adaptive.sent(now=0.0) for _ in range(8)]
    >>> adaptive.limit
    8
    >>> adaptive.tick(now=0.1)
    >>> adaptive.limit
    64
    >>> adaptive.ended()
    >>> adaptive.refused(now=0.1, sent=attempts.pop())
    >>> adaptive.limit
    7
    """

    def __init__(
        self, ceiling: int, ramp_to: int | None = None, policy: AdaptivePolicy | None = None
    ) -> None:
        self.policy = policy or AdaptivePolicy()
        self.ceiling = ceiling
        self.guard = LatencyGuard()
        self._ramp_to = ceiling if ramp_to is None else min(ceiling, ramp_to)
        self._limit = float(min(ceiling, self.policy.start))
        self._reason: LimitReason = "start"
        self._ramp_at: float | None = None
        self._volley: Volley | None = Volley()
        self._is_held = True
        self._number = 0
        self._is_ramping = self._limit < self._ramp_to
        self._now = 0.0
        self._settled_at = math.inf
        self._in_flight = 0
        self._peak = 0
        self._epoch = 0
        self._has_signal = False
        self._cuts = 0
        self._volley_from = self._volley_min = 0.0
        self._clean = 0
        self._is_clean = self._had_clean_round = False
        self._growth = self.policy.growth_first
        self._refused_at: float | None = None
        self._reply_s = 0.0
        self._is_paced = False
        self._rate = 0.0
        self._next_at = 0.0

    @property
    def limit(self) -> int:
        """Attempts that may be under way at once, now."""
        if not self._rate:
            return int(self._limit)
        return min(self.ceiling, int(self.policy.pace_room * self._limit) + 1)

    @property
    def _ramps_to(self) -> int:
        if self._volley is None or not self._is_held:
            return self._ramp_to
        return min(self._ramp_to, self._volley.policy.held_at)

    @property
    def _is_waiting(self) -> bool:
        """Whether the first reply decides, or the clock if it takes long, about a larger limit."""
        is_silent = self._volley is not None and not self._volley.has_replies
        return is_silent and self._limit < self._ramp_to

    @property
    def is_ramping(self) -> bool:
        """Whether `tick` would make the limit larger before long."""
        return self._is_ramping

    def statistics(self) -> AdaptiveStatistics:
        """The controller at this moment."""
        return AdaptiveStatistics(
            self.limit, self.ceiling, self._in_flight, self._cuts, self._reason, self._rate or None
        )

    def allow(self, ceiling: int, ramp_to: int | None = None) -> None:
        """The user allows so many from now on, and so many before a reply has come."""
        self.ceiling = ceiling
        self._ramp_to = ceiling if ramp_to is None else min(ceiling, ramp_to)
        if not self._has_signal:
            self._limit = max(self._limit, float(min(ceiling, self.policy.start)))
            self._is_ramping = self._is_waiting or self._limit < self._ramps_to
        self._set(self._limit, self._reason)

    # What happens to attempts.

    def wait_s(self, now: float) -> float:
        """Seconds until the next attempt may be sent, for even distances; 0: now."""
        return max(0.0, self._next_at - now) if self._rate else 0.0

    def sent(self, now: float) -> Sent:
        """An attempt starts."""
        self._in_flight += 1
        self._number += 1
        self._now = now
        self._settled_at = min(self._settled_at, now + self.policy.settle_s)
        self._peak = max(self._peak, self._in_flight)
        if self._rate:
            self._next_at = max(self._next_at, now) + 1.0 / self._rate
        if self._is_ramping:
            self.tick(now)
        return Sent(self._epoch, self._in_flight, self._number, now)

    def ended(self) -> None:
        """An attempt is over, however it ended. Called once for each `sent`, before its outcome."""
        self._in_flight -= 1

    def tick(self, now: float) -> None:
        """Time has passed: double as often as is due, while nothing speaks against it."""
        if not self._is_ramping:
            return
        if self._ramp_at is None:
            self._ramp_at = now + self.policy.ramp_s
        if self._is_held and now >= self._settled_at - self.policy.settle_s + self.policy.held_s:
            if self._limit >= self._ramps_to:  # it has waited
                self._ramp_at = max(self._ramp_at, now)
            self._is_held = False
        while now >= self._ramp_at and self._is_ramping:
            self._ramp_at += self.policy.ramp_s
            self._set(min(self._ramps_to, 2.0 * self._limit), "growth")
            self._is_ramping = self._is_waiting or self._limit < self._ramps_to

    def succeeded(self, sent: Sent, seconds: float | None, tokens: float) -> None:
        """A complete reply came, after `seconds`, with `tokens` in each generation.

        None: how long the server took is not known.
        """
        if seconds is None:
            self._succeeded_untold(sent)
            return
        seconds = max(seconds, _REPLY_MIN_S)
        self._reply_s += (seconds - self._reply_s) * (_REPLY_SHARE if self._reply_s else 1.0)
        if self._volley is not None and self._look_at(self._volley, sent, seconds, tokens):
            return
        if sent.epoch != self._epoch:
            return
        if self._is_paced:
            if not self._rate:
                self._rate = self._limit / self._reply_s
            self._limit = min(max(1.0, self._rate * self._reply_s), float(self.ceiling))
        shown = math.inf if self._is_paced else self._shown(sent)  # paced, the depth is not sounded
        found = self.guard.note(sent.rank, seconds, max(tokens, 1.0), self._limit, shown)
        if self._now < self._settled_at:  # connections are made, modules imported
            found = None
            self.guard.abandon(0.0)
        if found is not None:
            self._volley = None  # it would take what was sent from now on for the first requests
            self._signal()
            self._is_paced, self._rate, self._refused_at = False, 0.0, None
            self._growth = self.policy.growth_first
            self._set(found, "latency")
        elif not self.guard.is_trying:
            self._grow(sent)

    def _shown(self, sent: Sent) -> int:
        """So many requests at least are worked on at once: those not over of the first ones."""
        return sent.number - (self._number - self._in_flight - 1)

    def _succeeded_untold(self, sent: Sent) -> None:
        if self._volley is not None and self._volley.missed():
            self._free(self._volley)
        if sent.epoch == self._epoch and not self.guard.is_trying:
            self._grow(sent)

    def _look_at(self, volley: Volley, sent: Sent, seconds: float, tokens: float) -> bool:
        """Whether the first replies say something that takes the place of all other rules."""
        if volley.is_trying and sent.epoch == self._epoch:
            verdict = volley.tried(seconds, tokens)
            if verdict is None:
                return True
            if verdict == "free":
                self._free(volley)
                return True
            self._signal()
            if isinstance(verdict, Places):
                self._volley, verdict = None, self.guard.begin(verdict)
            self._set(verdict, "latency")
            return True
        if sent.epoch:  # of a trial before this one
            return True
        self._is_ramping &= self._limit < self._ramps_to
        found = volley.replied(sent.number, sent.at + seconds, seconds, self._in_flight + 1)
        if found == "free":
            self._free(volley)
        elif found is not None:
            self._signal()
            self._set(found, "latency")
        return volley.is_trying

    def _free(self, volley: Volley) -> None:
        """No queue was found in the first replies: go on to double, or give the limit back."""
        self._volley = None
        self._ramp_at = None
        self._is_ramping = not self._has_signal and self._limit < self._ramp_to
        if volley.is_trying:
            self._signal()
            self._set(float(volley.peak), "growth")

    def refused(self, now: float, sent: Sent) -> None:
        """The server refused an attempt because there are too many."""
        policy = self.policy
        self._volley = None
        if sent.epoch == self._epoch:
            self._refused_at = (self._rate or self._limit) if self._cuts else None
            self._volley_from = self._limit
            self._volley_min = policy.cut_min * self._limit if self._cuts else 1.0
            self._growth = policy.growth_first if self._cuts else 1.0
            self._had_clean_round, self._is_clean = self._is_clean, False
            self._cuts += 1
            self._signal()
        elif sent.epoch != self._epoch - 1 or self._reason != "throttled":
            return
        cut = policy.cut_paced if self._rate and self._had_clean_round else policy.cut
        left = max(self._volley_min, cut * min(self._volley_from, self._in_flight + 1))
        share = min(1.0, left / self._limit)
        self._rate *= share
        self._is_paced = True
        self._set(share * self._limit, "throttled")
        self.guard.abandon(self._limit)
        if not self._rate and self._reply_s:
            self._rate = self._limit / self._reply_s
        if self._rate:
            self._next_at = max(self._next_at, now + 1.0 / self._rate)

    def starved(self) -> None:
        """There was no file descriptor for an attempt: no more than are under way now."""
        if self._in_flight >= self.ceiling:
            return  # that is known
        self.ceiling = max(1, self._in_flight)
        self._volley = None
        self._signal()
        self._set(self._limit, "files")

    # How it grows.

    def _signal(self) -> None:
        """What was sent before this moment says nothing about the limit after it."""
        self._has_signal = True
        self._is_ramping = False
        self._epoch += 1
        self._new_round()

    def _new_round(self) -> None:
        self._clean = 0
        self._peak = self._in_flight

    def _grow(self, sent: Sent) -> None:
        policy = self.policy
        if not self._has_signal:
            if self._volley is not None and self._limit >= self._volley.policy.held_at:
                return
            is_blind = self.guard.is_blind and self._now >= self._settled_at
            if is_blind and 2 * self._shown(sent) <= self._limit:
                return  # it may all be a queue
            if self._in_flight + 1 >= policy.busy_share * int(self._limit):
                self._set(self._limit + 1.0, "growth")
            return
        self._clean += 1
        if self._clean < max(self._limit, policy.round_min):
            return
        self._is_clean = True
        is_busy = self._peak >= policy.busy_share * int(self._limit)
        self._new_round()
        if is_busy:
            self._regrow()

    def _regrow(self) -> None:
        policy, refused_at = self.policy, self._refused_at
        now_at = self._rate or self._limit
        growth = self._growth
        least = 0.05
        if self.guard.growth_max is not None:
            # The guard looks every 96 replies, in which a small limit would grow many times.
            share = min(1.0, self._limit / self.policy.guarded_whole)
            growth, least = share * min(growth, self.guard.growth_max), 0.0
        self._growth = min(max(self._growth, policy.growth_max), 2.0 * self._growth)
        if refused_at is not None and now_at > 1.02 * refused_at:
            refused_at = self._refused_at = None
        if refused_at is not None:
            near = policy.near_share * refused_at
            if now_at >= near:
                growth, self._growth = policy.growth_near, policy.growth_first
            elif now_at * (1.0 + growth) > near:
                growth = near / now_at - 1.0
        self._rate *= 1.0 + growth
        self._set(
            self._limit * (1.0 + growth) + (0.0 if self._rate else least * (growth > 0)), "growth"
        )
        if self._limit >= self.ceiling:
            self._is_paced, self._rate = False, 0.0  # all that the user wants is taken

    def _set(self, limit: float, reason: LimitReason) -> None:
        before = self.limit
        self._limit = min(max(1.0, limit), float(self.ceiling))
        if self.limit != before:
            self._reason = reason
