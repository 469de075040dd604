"""What a simulated endpoint was asked, what it answered, and what that would have cost.

Rules:

- ``requests``, ``statuses``, ``in_flight`` and the counts of money are about generation requests;
  ``by_route`` and ``calls`` are about every request (but not about the ``/_sim`` control routes).
- A call is *paid* when a 200 was sent, or begun: the generation was done, and a provider bills it.
- It is *delivered* when, besides, the transport accepted all its bytes and the connection was not
  lost before. A 200 that was cut in the middle is paid, not delivered.
- It is *repeated* when it was paid although a reply to the same body had been delivered before:
  money that a better client would have kept. (Two rows with one prompt make such a pair in all
  honesty, and so do backends without ``n``: use distinct prompts where this is measured.)
- It is *abandoned* when the client went away before the reply was due.
- A key is never stored: only whether there was one.

One thread writes (that of the server); any thread may read. A reply can reach its reader a moment
before the server's thread has noted it; `Ledger.settled`, by which `SimulatedEndpoint.ledger` is
read, waits for that moment to pass. (A reply too large for the socket's buffer is noted later: wait
for ``in_flight == 0``.)

Memory: detail ``calls`` keeps one
record a call; ``bodies`` keeps one hash a distinct body (about 150 bytes), for ``repeated`` and
attempt numbers; ``counters`` keeps neither: every attempt is then a first and ``repeated`` is 0.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

from distilabel.testing.request import GENERATION_ROUTES

__all__ = ["Detail", "Ledger", "LedgerEntry", "LedgerReport"]

_SETTLE_MAX_S = 0.1

Detail: TypeAlias = Literal["calls", "bodies", "counters"]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One request and how it ended.

    Attributes:
        index: its place in the order of arrival (see `SimRequest.index`).
        attempt: how many times this body had been seen, this one included.
        route: as `SimRequest.route`.
        model: the model asked for.
        n: how many choices were asked for.
        body_hash: BLAKE2 of the body, in hexadecimal; equal bodies have equal hashes.
        has_key: whether an API key came with it.
        status: the status that was sent; 0 if none was.
        arrived_s: when it was complete, in seconds of the monotonic clock.
        finished_s: when the last byte had left, or the connection was lost.
        is_delivered: whether the whole reply left while the connection stood.
        is_abandoned: whether the client went away before the reply was due.
    """

    index: int
    attempt: int
    route: str
    model: str
    n: int
    body_hash: str
    has_key: bool
    status: int
    arrived_s: float
    finished_s: float
    is_delivered: bool
    is_abandoned: bool


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """The ledger at one moment; every attribute as on `Ledger`."""

    requests: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    paid: int = 0
    delivered: int = 0
    repeated: int = 0
    abandoned: int = 0
    statuses: dict[int, int] = field(default_factory=dict[int, int])
    by_route: dict[str, int] = field(default_factory=dict[str, int])
    calls: tuple[LedgerEntry, ...] = ()


class Ledger:
    """Counts the calls to a simulated endpoint.

    Attributes:
        requests: how many generation requests have arrived.
        in_flight: how many of them have no complete reply yet.
        peak_in_flight: the most there ever were at once.
        paid: how many 200 were sent or begun.
        delivered: how many 200 were sent whole.
        repeated: how many were paid although the same body had been answered before.
        abandoned: how many clients went away before their reply was due.
        statuses: how many replies of each status; 0 stands for no status sent.
        by_route: how many requests on each route.
    """

    def __init__(self, detail: Detail = "calls") -> None:
        self.detail: Detail = detail
        self.in_flight = 0
        self._sends = 0  # odd while bytes are being handed over that are not noted yet
        self.clear()

    def clear(self) -> None:
        """Forget everything but what is in flight."""
        self.requests = 0
        self.peak_in_flight = self.in_flight
        self.paid = self.delivered = self.repeated = self.abandoned = 0
        self.statuses: Counter[int] = Counter()
        self.by_route: Counter[str] = Counter()
        self._calls: list[LedgerEntry] = []
        self._attempts: dict[bytes, int] = {}
        self._answered: set[bytes] = set()

    @property
    def calls(self) -> tuple[LedgerEntry, ...]:
        """Every finished call, in the order of finishing; empty unless the detail is ``calls``."""
        return tuple(self._calls)

    def settled(self) -> Self:
        """The ledger, once what is being sent at this moment is noted: microseconds."""
        sends, deadline_s = self._sends, time.monotonic() + _SETTLE_MAX_S
        while sends % 2 and sends == self._sends and time.monotonic() < deadline_s:
            pass  # neither a lock nor a sleep: this is read on event loops, too
        return self

    def begin_send(self) -> None:
        """Note that bytes are about to be handed over."""
        self._sends += 1

    def end_send(self) -> None:
        """Note that what was handed over is noted."""
        self._sends += 1

    def open(self, route: str, body_hash: bytes) -> int:
        """Note that a request has arrived, and say which attempt it is."""
        self.by_route[route] += 1
        if route in GENERATION_ROUTES:
            self.requests += 1
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        if not body_hash:
            return 1
        attempt = self._attempts.get(body_hash, 0) + 1
        self._attempts[body_hash] = attempt
        return attempt

    def close(
        self, route: str, body_hash: bytes, status: int, *, is_delivered: bool, is_abandoned: bool
    ) -> None:
        """Note how a generation request ended; the others only have records."""
        if route not in GENERATION_ROUTES:
            return
        self.in_flight -= 1
        self.statuses[status] += 1
        self.abandoned += is_abandoned
        if status != 200:
            return
        self.paid += 1
        self.repeated += body_hash in self._answered
        if is_delivered:
            self.delivered += 1
            if body_hash:
                self._answered.add(body_hash)

    def record(self, call: LedgerEntry) -> None:
        """Keep the record of a finished call."""
        self._calls.append(call)

    def report(self) -> LedgerReport:
        """Everything, as one value that no longer changes."""
        return LedgerReport(
            requests=self.requests,
            in_flight=self.in_flight,
            peak_in_flight=self.peak_in_flight,
            paid=self.paid,
            delivered=self.delivered,
            repeated=self.repeated,
            abandoned=self.abandoned,
            statuses=dict(self.statuses),
            by_route=dict(self.by_route),
            calls=self.calls,
        )
