"""What can go wrong with a reply, and who it happens to.

A fault is a value; a script is a function from a `SimRequest` to a fault, or to None for a reply
in good order. `Faults` makes scripts for the usual cases, and a function of one's own
is just as good::

    def script(request: SimRequest) -> Fault | None:
        return Status(500) if request.attempt == 1 and "poem" in request.prompt else None

Rules:

- A script is asked once a request, in order of arrival, on every route.
- Without latency, without a slot and without counting against a token bucket: `Status` (unless
  ``at_once=False``). Every other fault happens when the reply would have been sent: the request
  has waited for its slot and its latency, and the generation has been done.
- `Faults.rate` decides from the seed and the request's index, so the same requests in the same
  order meet the same faults.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from distilabel.testing.http1 import reply_head
from distilabel.testing.outgoing import Ending, ErrorShape, Outgoing, Reply
from distilabel.testing.ratelimit_headers import retry_after_headers
from distilabel.testing.request import SimRequest

__all__ = [
    "Delay",
    "Drip",
    "Fault",
    "Faults",
    "Hangup",
    "Html",
    "Huge",
    "MalformedJson",
    "NeverAnswers",
    "Reset",
    "Script",
    "Status",
    "Truncated",
]

_PIECE_BYTES = 256 << 10
_HTML = (
    "<html><head><title>Sign in</title></head><body>Welcome to the hotel's network</body></html>"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with a reply; every fault is a subclass."""

    @property
    def is_at_once(self) -> bool:
        """Whether it happens without waiting for a slot and for the latency."""
        return False

    @property
    def extra_s(self) -> float:
        """How much longer than its latency the request takes."""
        return 0.0

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """What is sent instead of the reply; ``error_shape`` writes an error as the route does."""
        del error_shape
        return Outgoing(reply.status, (reply.to_bytes(),))


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """Any status, with any body and headers.

    Attributes:
        code: the status.
        body: text, bytes, or a value to be sent as JSON; None for an error in the route's shape.
        headers: further headers.
        retry_after_s: sent as ``retry-after`` and ``retry-after-ms``.
        at_once: False lets the request wait for its slot and its latency first.
    """

    code: int
    body: str | bytes | Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_after_s: float | None = None
    at_once: bool = True

    @property
    def is_at_once(self) -> bool:
        """As asked for."""
        return self.at_once

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """The status in place of the reply."""
        body, kind = self._body(error_shape)
        headers = {**dict(reply.headers), "content-type": kind}
        if self.retry_after_s is not None:
            headers |= dict(retry_after_headers(self.retry_after_s))
        headers |= {name.lower(): value for name, value in self.headers.items()}
        whole = Reply(self.code, body, tuple(headers.items())).to_bytes()
        return Outgoing(self.code, (whole,))

    def _body(self, error_shape: ErrorShape) -> tuple[bytes, str]:
        if self.body is None:
            return error_shape(self.code, f"simulated fault {self.code}"), "application/json"
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), "text/plain; charset=utf-8"
        return msgspec.json.encode(self.body), "application/json"


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """The connection is reset: before the reply, or after so many of its bytes (head included).

    Attributes:
        after_bytes: how much of the reply is sent first.
    """

    after_bytes: int = 0

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """The first bytes of the reply, then RST."""
        del error_shape
        sent = reply.to_bytes()[: self.after_bytes]
        status = reply.status if len(sent) >= len(b"HTTP/1.1 200") else 0
        return Outgoing(status, (sent,) if sent else (), Ending.RESET, is_whole=False)


@dataclass(frozen=True, slots=True)
class Hangup(Fault):
    """The connection is closed in good order, without a reply: an idle connection gone stale."""

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """Nothing, then FIN."""
        del reply, error_shape
        return Outgoing(0, (), Ending.CLOSE, is_whole=False)


@dataclass(frozen=True, slots=True)
class Truncated(Fault):
    """Content-Length announces the whole body, but only a part comes before the connection closes.

    Attributes:
        keep_bytes: how much of the body is sent; None for half of it.
    """

    keep_bytes: int | None = None

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """The head and the beginning of the body, then FIN."""
        del error_shape
        whole = len(reply.body)
        keep = whole // 2 if self.keep_bytes is None else min(self.keep_bytes, whole)
        head = reply_head(reply.status, reply.headers, max(whole, keep + 1))
        return Outgoing(reply.status, (head + reply.body[:keep],), Ending.CLOSE, is_whole=False)


