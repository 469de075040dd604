"""What one backend takes, for all objects that call it: one control for each server, key and model.

Rules:

- Two `LLM`s that call the same server with the same key and model share their control: its health,
  its adaptive limit and its rates. What one of them learns holds for the other, in whatever thread
  or event loop it is.
- Each object keeps a ceiling of its own, which bounds its own attempts. The adaptive limit bounds
  those of all together; its ceiling is the sum of theirs. Of the rates that they name the lowest
  count. Objects that are gone do not count.
- The register knows a control by a hash of what it is for, salted anew in each process, and never
  by the key itself. It holds no control alive.
- Everything here runs under the control's lock; nothing is awaited under it. Pools have locks of
  their own and never ask for this one.
"""

from __future__ import annotations

import os
import threading
from asyncio import get_running_loop
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary, ref

from distilabel.limits import Adaptive, Health, PermitPool, Rate
from distilabel.llm.files import connections_max

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from distilabel.limits import AdaptiveStatistics, RateStatistics, Sent
    from distilabel.types import Call, PromptText, Reply

__all__ = ["RAMP_TO", "Control", "ControlStatistics", "Member", "Ticket", "control_for"]

RAMP_TO = 64
"""Up to where the limit grows before any reply has come, if the user names no ceiling."""
_RAMP_S = 0.025
_TELL_EACH_S = 60.0
"""Least time between two warnings that the backend is away."""
_LEARN_EACH_S = 0.05
_LOST_SHARE_MAX = 0.1
"""A reply during which the client was held up for longer tells nothing of the server's time."""
_SETTLED_EACH_S = 0.1
"""Who waits for tokens looks this often whether some were given back."""


class Member(Protocol):
    """An object that calls the backend."""

    @property
    def is_adaptive(self) -> bool:
        """Whether it follows the adaptive limit."""
        ...

    @property
    def ceiling(self) -> int | None:
        """The most attempts of its own at once; None: as many as there are file descriptors."""
        ...

    @property
    def rates(self) -> tuple[float | None, float | None]:
        """Requests and tokens per minute that its user named; of several, the lowest count."""
        ...

    def follow(self, limit: int) -> None:
        """The limit of all is now this."""
        ...


@dataclass(frozen=True, slots=True)
class ControlStatistics:
    """A control at one moment."""

    adaptive: AdaptiveStatistics
    rate: RateStatistics
    members: int


class Ticket:
    """An attempt that may be made."""

    __slots__ = ("is_probe", "number", "sent", "sent_at", "tokens")

    def __init__(
        self, is_probe: bool, number: int, sent: Sent | None, sent_at: float, tokens: float
    ) -> None:
        self.is_probe = is_probe
        self.number = number
        self.sent = sent
        self.sent_at = sent_at
        self.tokens = tokens


