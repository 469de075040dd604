"""Whether replies have become slow because too many are under way at once. Pure.

A server that queues (vLLM, TGI, llama.cpp) never says that it has enough: its replies only come
later. Rules:

- What a reply may take is an overhead and a time for each token, fitted to replies to requests that
  found few others under way. So replies of widely varying length are compared with what their own
  length lets expect, and a slow one counts for at most five times that.
- The toll is the time that replies took over what they may take, over 96 replies or a round,
  whichever is more; the replies that come first after a change are left out, as they are the quick
  ones. Neither noise nor a moment's trouble may look like a queue: the bar is 1.3 plus two standard
  errors two times in a row, or eight times 1.3 alone, or once 4.
- Above the bar stands a trial. The limit becomes the places that there are if it is a queue, or a
  fifth less while little is known about what replies may take. If it is a queue, replies become
  quick, nothing was lost, and the limit is set to 1.25 times the places. If they stay slow, the
  limit is given back. Unless replies then take longer again by more than the root of what the limit
  grew by, it was no queue (but a server that became slower, or that serves more in all while each
  takes longer), and the toll that was found is from then on what may be expected. So no slowness
  starves a run: at worst it costs a trial.
- Once a queue was found, the limit grows by 1 % a round where the toll is above 1.1, and not at all
  above 1.2. Of few places one more is a lot, and one look at 96 replies may be too quick by chance:
  if a limit that grew to 4 to 8 has a toll nearer to that of a queue (the limit over the places)
  than to none, it goes back to 1.25 times the places.
- Where none of the first replies told what to expect, `sounding` finds it out.
- Where all replies come sooner than expected, the first ones were slow: expect less.
- At a limit of 4 or less there is nothing to find out, unless a queue was found: `volley` finds one
  of few places. Then a trial is made without a place less than there are, and is given up as soon
  as it is clear that replies stay slow. At a limit of 1 nothing of ours can queue: what replies
  take is to be expected.

The idea to find the knee by undershooting it for a moment is BBR's (Cardwell et al., "BBR:
Congestion-Based Congestion Control", ACM Queue 14(5), 2016, "ProbeRTT").
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING

from distilabel.limits.fit import Fit
from distilabel.limits.sounding import Sounded, Sounding

if TYPE_CHECKING:
    from distilabel.limits.volley import Places

__all__ = ["LatencyGuard", "LatencyPolicy"]


@dataclass(frozen=True, slots=True)
class LatencyPolicy:
    """The numbers of `docs/design/limits.md`."""

    toll_max: float = 1.3
    """The toll above which a trial is made, noise apart."""
    settle_max: int = 64
    """Replies after the first ones that are left out, at most."""
    toll_at_once: float = 4.0
    """The toll above which no second round is waited for,"""
    at_once_s: float = 5.0
    """if it has been so for this long: an event loop that was held up is not a queue."""
    strikes_clear: int = 2
    """So many rounds in a row above it, a moment's trouble is no excuse."""
    strikes: int = 8
    """So many, noise is no excuse."""
    noise: float = 0.7
    """Standard deviation of one reply's toll (lognormal with sigma 0.6: 0.66)."""
    seconds_min: float = 0.01
    """What comes sooner took this long: less is the client's own work."""
    toll_of_one_max: float = 5.0
    """One reply counts for no more than this many times the others."""
    low_rank: int = 16
    """Requests that found fewer others under way show what is to be expected, at first."""
    replies_min: int = 96
    """Replies that a decision takes at least."""
    look_each: int = 16
    """Replies between two looks at the toll, for one that is far above the bar."""
    trial_share: float = 0.8
    """The part of the presumed places that a trial uses, as long as little is known."""
    knee_share: float = 1.25
    """The limit after a trial that found a queue, in places."""
    toll_near: float = 1.1
    """The toll above which, once a queue was found, the limit grows slowly."""
    toll_held: float = 1.2
    """The toll above which, once a queue was found, it does not grow."""
    growth_below: float = 0.25
    """Growth in a round, once a queue was found and while there is none."""
    growth_near: float = 0.01
    sure_after: int = 256
    """Replies after which it is known what they may take, and a trial need not show it."""
    limit_min: int = 4
    errors_known: float = 3.0
    """Once few places are known, so many standard errors above a bar need no second look."""
    few_min: float = 3.0
    """Between this limit"""
    few_max: int = 8
    """and this one, growth beyond the places that are known is taken back by what it brought."""
    memory: float = 512.0
    """Replies that the fit remembers."""


class _Window:
    """Replies since the last decision."""

    __slots__ = ("expected_s", "ranks", "replies", "seconds", "skip")

    def __init__(self) -> None:
        self.clear()

    def clear(self, skip: float = 0.0) -> None:
        """Begin anew, without the next `skip` replies: those that come first are the quick ones."""
        self.replies = self.ranks = 0
        self.seconds = self.expected_s = 0.0
        self.skip = skip

    @property
    def toll(self) -> float:
        return self.seconds / self.expected_s

    @property
    def rank(self) -> float:
        return self.ranks / self.replies


