"""How a backend is doing, and so what may be sent to it. Pure: time is an argument.

Rules:

- Paused: nothing is sent before the time that the server named (429, 529). A later, shorter wait
  never shortens an earlier, longer one. Then all go on, as many as the permits allow.
- Probing: one attempt at a time, the others wait; the first success ends it for all. A backend is
  probed while it warms up, while its circuit is open, and while a key is under suspicion. A probe
  of an open circuit that hangs is waited for no longer than for a minute, then the next one goes.
- The retry budget follows botocore's standard mode (`retries/quota.py` there): 500 tokens, a
  transient retry costs 14, a throttled one 5, a retry that succeeds gives its cost back and a clean
  success gives 1. When it cannot pay, the circuit opens: probes after 1, 2, 4 … 60 s, and no call
  is given up for it.
- Rows that always fail must not use up that budget. So a success gives back all that was paid until
  it was sent; and a call whose first failure the backend cannot be blamed for pays nothing for its
  retries: an attempt that was sent after the failing one, and was not back before it, has
  succeeded. Neither holds for a 502, 503 or 504: those say that a backend has too much or is away.
  Such a call pays nothing if it is odd, and others like it have failed for good: see `failing`.
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

from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

from distilabel.limits.failing import Failing, Oddities

__all__ = [
    "Company",
    "Health",
    "HealthPolicy",
    "HealthStatistics",
    "ProbeReason",
    "Verdict",
]

ProbeReason: TypeAlias = Literal["warming", "circuit", "suspicion"]
Verdict: TypeAlias = Literal["open", "row", "run", "alone"]
"""About a suspect row: not decided, its own failure, everybody's, or nobody else can tell."""

_ASIDE_FIRST, _ASIDE_MAX = 8, 64
"""Rows that may wait for a backend beside those of the window, at first and at most."""
_PAID_MAX = 100
"""Payments that are remembered: as many as the budget can make."""


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


@dataclass(frozen=True, slots=True)
class Company:
    """The rows that a run has in hand when one of them fails."""

    rows: int = 1
    """How many, that one included."""
    may_be_joined: bool = False
    """Another may be taken in hand before one of these is done."""
    is_last: bool = True
    """The source has no more of them."""
    window: int = 1
    """How many the run has in hand at most while all is well."""