class Control:
    """Decides for one backend; see the module's rules."""

    def __init__(self, health: Health | None = None) -> None:
        self.lock = threading.Lock()
        self.health = health or Health()
        self.rate = Rate()
        self.adaptive = Adaptive(1)
        self.pool = PermitPool(1)
        self.is_shared = False
        self._members: list[ref[Member]] = []
        self._has_left = False
        self._files = 1
        self._ramps_at = float("-inf")
        self._learnt_at = float("-inf")
        self._told_at = float("-inf")
        self._is_untold = False

    def statistics(self) -> ControlStatistics:
        """The control at this moment."""
        with self.lock:
            return ControlStatistics(
                self.adaptive.statistics(),
                self.rate.statistics(),
                sum(each() is not None for each in self._members),
            )

    def join(self, member: Member) -> None:
        """Somebody more calls this backend."""
        with self.lock:
            self._files = connections_max()
            self._members.append(ref(member, self._left))
            self._recount()

    def _left(self, _: ref[Member]) -> None:
        # The garbage collector may call this anywhere, even under the lock: no more than a note.
        self._has_left = True

    def _recount(self) -> None:
        self._has_left = False
        self._members = [each for each in self._members if each() is not None]
        members = [member for each in self._members if (member := each()) is not None]
        said = [member.rates for member in members]
        self.rate.says(
            min((requests for requests, _ in said if requests is not None), default=None),
            min((tokens for _, tokens in said if tokens is not None), default=None),
        )
        following = [member for member in members if member.is_adaptive]
        self.is_shared = len(following) > 1
        if following:
            named = sum(member.ceiling or 0 for member in following)
            is_named = all(member.ceiling is not None for member in following)
            ceiling = min(self._files, named) if is_named else self._files
            self.adaptive.allow(ceiling, named if is_named else named + RAMP_TO)
            self._apply()

    # What happens to attempts.

    def wait_s(self, now: float) -> float:
        """Seconds until an attempt may be tried; 0: now."""
        with self.lock:
            return self._wait_s(now)

    def sent(self, now: float, row: int, call: Call | None, *, is_adaptive: bool) -> Ticket | None:
        """An attempt starts; None: it must wait after all.

        Args:
            now: the loop's time.
            row: for whom.
            call: what is asked for.
            is_adaptive: whether it counts for the adaptive limit.
        """
        with self.lock:
            if self._has_left:
                self._recount()
            if self._wait_s(now):
                return None
            tokens = 0.0
            if self.rate.is_limiting:
                if call is not None and self.rate.counts_tokens:
                    tokens = self.rate.estimate(_characters(call.prompt), call.num_generations)
                self.rate.sent(now, tokens)
            is_probe = self.health.sent(now, row)
            adaptive = self.adaptive.sent(now) if is_adaptive else None
            return Ticket(is_probe, self.health.sent_count, adaptive, now, tokens)

    def succeeded(self, now: float, ticket: Ticket, reply: Reply, *, lost_s: float = 0.0) -> None:
        """A complete reply came; the client itself was held up for `lost_s` meanwhile."""
        texts, usage = reply.texts, reply.usage
        if usage is not None and usage.completion_tokens > 0:
            each = usage.completion_tokens / (len(texts) or 1)
        else:
            each = sum(map(len, texts)) / (4 * len(texts) or 1)
        with self.lock:
            self.health.answered(now, ticket.sent_at, ticket.number)
            self._ended(ticket)
            if ticket.tokens:
                read = 0 if usage is None else usage.prompt_tokens + usage.completion_tokens
                self.rate.settled(ticket.tokens, read or ticket.tokens)
            if self.rate.is_limiting:
                self.rate.replied(each)
            if ticket.sent is not None:
                seconds = now - ticket.sent_at
                is_told = lost_s <= _LOST_SHARE_MAX * seconds
                self.adaptive.succeeded(ticket.sent, seconds if is_told else None, each)
                self._apply()

    def refused(self, now: float, ticket: Ticket) -> None:
        """The server has enough for now."""
        with self.lock:
            self._ended(ticket)
            self.rate.settled(ticket.tokens, 0.0)
            if ticket.sent is not None:
                self.adaptive.refused(now, ticket.sent)
                self._apply()

    def failed(self, ticket: Ticket) -> None:
        """An attempt is over in any other way."""
        with self.lock:
            self._ended(ticket)

    def starved(self, ticket: Ticket) -> None:
        """There was no file descriptor left for a connection."""
        with self.lock:
            self._ended(ticket)
            if ticket.sent is not None:
                self.adaptive.starved()
                self._apply()

    def learn(self, headers: Mapping[str, str]) -> None:
        """A reply tells what is left of requests or tokens; one look in a while is enough."""
        now = get_running_loop().time()
        with self.lock:
            if not 0.0 <= now - self._learnt_at < _LEARN_EACH_S:
                self._learnt_at = now
                self.rate.learn(headers)

    def is_to_tell(self, now: float, *, is_news: bool) -> bool:
        """Whether to say now that the backend is away: at most once a minute, however it flaps."""
        with self.lock:
            self._is_untold |= is_news
            if not self._is_untold or 0.0 <= now - self._told_at < _TELL_EACH_S:
                return False
            self._is_untold, self._told_at = False, now
            return True

    def ramp(self) -> None:
        """Look again soon, while the limit still doubles by the clock."""
        loop = get_running_loop()
        now = loop.time()
        with self.lock:
            self.adaptive.tick(now)
            self._apply()
            is_due = not 0.0 <= self._ramps_at - now <= _RAMP_S
            if not (self.adaptive.is_ramping and is_due):
                return
            self._ramps_at = now + _RAMP_S
        loop.call_later(_RAMP_S, self._ramp_again)

    # Under the lock.

    def _wait_s(self, now: float) -> float:
        wait_s = max(self.health.wait_s(now), self.adaptive.wait_s(now))
        if not self.rate.is_limiting:
            return wait_s
        rate_s = self.rate.wait_s(now)
        return max(wait_s, min(rate_s, _SETTLED_EACH_S) if self.rate.counts_tokens else rate_s)

    def _ended(self, ticket: Ticket) -> None:
        self.health.ended(is_probe=ticket.is_probe)
        if ticket.sent is not None:
            self.adaptive.ended()

    def _apply(self) -> None:
        limit = self.adaptive.limit
        if limit == self.pool.limit:
            return
        self.pool.resize(limit)
        for each in self._members:
            if (member := each()) is not None:
                member.follow(limit)

    def _ramp_again(self) -> None:
        self._ramps_at = float("-inf")
        self.ramp()


def _characters(prompt: PromptText) -> int:
    if isinstance(prompt, str):
        return len(prompt)
    return sum(len(message["content"]) for message in prompt)


_controls: WeakValueDictionary[bytes, Control] = WeakValueDictionary()
_controls_lock = threading.Lock()
_SALT = os.urandom(16)


def control_for(origin: str, key: SecretStr | None, model: str) -> Control:
    """The one control for a server, a key and a model, made if there is none.

    >>> control = control_for("https://api.example.org", None, "a model")
    >>> control is control_for("https://api.example.org", None, "a model")
    True
    """
    hashed = blake2b(f"{len(origin)} {len(model)} {origin}{model}".encode(), key=_SALT)
    if key is not None:
        hashed.update(key.get_secret_value().encode())
    with _controls_lock:
        return _controls.setdefault(hashed.digest(), Control())