@dataclass(frozen=True, slots=True)
class MalformedJson(Fault):
    """A 200 in good order on the wire, with JSON that breaks off in the middle."""

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """The first half of the body, honestly announced."""
        del error_shape
        half = reply.body[: max(1, len(reply.body) // 2)]
        return Outgoing(reply.status, (Reply(reply.status, half, reply.headers).to_bytes(),))


@dataclass(frozen=True, slots=True)
class Html(Fault):
    """A 200 with a page of HTML, as a captive portal or a proxy sends it.

    Attributes:
        page: the page.
    """

    page: str = _HTML

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """The page in place of the reply."""
        del reply, error_shape
        headers = (("content-type", "text/html; charset=utf-8"),)
        return Outgoing(200, (Reply(200, self.page.encode(), headers).to_bytes(),))


@dataclass(frozen=True, slots=True)
class NeverAnswers(Fault):
    """The request is accepted and never answered; the connection stays open."""

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """Nothing."""
        del reply, error_shape
        return Outgoing(0, (), Ending.HANG, is_whole=False)


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """The reply comes a few bytes at a time.

    Attributes:
        every_s: the pause before each piece.
        bytes_each: the size of a piece.
    """

    every_s: float = 1.0
    bytes_each: int = 1

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """The whole reply in small pieces."""
        del error_shape
        whole, step = reply.to_bytes(), max(1, self.bytes_each)
        pieces = (whole[at : at + step] for at in range(0, len(whole), step))
        return Outgoing(reply.status, pieces, every_s=self.every_s)


@dataclass(frozen=True, slots=True)
class Huge(Fault):
    """A well-formed JSON reply that is far too large.

    Attributes:
        megabytes: the size of the body, decompressed, in units of 2**20 bytes.
        is_compressed: send it with gzip: small on the wire, huge once decompressed.
    """

    megabytes: int = 64
    is_compressed: bool = False

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """A chat completion with so much text."""
        del error_shape
        headers = (*reply.headers, *((("content-encoding", "gzip"),) * self.is_compressed))
        if self.is_compressed:
            body = b"".join(_gzipped(self._body()))
            return Outgoing(200, (Reply(200, body, headers).to_bytes(),))
        return Outgoing(200, self._pieces(headers))

    def _pieces(self, headers: tuple[tuple[str, str], ...]) -> Iterator[bytes]:
        yield reply_head(200, headers, self.megabytes << 20)
        yield from self._body()

    def _body(self) -> Iterator[bytes]:
        start = b'{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant"'
        start += b',"content":"'
        end = b'"}}]}'
        yield start
        left = (self.megabytes << 20) - len(start) - len(end)
        piece = b"x" * _PIECE_BYTES
        while left > 0:
            yield piece[:left]
            left -= len(piece)
        yield end


def _gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """The request takes longer than its latency; then the reply comes, or another fault.

    Attributes:
        seconds_s: how much longer.
        then: what happens after it, or None for the reply in good order.
    """

    seconds_s: float
    then: Fault | None = None

    @property
    def extra_s(self) -> float:
        """Its own seconds and those of what comes after it."""
        return self.seconds_s + (0.0 if self.then is None else self.then.extra_s)

    def outgoing(self, reply: Reply, error_shape: ErrorShape) -> Outgoing:
        """As the fault that comes after it, or the reply itself."""
        if self.then is not None:
            return self.then.outgoing(reply, error_shape)
        return Outgoing(reply.status, (reply.to_bytes(),))


Script: TypeAlias = Callable[[SimRequest], Fault | None]
"""Decides what goes wrong with a request; None for nothing."""


class Faults:
    """Ready-made scripts; a script is any function from a `SimRequest` to a `Fault` or None.

    >>> script = Faults.on_attempt(1, Status(500))
    >>> script(SimRequest(index=0, attempt=1, route="chat")).code
    500
    >>> script(SimRequest(index=1, attempt=2, route="chat")) is None
    True
    """

    @staticmethod
    def always(fault: Fault) -> Script:
        """Every generation request."""
        return lambda request: fault if request.is_generation else None

    @staticmethod
    def on_attempt(attempt: int, fault: Fault) -> Script:
        """Every generation request whose body is seen for the ``attempt``-th time."""
        return lambda request: (
            fault if request.is_generation and request.attempt == attempt else None
        )

    @staticmethod
    def on_index(faults: Mapping[int, Fault]) -> Script:
        """The generation requests with these places in the order of arrival."""
        return lambda request: faults.get(request.index) if request.is_generation else None

    @staticmethod
    def first(count: int, fault: Fault) -> Script:
        """The first ``count`` generation requests to arrive."""
        return lambda request: fault if request.is_generation and request.index < count else None

    @staticmethod
    def sequence(faults: Sequence[Fault | None]) -> Script:
        """The i-th generation request to arrive meets the i-th entry; those after it, nothing."""
        return Faults.on_index({i: fault for i, fault in enumerate(faults) if fault is not None})

    @staticmethod
    def rate(probability: float, fault: Fault, seed: int = 0) -> Script:
        """This share of the generation requests, chosen by the seed and the request's index."""
        limit = int(probability * 2**64)
        return lambda request: (
            fault if request.is_generation and _mix(seed, request.index) < limit else None
        )

    @staticmethod
    def on_route(route: str, fault: Fault) -> Script:
        """Every request on a route: ``chat``, ``text-generation``, ``models``, ``hub``, ..."""
        return lambda request: fault if request.route == route else None

    @staticmethod
    def any_of(*scripts: Script) -> Script:
        """Ask several scripts; the first that names a fault decides."""

        def script(request: SimRequest) -> Fault | None:
            found = (script(request) for script in scripts)
            return next((fault for fault in found if fault is not None), None)

        return script


def _mix(seed: int, index: int) -> int:
    """64 well-mixed bits from two numbers (the finaliser of MurmurHash3, by Austin Appleby)."""
    mask = (1 << 64) - 1
    bits = (seed * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & mask
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        bits = ((bits ^ (bits >> 33)) * multiplier) & mask
    return bits ^ (bits >> 33)