@dataclass(slots=True)
class _Probing:
    reason: ProbeReason
    since: float
    wait_s: float
    """How long to wait after the next probe that fails."""
    until: float = float("-inf")
    probes: int = 0
    """Those under way."""
    probed: float = float("-inf")
    """When the last of them was sent."""
    aside: int = _ASIDE_FIRST
    is_over: bool = False
    """It has had its time, and those that wait for it may try once more, all of them."""


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
        self.in_flight = 0
        """Attempts that are under way."""
        self._paid: deque[tuple[float, int]] = deque(maxlen=_PAID_MAX)
        """When retries were paid for, and what they cost, since the last that was given back."""
        self._answers: deque[tuple[int, float]] = deque()
        """Attempts that succeeded, and when, but for those after which another one succeeded that
        was sent later."""
        self._oddities = Oddities()
        self.sent_count = 0
        """Attempts sent so far: the number of the last one."""
        self._stumblers: dict[int, bool] = {}
        """Rows that have failed since the last success, and whether by themselves."""
        self._last_sent = self._answered = float("-inf")
        self._last_other = float("-inf")
        self._suspect_row: int | None = None
        self._verdict: Verdict = "open"

    def statistics(self) -> HealthStatistics:
        """The backend's health at this moment."""
        reason = None if self._probing is None else self._probing.reason
        return HealthStatistics(self._tokens, reason, self._until, self.in_flight)

    @property
    def is_probing(self) -> bool:
        """Whether one attempt at a time is sent, to see whether the backend is well."""
        return self._probing is not None

    @property
    def aside_max(self) -> int:
        """Rows that may wait beside those of the window; 0: the circuit is closed.

        Twice as many after each probe that failed, up to 64.
        """
        probing = self._probing
        return probing.aside if probing is not None and probing.reason == "circuit" else 0

    def is_to_blame(self, now: float, failing: Failing, company: Company) -> bool | None:
        """Whether a row that has failed again and again does so by itself, not for the backend.

        None: that is to be seen. Ask again when there was another outcome, or some time later.
        """
        may_be_told = self.may_be_told(company)
        since = failing.since if may_be_told or failing.first is None else failing.first
        if self._answered >= since or (not may_be_told and self.is_own(failing)):
            return True
        if self.in_flight and not self._probing:
            return None
        if self._suspects(company) > 1:
            return False
        is_quiet = now - self._last_sent >= self.policy.other_row_max_s
        return True if is_quiet or not may_be_told else None

    def is_own(self, failing: Failing) -> bool:
        """Whether the backend was well when the row failed first."""
        first = failing.first
        if first is None or failing.is_backends:
            return False
        return next((sent for sent, came in self._answers if came >= first), 0) > failing.number

    def _suspects(self, company: Company) -> int:
        """Rows that have failed and may have done so for the backend."""
        if not company.is_last:  # another row can tell
            return len(self._stumblers)
        return sum(not is_own for is_own in self._stumblers.values())

    def failed(self, row: int, failing: Failing | None = None) -> None:
        """A row has failed by itself: it says nothing about the backend any more."""
        self._stumblers.pop(row, None)
        if failing is not None:
            self._oddities.failed(failing)
            if self._oddities.are_rows:
                self._give_back(failing.paid)

    def may_be_told(self, company: Company) -> bool:
        """Whether a row may come that has not stumbled, and so can tell how the backend is."""
        return company.may_be_joined or company.rows > max(1, len(self._stumblers))

    def is_hopeless(self, company: Company) -> bool:
        """Whether the rows in hand are the last and few, and none is left that might do better."""
        is_few = company.rows <= company.window + _ASIDE_FIRST
        return company.is_last and is_few and not self.may_be_told(company)

    def has_stumbled(self, row: int) -> bool:
        """Whether this row has met a transient failure since the last success."""
        return row in self._stumblers

    def wait_s(self, now: float) -> float:
        """Seconds until an attempt may be tried; 0: now."""
        probing = self._probing
        until = self._until if probing is None else max(self._until, probing.until)
        if now < until:
            return until - now
        return self.policy.poll_s if probing and self._is_watching(probing, now) else 0.0

    def _is_watching(self, probing: _Probing, now: float) -> bool:
        """Whether an attempt is under way that will tell how the backend does."""
        if probing.reason == "suspicion":
            return self.in_flight > 0
        if probing.reason == "circuit" and now - probing.probed >= self.policy.probe_max_s:
            return False
        return probing.probes > 0 and not probing.is_over

    # What happens to attempts.

    def sent(self, now: float, row: int) -> bool:
        """An attempt starts. True: it is the probe."""
        self.in_flight += 1
        self.sent_count += 1
        self._last_sent = now
        if row != self._suspect_row:
            self._last_other = now
        if self._probing is None:
            return False
        self._probing.probes += 1
        self._probing.probed = now
        return True

    def ended(self, *, is_probe: bool) -> None:
        """An attempt is over, however it ended. Called once for each `sent`, before its outcome.

        Args:
            is_probe: what `sent` said.
        """
        self.in_flight -= 1
        if is_probe and self._probing is not None:
            self._probing.probes = max(0, self._probing.probes - 1)

    def answered(self, now: float, sent: float, number: int) -> None:
        """A complete reply came to the attempt of this number, which was sent then."""
        self._answered = max(self._answered, sent)
        while self._answers and self._answers[-1][0] <= number:
            self._answers.pop()
        self._answers.append((number, now))
        while self._paid and self._paid[0][0] <= sent:
            self._give_back(self._paid.popleft()[1])

    def _give_back(self, tokens: int) -> None:
        self._tokens = min(self.policy.budget_tokens, self._tokens + tokens)

    def succeeded(self, row: int, *, retry_cost: int, failing: Failing | None = None) -> None:
        """A complete reply came, after retries that had cost `retry_cost` tokens."""
        if failing is not None:
            self._oddities.recovered(failing)
            if self._probing is None:
                self._oddities.succeeded(failing)
        self._give_back(retry_cost or 1)
        if self._suspect_row is not None:
            self._verdict = "row"
        if self._suspect_row == row:
            self._suspect_row, self._verdict = None, "open"
        self._probing = None
        self._stumblers.clear()

    def stumbled(self, row: int, failing: Failing) -> bool:
        """A transient failure came for `row`. True: the backend is not to blame for it."""
        self._oddities.stumbled(failing, self.sent_count)
        is_own = self._stumblers[row] = self.is_own(failing)
        return is_own or self._is_spared(failing)

    def _is_spared(self, failing: Failing) -> bool:
        """Whether a call need not pay, as rows break the server, and it is one of those."""
        oddities = self._oddities
        if not (failing.is_backends and oddities.are_rows and oddities.is_odd(failing)):
            return False
        self._give_back(failing.paid)
        failing.paid = 0
        return True

    def throttled(self, now: float, wait_s: float) -> None:
        """The server asked for less, for `wait_s` seconds."""
        self._until = max(self._until, now + wait_s)

    def warming(self, now: float, wait_s: float) -> bool:
        """The server is starting; it may be probed in `wait_s` seconds. False: it had its time."""
        probing = self._probe("warming", now)
        probing.until = max(probing.until, now + wait_s)
        return now - probing.since < self.policy.probing_max_s

    def pays(self, cost: int, *, since: float | None = None) -> bool:
        """Take a retry's cost out of the budget; False, and nothing taken, if it is not there.

        Args:
            cost: in tokens.
            since: a success that was sent from then on gives it back; None: none does.
        """
        if self._tokens < cost:
            return False
        self._tokens -= cost
        if cost and since is not None:
            self._paid.append((since, cost))
        return True

    def circuit_open(self, now: float) -> bool:
        """The budget is empty, or a probe failed: wait longer. False: it had its time.

        Failures that come while nothing may be sent were sent before, and tell nothing new.
        """
        probing = self._probe("circuit", now)
        if now >= probing.until and not probing.is_over:
            if probing.until > float("-inf"):
                probing.aside = min(_ASIDE_MAX, 2 * probing.aside)
            probing.until = now + probing.wait_s
            probing.wait_s = min(self.policy.probe_max_s, 2 * probing.wait_s)
        return now - probing.since < self.policy.probing_max_s

    def let_go(self) -> None:
        """The backend has had its time, and nobody is left but those that wait for it."""
        if self._probing is not None:
            self._probing.is_over, self._probing.until = True, float("-inf")

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
        if self._verdict == "open" and self.in_flight == 0 and is_quiet:
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
