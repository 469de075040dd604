"""A server as the wire lane knows it: how to connect to it, and the connections that stand.

Rules:

- The connection used last is used next, so that those not needed grow old together and go. None is
  used after `_IDLE_MAX_S` of silence, when a server or a NAT may have dropped it unsaid, nor after
  a day. One that was silent for 0.1 s is looked at first: its end may be waiting to be read.
- There is no bound here on connections: permits bound the attempts, and so these.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import anyio

from distilabel.transport.connection import Connection
from distilabel.transport.dialling import Dialler

if TYPE_CHECKING:
    import asyncio

    from distilabel.transport.lane import Timeouts
    from distilabel.transport.request_head import Target

__all__ = ["Origin"]

_IDLE_MAX_S = 50.0
_AGE_MAX_S = 86_400.0
_LOOKED_AT_S = 0.1


class Origin:
    """The connections to one server.

    Args:
        target: a URL of it, taken apart.
        loop: where its connections live.

    Attributes:
        connections: all that stand.
    """

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self.connections: set[Connection] = set()
        self._loop = loop
        self._dialler = Dialler(target, loop)
        self._idle: dict[Connection, None] = {}
        self._empty: asyncio.Future[None] | None = None
        self._is_closed = False

    def idle(self, now_s: float) -> Connection | None:
        """A connection that may carry a request, the one used last; None if there is none."""
        while self._idle:
            connection, _ = self._idle.popitem()
            silent_s = now_s - connection.idle_since_s
            if (
                connection.is_usable
                and silent_s <= _IDLE_MAX_S
                and now_s - connection.made_s <= _AGE_MAX_S
                and (silent_s < _LOOKED_AT_S or _is_quiet(connection.fileno()))
            ):
                return connection
            connection.abort()
        return None

    async def connect(self, timeouts: Timeouts) -> Connection:
        """A new connection.

        Raises:
            OSError: there is none to be had.
            TimeoutError: not in time.
        """
        with anyio.fail_after(min(timeouts.connect_s, timeouts.total_s)):
            connection = await self._dialler.dial(lambda: Connection(self._loop, self))
        if not connection.is_usable:
            raise ConnectionResetError("lost before it was used")
        return connection

    def close_old(self, now_s: float) -> None:
        """Close what has been idle for too long."""
        for connection in tuple(self._idle):
            if now_s - connection.idle_since_s <= _IDLE_MAX_S:
                break
            del self._idle[connection]
            connection.abort()

    async def aclose(self) -> None:
        """Close all connections, also those that are being made, and wait until they are."""
        self._is_closed = True
        self._idle.clear()
        for connection in tuple(self.connections):
            connection.abort()
        while self.connections:
            self._empty = self._loop.create_future()
            await self._empty

    def opened(self, connection: Connection) -> None:
        """Take note of a connection that stands."""
        self.connections.add(connection)
        if self._is_closed:
            connection.abort()

    def released(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._idle[connection] = None

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self._idle.pop(connection, None)
        if not self.connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)


def _is_quiet(fileno: int) -> bool:
    """Whether nothing waits to be read: neither the end nor a byte that nobody asked for."""
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return not poll.poll(0)
