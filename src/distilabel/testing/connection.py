"""One connection of a simulated endpoint: carries out plans, moves bytes.

Rules:

- Requests on a connection are served one after another, in order (pipelined ones wait, and reading
  pauses when too many do).
- A plan that needs a slot starts when there is one; its delay begins then.
- A piece of a reply is written when the one before it has left for the kernel, so "delivered" means
  what it says: the transport holds nothing back and the connection stands.
- A client that goes away gives up its place in the queue, its slot and its timer.

No task is made: a timer for the latency, and the callbacks of `asyncio.Protocol`, are all there is.
"""

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from distilabel.testing.http1 import ProtocolError, RequestParser, reply_bytes
from distilabel.testing.openai_api import error_body
from distilabel.testing.outgoing import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distilabel.testing.capacity import Slots
    from distilabel.testing.simulator import Plan, Simulator

__all__ = ["Connection"]

_PIPELINE_MAX_BYTES = 1 << 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """Serves the requests of one client connection.

    Args:
        simulator: decides about each request.
        slots: what the connections of one endpoint share, or None.
        loop: where the timers run.
        open_connections: where the connection enters itself while it stands.
    """

    def __init__(
        self,
        simulator: "Simulator",
        slots: "Slots[Connection] | None",
        loop: asyncio.AbstractEventLoop,
        open_connections: set["Connection"],
    ) -> None:
        self._simulator = simulator
        self._slots = slots
        self._loop = loop
        self._open_connections = open_connections
        self._parser = RequestParser()
        self._transport: asyncio.Transport | None = None
        self._plan: Plan | None = None
        self._is_kept_alive = True
        self._is_advancing = False
        self._is_paused = False
        self._pieces: Iterator[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)  # resume_writing then means: all has left
        self._transport = transport
        self._open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: give up what is in hand."""
        del exc
        self._open_connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        plan, has_begun = self._plan, self._pieces is not None
        self._transport = self._pieces = self._timer = None
        if plan is not None:
            self._release(plan, is_delivered=False, is_abandoned=not has_begun)

    def data_received(self, data: bytes) -> None:
        """Parse, and serve the next request if none is being served."""
        self._parser.feed(data)
        if self._plan is None:
            self._advance()
        elif self._parser.buffered_bytes > _PIPELINE_MAX_BYTES and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on: everything that was written has left."""
        # Not at once: asyncio calls this in the middle of its own bookkeeping.
        self._loop.call_soon(self._pump)

    def start(self) -> None:
        """Begin the service of the request in hand: its latency runs from now."""
        if self._plan is None or self._transport is None:
            return
        if self._plan.delay_s > 0:
            self._timer = self._loop.call_later(self._plan.delay_s, self._send)
        else:
            self._send()

    def _advance(self) -> None:
        """Serve requests until one has to wait, or there is none."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._plan is None and self._begin_next():
                pass
        finally:
            self._is_advancing = False

    def _begin_next(self) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        try:
            http = self._parser.next_request()
        except ProtocolError as error:
            self._refuse(transport, error)
            return False
        if http is None:
            if self._parser.take_expectation():
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self._is_paused:
                self._is_paused = False
                transport.resume_reading()
            return False
        self._is_kept_alive = http.head.is_kept_alive
        self._plan = plan = self._simulator.receive(http, self._loop.time())
        if not plan.needs_slot or self._slots is None or self._slots.arrive(self):
            self.start()
        return True

    def _refuse(self, transport: asyncio.Transport, error: ProtocolError) -> None:
        headers = (("content-type", "application/json"), ("connection", "close"))
        body = error_body(error.status, error.message)
        transport.write(reply_bytes(error.status, headers, body))
        transport.close()

    def _send(self) -> None:
        self._timer = None
        plan = self._plan
        if plan is None:
            return
        self._pieces = iter(plan.outgoing.pieces)
        if plan.outgoing.every_s > 0:
            self._timer = self._loop.call_later(plan.outgoing.every_s, self._pump)
        else:
            self._pump()

    def _pump(self) -> None:
        """Write pieces until one has to wait; after the last one, end."""
        plan, transport, pieces = self._plan, self._transport, self._pieces
        if plan is None or transport is None or pieces is None:
            return
        if transport.get_write_buffer_size():
            return  # resume_writing goes on
        ledger = self._simulator.ledger
        ledger.begin_send()
        try:
            is_over = self._write(plan, transport, pieces)
            if is_over:
                # A write that failed leaves an empty buffer, too, but a closing transport.
                is_delivered = not transport.is_closing()
                self._release(plan, is_delivered=is_delivered, is_abandoned=False)
        finally:
            ledger.end_send()
        if is_over:
            self._end(plan.outgoing.ending, transport)

    def _write(self, plan: "Plan", transport: asyncio.Transport, pieces: "Iterator[bytes]") -> bool:
        """Write what can be written; whether that was all, and nothing else is to come."""
        for piece in pieces:
            transport.write(piece)
            if transport.get_write_buffer_size():
                return False
            if plan.outgoing.every_s > 0:
                self._timer = self._loop.call_later(plan.outgoing.every_s, self._pump)
                return False
        return plan.outgoing.ending is not Ending.HANG

    def _end(self, ending: Ending, transport: asyncio.Transport) -> None:
        """Go on with the next request, or end the connection as the plan says."""
        if ending is Ending.RESET:
            _reset(transport)
        elif ending is Ending.KEEP and self._is_kept_alive:
            self._advance()
        else:
            transport.close()

    def _release(self, plan: "Plan", *, is_delivered: bool, is_abandoned: bool) -> None:
        """Hand back the plan, and the slot to whom has waited longest."""
        self._plan = self._pieces = None
        now_s = self._loop.time()
        self._simulator.finish(plan, now_s, is_delivered=is_delivered, is_abandoned=is_abandoned)
        if plan.needs_slot and self._slots is not None:
            following = self._slots.leave(self)
            if following is not None:
                self._loop.call_soon(following.start)  # a direct call would nest without end


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the client may have been faster
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
