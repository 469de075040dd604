"""One connection of the wire lane: a request out in one write, a reply in.

Rules:

- One request at a time. The connection goes back to its owner the moment its reply is whole, and
  only if both sides may go on: anything else closes it, as does a byte that nobody asked for.
- A request is never sent twice from here, whatever became of it.
- There are no timers in here. The lane looks at `due_s` now and then, and calls `fail`.
- What asyncio reports is passed on without its frames: they hold the request, and so the key.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from distilabel.transport.lane import bare
from distilabel.transport.reply_body import BrokenOffError, ReplyTooLargeError
from distilabel.transport.reply_head import BadReplyError
from distilabel.transport.reply_reader import ReplyReader

if TYPE_CHECKING:
    from distilabel.transport.lane import HttpReply, Timeouts
    from distilabel.transport.request_head import RequestHead

__all__ = ["Connection", "Owner"]

_SMALL_BYTES = 16 << 10
"""What surely has left for the kernel by the time that a reply comes."""


class Owner(Protocol):
    """Who is told of what becomes of a connection."""

    def opened(self, connection: Connection, /) -> None:
        """It stands."""

    def released(self, connection: Connection, /) -> None:
        """It may carry another request."""

    def lost(self, connection: Connection, /) -> None:
        """It is no more."""


class Connection(asyncio.Protocol):
    """A connection, and the request that it carries.

    Args:
        loop: where it lives.
        owner: told of what becomes of it.

    Attributes:
        made_s: when it was made, by the loop's clock.
        idle_since_s: when it was released last.
    """

    __slots__ = (
        "_heard_s",
        "_is_large",
        "_loop",
        "_owner",
        "_reader",
        "_sent_s",
        "_started_s",
        "_transport",
        "_waiter",
        "idle_since_s",
        "made_s",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self._loop = loop
        self._owner = owner
        self._reader = ReplyReader()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[HttpReply] | None = None
        self._is_large = False
        self._started_s = self._sent_s = 0.0
        self._heard_s: float | None = None
        self.made_s = self.idle_since_s = loop.time()

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent."""
        transport = self._transport
        return transport is not None and self._waiter is None and not transport.is_closing()

    def send(
        self, head: RequestHead, body: bytes, started_s: float, now_s: float
    ) -> asyncio.Future[HttpReply]:
        """Send a request; what is returned will hold the reply, or what went wrong."""
        waiter = self._waiter = self._loop.create_future()
        self._started_s, self._sent_s, self._heard_s = started_s, now_s, None
        self._is_large = len(body) > _SMALL_BYTES
        self._write(head, body)
        return waiter

    def _write(self, head: RequestHead, body: bytes) -> None:
        try:
            self._transport.write(head.request(body))  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001 - whatever it is, the frames below hold the key
            raise bare(error)  # noqa: B904 - it is itself

    def due_s(self, timeouts: Timeouts) -> float | None:
        """When the request takes too long, by the loop's clock; None if there is none."""
        if self._waiter is None:
            return None
        if self._heard_s is None:
            silent_s = self._sent_s + timeouts.first_byte_s
        else:
            silent_s = self._heard_s + timeouts.idle_s
        return min(silent_s, self._started_s + timeouts.total_s)

    def give_up(self, waiter: asyncio.Future[HttpReply]) -> None:
        """Close the connection if it still carries this request; nobody waits for its reply."""
        if self._waiter is waiter:
            self._waiter = None
            self.abort()
        elif waiter.done() and not waiter.cancelled():
            waiter.exception()  # so that asyncio does not say that nobody looked

    def fail(self, error: Exception) -> None:
        """Tell who waits, and close."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.abort()

    def fileno(self) -> int:
        """The number of its socket."""
        return -1 if self._transport is None else self._transport.get_extra_info("socket").fileno()

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read on; hand the reply over once it is whole."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            self.abort()
            return
        reader = self._reader
        try:
            reply = reader.feed(data)
        except (BadReplyError, BrokenOffError, ReplyTooLargeError) as error:
            self.fail(bare(error))  # type: ignore[arg-type]
            return
        if reply is None:
            if reader.is_begun:
                self._heard_s = self._loop.time()
            return
        self._waiter = None
        waiter.set_result(reply)
        if reader.is_reusable and not (self._is_large and self._is_still_sending()):
            self.idle_since_s = self._loop.time()
            self._owner.released(self)
        else:
            self.abort()

    def _is_still_sending(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what was under way got its reply with the last byte, or gets none."""
        self._owner.lost(self)
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        try:
            waiter.set_result(self._last_reply(exc))
        except (OSError, BrokenOffError) as error:
            waiter.set_exception(bare(error))

    def _last_reply(self, exc: Exception | None) -> HttpReply:
        error = bare(exc) if exc is not None else None
        if not self._reader.has_head:
            if isinstance(error, OSError):
                raise error
            raise ConnectionResetError("closed by the server without a reply") from error
        if error is not None:
            raise BrokenOffError from error
        return self._reader.end()
