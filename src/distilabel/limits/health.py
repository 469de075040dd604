"""How a backend is doing, and so what may be sent to it. Pure: time is an argument.

Rules:

- Paused: nothing is sent before the time that the server named (429, 529). A later, shorter wait
  never shortens an earlier, longer one. Then all go on, as many as the permits allow.
- Probing: one attempt at a time, the others wait; the first success ends it for all. A backend is
  probed while it warms up, while its circuit is open, and while a key is under suspicion.
- The retry budget follows botocore's standard mode (`retries/quota.py` there): 500 tokens, a
  transient retry costs 14, a throttled one 5, a retry that succeeds gives its cost back and a clean
  success gives 1. When it cannot pay, the circuit opens: probes after 1, 2, 4 … 60 s, and no call
  is given up for it.
- A row whose attempts are used up is not failed before another one has spoken: if an attempt that
  was sent while this row failed has succeeded, the failure is this row's own; if another row has
  stumbled too, nothing has succeeded since, and nothing is under way that might, the backend is
  away, and the circuit opens. If there is no other row, or none comes, the row is its own judge.
- A backend that has been probed for half an hour without one success is given up.
- A 401 or 403 puts the key under suspicion. One other row's attempt decides: its success makes the
  failure that row's own, its equal failure makes it everybody's. If there is no other row, the same
  row's second attempt decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "Company",
    "Failing",
    "Health",
    "HealthPolicy",
    "HealthStatistics",
    "ProbeReason",
    "Verdict",
]

ProbeReason: TypeAlias = Literal["warming", "circuit", "suspicion"]
Verdict: TypeAlias = Literal["open", "row", "run", "alone"]
"""About a suspect row: not decided, its own failure, everybody's, or nobody else can tell."""

_BY_CHANCE_MAX = 2
"""Who has failed so often may have done so by chance, just before a backend went away."""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """The numbers of `docs/design/failures.md`."""

    budget_tokens: int = 500
    transient_cost: int = 14
    throttle_cost: int = 5
    probe_first_s: float = 1.0
    probe_max_s: float = 60.0
    probing_max_s: float = 1800.0
    poll_s: float = 0.1
    """How often a call that waits for somebody else's probe looks again."""
    alone_after_s: float = 0.5
    """How long nobody else may have called before a suspect row decides about itself."""
    other_row_max_s: float = 60.0
    """How long a row whose attempts are used up waits for one that is on its way here."""


@dataclass(frozen=True, slots=True)
class HealthStatistics:
    """A backend's health at one moment."""

    budget_tokens: int
    probing: ProbeReason | None
    paused_until: float
    in_flight: int


@dataclass(slots=True)
class Failing:
    """Since when a call has failed, again and again."""

    first: float | None = None
    """Its first failure of all."""
    since: float = 0.0
    """The failure from which on it is not by chance: its second."""

    def again(self, times: int, now: float) -> None:
        """It has failed so many times now."""
        if self.first is None:
            self.first = now
        if times <= _BY_CHANCE_MAX:
            self.since = now


@dataclass(frozen=True, slots=True)
class Company:
    """The rows that a run has in hand when one of them fails."""

    rows: int = 1
    """How many, that one included."""
    may_be_joined: bool = False
    """Another may be taken in hand before one of these is done."""
    is_last: bool = True
    """The source has no more of them."""


@dataclass(slots=True)
class _Probing:
    reason: ProbeReason
    since: float
    wait_s: float
    """How long to wait after the next probe that fails."""
    until: float = float("-inf")
    has_probe: bool = False


