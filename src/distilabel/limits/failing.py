"""Calls that fail again and again: since when, and whether chance explains it. Pure.

Rules:

- 502, 503 and 504 come from servers that turn away what is too much for them, whatever it is, and
  from proxies in front of a worker that a row breaks, each time. A call is odd, and most likely of
  the second kind, if chance explains its failures hardly any more: if the share of calls that fail
  at their first try, to the power of its failures, is below one in a hundred.
- A server that has too much takes what comes in a quieter moment. So only failures count that came
  while no more attempts were under way than when calls usually go well: three quarters of them.
- A server that is away takes nothing. So a call is odd only if another one that was sent after its
  second failure has gone well at its first try.
- One odd call may be bad luck. They are taken for rows that break the server once three have failed
  for good; and no longer once a call goes well that had failed twice or more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Failing", "Oddities"]

_BY_CHANCE_MAX = 2
"""Who has failed so often may have done so by chance, just before a backend went away."""
_FIRST_TRIES_MAX = 64
_CHANCE_MIN = 0.01
_GIVEN_UP_MIN = 3
_USUAL = 0.75


@dataclass(slots=True)
class Failing:
    """Since when a call has failed, again and again."""

    is_backends: bool = False
    """A failure of it said by itself that it is the backend's."""
    number: int = 0
    """Which of the backend's attempts failed first, in the order in which they were sent."""
    load: int = 0
    """Other attempts that were under way when its last one was sent."""
    first: float | None = None
    """Its first failure of all."""
    since: float = 0.0
    """The failure from which on it is not by chance: its second."""
    times: int = 0
    """How often it has failed."""
    quiet_times: int = 0
    """How often although no more than usual was under way, since the backend was last to blame."""
    after: int = 0
    """The backend's last attempt by the second of these."""
    paid: int = 0
    """Tokens of the backend's budget that only its own success gives back."""

    def departs(self, number: int, load: int = 0) -> None:
        """This attempt is one of its own, with so many others under way."""
        self.load = load
        if self.first is None:
            self.number = number

    def again(self, times: int, now: float) -> None:
        """It has failed so many times now."""
        self.times += 1
        if self.first is None:
            self.first = now
        if times <= _BY_CHANCE_MAX:
            self.since = now


class Oddities:
    """What tells rows that break a server from a server that has too much.

    >>> oddities, odd = Oddities(), Failing(is_backends=True)
    >>> for second in range(4):
    ...     odd.departs(second)
    ...     odd.again(second + 1, float(second))
    ...     oddities.stumbled(odd, sent_count=second)
    ...     for number in range(10 * second, 10 * second + 10):
    ...         oddities.succeeded(Failing(number=number))
    >>> oddities.is_odd(odd), oddities.are_rows
    (True, False)
    """

    def __init__(self) -> None:
        self._first_tries: deque[int | None] = deque(maxlen=_FIRST_TRIES_MAX)
        """Calls that were tried for the first time: what was under way beside one that went well,
        and None for one that failed."""
        self._went_well = 0
        """The last attempt of these that went well."""
        self._given_up = 0
        """Odd calls that failed for good since one that had failed twice went well."""

    @property
    def are_rows(self) -> bool:
        """Whether odd calls are taken for rows that break the server."""
        return self._given_up >= _GIVEN_UP_MIN

    def is_odd(self, failing: Failing) -> bool:
        """Whether chance hardly explains how often a call has failed."""
        if self._went_well <= failing.after:
            return False
        share = (self._first_tries.count(None) + 1) / (len(self._first_tries) + 2)
        return share**failing.quiet_times < _CHANCE_MIN

    def succeeded(self, failing: Failing) -> None:
        """A call went well, while all were let through."""
        if failing.first is None:
            self._first_tries.append(failing.load)
            self._went_well = max(self._went_well, failing.number)

    def recovered(self, failing: Failing) -> None:
        """A call went well after all."""
        if failing.is_backends and failing.times >= _BY_CHANCE_MAX:
            self._given_up = 0

    def stumbled(self, failing: Failing, sent_count: int) -> None:
        """A call has failed once more, `sent_count` being the backend's last attempt."""
        if failing.times == 1:
            self._first_tries.append(None)
        loads = sorted(load for load in self._first_tries if load is not None)
        if loads and failing.load <= loads[int(_USUAL * len(loads))]:
            failing.quiet_times += 1
        if failing.quiet_times <= _BY_CHANCE_MAX:
            failing.after = sent_count

    def failed(self, failing: Failing) -> None:
        """A call has failed for good."""
        if failing.is_backends and self.is_odd(failing):
            self._given_up += 1