@dataclass(slots=True)
class _Trial:
    limit_before: float
    rank: float
    toll: float
    fit: Fit | None


class LatencyGuard:
    """Finds, reply by reply, the limit above which requests only wait for each other.

    >>> guard = LatencyGuard()
    >>> for rank in range(1, 17):
    ...     _ = guard.note(rank, seconds=1.0, tokens=100.0, limit=64.0)
    >>> found = [guard.note(64, seconds=4.0, tokens=100.0, limit=64.0) for _ in range(260)]
    >>> [round(limit, 1) for limit in found if limit], guard.is_trying
    ([12.8], True)
    """

    def __init__(self, policy: LatencyPolicy | None = None) -> None:
        self.policy = policy or LatencyPolicy()
        self.knee: float | None = None
        """Places that the server seems to have; None: no queue was found so far."""
        self.growth_max: float | None = None
        """The most that the limit may grow by in a round; None: the guard does not mind."""
        self._fit = Fit()
        self._window = _Window()
        self._fair = 1.0
        self._recent = 1.0
        self._slow_windows = 0
        self._doubt: tuple[float, float] | None = None
        self._trial: _Trial | None = None
        self._sounding = Sounding()

    @property
    def is_trying(self) -> bool:
        """Whether a trial is under way; the limit is to stay as it is."""
        return self._trial is not None or self._sounding.is_under_way

    @property
    def is_blind(self) -> bool:
        """Whether nobody saw so far what a reply takes that does not wait."""
        return self._fit.replies < self.policy.low_rank

    @property
    def toll(self) -> float:
        """What replies take, over what they may take, since the last decision; 1: just that."""
        return self._window.toll / self._fair if self._window.replies else 1.0

    def abandon(self, limit: float) -> None:
        """Something else set the limit: what was being found out is void."""
        self._trial = self._doubt = None
        self._sounding.abandon(limit)
        self._window.clear(limit)

    def begin(self, found: Places) -> float:
        """A queue was found by the first replies; returns the limit to use."""
        self.knee = found.places
        self.growth_max = self.policy.growth_near
        self._fit = Fit()
        for seconds, tokens in found.replies:
            self._fit.add(max(seconds, self.policy.seconds_min), tokens)
        self._fit.solve()
        self._fair = self._recent = 1.0
        limit = max(1.0, self.policy.knee_share * found.places)
        self.abandon(limit)
        return limit

    def note(
        self, rank: int, seconds: float, tokens: float, limit: float, shown: float = inf
    ) -> float | None:
        """A reply came, to a request sent under the present limit.

        Args:
            rank: requests under way when it was sent, itself included.
            seconds: from the request to the whole reply.
            tokens: that it brought, more than 0; of parallel generations, for each.
            limit: the present limit.
            shown: its number, less those that were over when it came: so many the server works on
                at once, if it has a queue. Infinite: the depth of a queue is not to be sounded.

        Returns:
            The limit to use from now on; None: no other.
        """
        policy, fit, window = self.policy, self._fit, self._window
        seconds = max(seconds, policy.seconds_min)
        if self._sounding.is_under_way:
            return self._sound(rank, shown, seconds, tokens, limit)
        if rank <= self._low_rank and fit.replies < policy.replies_min and self._trial is None:
            fit.add(seconds, tokens)
            fit.solve()
            if self.knee is None and fit.replies == policy.low_rank:
                window.clear(min(limit, policy.settle_max))
        if self.is_blind:
            return None if shown == inf else self._sound(rank, shown, seconds, tokens, limit)
        if window.skip > 0:
            window.skip -= 1
            return None
        expected_s = fit.expected_s(tokens)
        toll = min(seconds / expected_s, policy.toll_of_one_max * max(self._fair, self._recent))
        self._recent += (toll - self._recent) / policy.look_each
        window.replies += 1
        window.ranks += rank
        window.expected_s += expected_s
        window.seconds += toll * expected_s
        if self._trial is not None:
            return self._tried(self._trial, seconds, tokens, limit)
        if window.replies % policy.look_each:
            return None
        return self._look(limit)

    def _sound(
        self, rank: int, shown: float, seconds: float, tokens: float, limit: float
    ) -> float | None:
        found = self._sounding.note(rank, shown, seconds, tokens, limit)
        if not isinstance(found, Sounded):
            return found
        self._fit, self._fair, self._recent = found.fit, 1.0, 1.0
        if found.places is None:
            limit = found.limit_before
        else:
            self.knee, self.growth_max = found.places, self.policy.growth_near
            limit = max(1.0, self.policy.knee_share * found.places)
        self.abandon(limit)
        return limit

    @property
    def _low_rank(self) -> float:
        """Requests that found fewer others under way did not wait."""
        return self.policy.low_rank if self.knee is None else max(1.0, 0.8 * self.knee)

    @property
    def _limit_min(self) -> int:
        """At so much or less nothing is tried."""
        return self.policy.limit_min if self.knee is None else 1

    def _look(self, limit: float) -> float | None:
        policy, window = self.policy, self._window
        toll = self.toll
        error = policy.noise * sqrt(1.0 / window.replies + 1.0 / self._fit.replies)
        is_over = window.replies >= max(policy.replies_min, limit)
        if self._doubt is not None:
            return self._resolve(self._doubt, toll, limit) if is_over else None
        lasts_s = window.seconds / window.rank  # by Little's law, had replies come evenly
        is_slow = toll > policy.toll_at_once and lasts_s > policy.at_once_s
        is_slow &= window.replies >= policy.replies_min
        if is_over and not is_slow:
            self._slow_windows = self._slow_windows + 1 if toll > policy.toll_max else 0
            is_clear = toll > policy.toll_max + 2.0 * error
            is_slow = self._slow_windows >= (policy.strikes_clear if is_clear else policy.strikes)
            if self.knee is not None and limit <= policy.low_rank:
                is_slow |= toll > policy.toll_max + policy.errors_known * error
        if is_slow and int(limit) > self._limit_min:
            return self._try(toll, limit)
        return self._conclude(toll, error, limit) if is_over else None

    def _resolve(self, doubt: tuple[float, float], toll: float, limit: float) -> float | None:
        """The limit was given back: do requests take longer for it, or would they anyhow?"""
        window, self._doubt = self._window, None
        before, rank = doubt
        if window.toll > before * sqrt(max(1.0, window.rank / rank)):
            return self._try(toll, limit)
        self._fair = max(1.0, window.toll)
        window.clear()
        return None

    def _try(self, toll: float, limit: float) -> float:
        policy, window = self.policy, self._window
        self._slow_windows = 0
        found = window.rank / toll
        is_few = self.knee is not None and found < policy.low_rank
        is_sure = is_few or self._fit.replies >= policy.sure_after
        self._trial = _Trial(limit, window.rank, window.toll, None if is_sure else Fit())
        if is_few:
            found = float(int(found + 0.5))  # one place less would be many of few
        elif not is_sure:
            found *= policy.trial_share
        found = max(self._limit_min, found)
        window.clear(found)
        return found

    def _conclude(self, toll: float, error: float, limit: float) -> float | None:
        policy = self.policy
        if toll < 1.0 - max(0.2, 2.0 * error):
            self._fit.times(toll)
            self._fit.solve()
        elif self._fair > 1.0:
            self._fair = max(1.0, self._fair * 0.99)  # what was slow once may be quick again
        self._window.clear()
        if self.knee is None:
            return None
        if int(limit) == 1:  # nothing of ours can queue
            if toll > policy.toll_max:
                self._fit.times(toll)
                self._fit.solve()
            self.growth_max = policy.growth_below
        elif int(limit) > 1.5 * self.knee and toll < policy.toll_near:
            is_few = limit < policy.replies_min
            self.knee = float(int(limit)) if is_few else None
            self.growth_max = policy.growth_below if is_few else None
        elif toll < policy.toll_near:
            self.growth_max = policy.growth_below
        else:
            self.growth_max = policy.growth_near if toll < policy.toll_held else 0.0
            return self._step_back(self.knee, toll, limit)
        return None

    def _step_back(self, knee: float, toll: float, limit: float) -> float | None:
        """One more than few places is a lot: was it only noise that let the limit grow?"""
        policy = self.policy
        back = policy.knee_share * knee
        is_few = back >= policy.few_min and int(limit) <= policy.few_max
        if not is_few or int(limit) <= int(back) or toll <= sqrt(int(limit) / knee):
            return None
        self._window.clear(back)
        return back

    def _tried(self, trial: _Trial, seconds: float, tokens: float, limit: float) -> float | None:
        policy, window = self.policy, self._window
        if trial.fit is not None:
            trial.fit.add(seconds, tokens)
        bar, toll = sqrt(trial.toll * self._fair), window.toll
        if not self._is_told(toll / bar, limit):
            return None
        self._trial = None
        if toll > bar:
            self._doubt = (toll, window.rank)
            window.clear(trial.limit_before)
            return trial.limit_before
        self._fair = max(1.0, min(self._fair, toll))
        knee = trial.rank * self._fair / trial.toll
        if trial.fit is not None and self._fair == 1.0:
            knee *= toll
            self._fit.merge(trial.fit)
            self._fit.fade(policy.memory)
            self._fit.solve()
        is_confirmed = self.knee is not None and 0.6 < knee / self.knee < 1.7
        self.knee = sqrt(knee * self.knee) if self.knee and is_confirmed else knee
        self.growth_max = policy.growth_near
        found = max(self._limit_min, policy.knee_share * self.knee)
        window.clear(found)
        return found

    def _is_told(self, share: float, limit: float) -> bool:
        """Whether a trial has taken long enough; few places are slow to fill a window."""
        policy, replies = self.policy, self._window.replies
        if replies >= max(policy.replies_min, limit):
            return True
        if self.knee is None or limit > policy.low_rank or replies < policy.look_each:
            return False
        return share > 1.0 + policy.errors_known * policy.noise / sqrt(replies)