class Health:
    """Whether an attempt may be sent to one backend now, and if not, how long to wait.

    >>> health = Health()
    >>> health.throttled(now=10.0, wait_s=5.0)
    >>> health.wait_s(now=12.0), health.wait_s(now=15.0)
    (3.0, 0.0)
    """

    def __init__(self, policy: HealthPolicy | None = None) -> None:
        self.policy = policy or HealthPolicy()
        self._until = float("-inf")
        self._probing: _Probing | None = None
        self._tokens = self.policy.budget_tokens
        self._in_flight = 0
        self._stumblers: set[int] = set()
        self._last_sent = self._answered = float("-inf")
        self._last_other = float("-inf")
        self._suspect_row: int | None = None
        self._verdict: Verdict = "open"

    def statistics(self) -> HealthStatistics:
        """The backend's health at this moment."""
        reason = None if self._probing is None else self._probing.reason
        return HealthStatistics(self._tokens, reason, self._until, self._in_flight)

    @property
    def is_probing(self) -> bool:
        """Whether one attempt at a time is sent, to see whether the backend is well."""
        return self._probing is not None

    def is_to_blame(self, now: float, failing: Failing, company: Company) -> bool | None:
        """Whether a row that has failed again and again does so by itself, not for the backend.

        None: that is to be seen. Ask again when there was another outcome, or some time later.
        """
        may_be_told = self.may_be_told(company)
        since = failing.since if may_be_told or failing.first is None else failing.first
        if self._answered >= since:
            return True
        if self._in_flight and not self._probing:
            return None
        if len(self._stumblers) > 1:
            return False
        is_quiet = now - self._last_sent >= self.policy.other_row_max_s
        return True if is_quiet or not may_be_told else None

    def failed(self, row: int) -> None:
        """A row has failed by itself: it says nothing about the backend any more."""
        self._stumblers.discard(row)

    def may_be_told(self, company: Company) -> bool:
        """Whether a row may come that has not stumbled, and so can tell how the backend is."""
        return company.may_be_joined or company.rows > max(1, len(self._stumblers))

    def has_stumbled(self, row: int) -> bool:
        """Whether this row has met a transient failure since the last success."""
        return row in self._stumblers

    def wait_s(self, now: float) -> float:
        """Seconds until an attempt may be tried; 0: now."""
        probing = self._probing
        until = self._until if probing is None else max(self._until, probing.until)
        if now < until:
            return until - now
        return self.policy.poll_s if probing is not None and self._is_watching(probing) else 0.0

    def _is_watching(self, probing: _Probing) -> bool:
        """Whether an attempt is under way that will tell how the backend does."""
        return probing.has_probe or (probing.reason == "suspicion" and self._in_flight > 0)

    # What happens to attempts.

    def sent(self, now: float, row: int) -> bool:
        """An attempt starts. True: it is the probe."""
        self._in_flight += 1
        self._last_sent = now
        if row != self._suspect_row:
            self._last_other = now
        if self._probing is None:
            return False
        self._probing.has_probe = True
        return True

    def ended(self, *, is_probe: bool, answered_since: float | None = None) -> None:
        """An attempt is over, however it ended. Called once for each `sent`, before its outcome.

        Args:
            is_probe: what `sent` said.
            answered_since: when it was sent, if a complete reply came.
        """
        if answered_since is not None:
            self._answered = max(self._answered, answered_since)
        self._in_flight -= 1
        if is_probe and self._probing is not None:
            self._probing.has_probe = False

    def succeeded(self, row: int, *, retry_cost: int) -> None:
        """A complete reply came, after retries that had cost `retry_cost` tokens."""
        self._tokens = min(self.policy.budget_tokens, self._tokens + (retry_cost or 1))
        if self._suspect_row is not None:
            self._verdict = "row"
        if self._suspect_row == row:
            self._suspect_row, self._verdict = None, "open"
        self._probing = None
        self._stumblers.clear()

    def stumbled(self, row: int) -> None:
        """A transient failure came for `row`."""
        self._stumblers.add(row)

    def throttled(self, now: float, wait_s: float) -> None:
        """The server asked for less, for `wait_s` seconds."""
        self._until = max(self._until, now + wait_s)

    def warming(self, now: float, wait_s: float) -> bool:
        """The server is starting; it may be probed in `wait_s` seconds. False: it had its time."""
        probing = self._probe("warming", now)
        probing.until = max(probing.until, now + wait_s)
        return now - probing.since < self.policy.probing_max_s

    def pays(self, cost: int) -> bool:
        """Take a retry's cost out of the budget; False, and nothing taken, if it is not there."""
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True

    def circuit_open(self, now: float) -> bool:
        """The budget is empty, or a probe failed: wait longer. False: it had its time.

        Failures that come while nothing may be sent were sent before, and tell nothing new.
        """
        probing = self._probe("circuit", now)
        if now >= probing.until:
            probing.until = now + probing.wait_s
            probing.wait_s = min(self.policy.probe_max_s, 2 * probing.wait_s)
        return now - probing.since < self.policy.probing_max_s

    # A key under suspicion.

    def suspect(self, now: float, row: int) -> Verdict:
        """A 401 or 403 came for `row`. "run": it is everybody's failure, now."""
        if self._suspect_row is None:
            self._suspect_row, self._verdict = row, "open"
            self._last_other = now
            self._probe("suspicion", now)
        elif row != self._suspect_row or self._verdict == "alone":
            self._verdict = "run"
        return self._verdict

    def verdict(self, now: float) -> Verdict:
        """What has become of the suspect row."""
        is_quiet = now - self._last_other >= self.policy.alone_after_s
        if self._verdict == "open" and self._in_flight == 0 and is_quiet:
            self._verdict = "alone"
        return self._verdict

    def acquit(self) -> None:
        """The suspicion is dealt with."""
        self._suspect_row, self._verdict = None, "open"
        if self._probing is not None and self._probing.reason == "suspicion":
            self._probing = None

    def _probe(self, reason: ProbeReason, now: float) -> _Probing:
        if self._probing is None:
            self._probing = _Probing(reason, now, self.policy.probe_first_s)
        return self._probing
