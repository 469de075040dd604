"""A server that does what a test says, byte by byte, in the test's own event loop."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

__all__ = ["FINE", "RawServer", "Served", "sized"]

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


def sized(body: bytes, *lines: bytes, status: int = 200) -> bytes:
    """A reply with a length."""
    fields = b"".join(line + b"\r\n" for line in lines)
    return b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


FINE = sized(b"fine")


class Served(asyncio.Protocol):
    """One connection, from the server's side."""

    def __init__(self, server: RawServer) -> None:
        self.server = server
        self.requests: list[bytes] = []
        self.is_lost = False
        self._came = b""

    def connection_made(self, transport) -> None:
        """Take note."""
        self.transport = transport
        self.server.connections.append(self)
        if self.server.greets:
            self.server.greets(self)

    def data_received(self, data: bytes) -> None:
        """Hand whole requests to the test."""
        self._came += data
        head, end, rest = self._came.partition(b"\r\n\r\n")
        if not end:
            return
        if self.server.answers_heads:
            self.server.answers_heads(self)
        found = _LENGTH.search(head + b"\r\n")
        length = int(found[1]) if found else 0
        if len(rest) >= length:
            self._came = rest[length:]
            self.requests.append(head + end + rest[:length])
            self.server.requests.append(self.requests[-1])
            self.server.answer(self)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.transport.write(data)

    def later(self, delay_s: float, data: bytes) -> None:
        """Send bytes after so long, if the client is there."""
        asyncio.get_running_loop().call_later(delay_s, self.transport.write, data)

    def close(self) -> None:
        """End the connection in good order."""
        self.transport.close()

    def connection_lost(self, exc) -> None:
        """Take note."""
        self.is_lost = True
        self.server.has_changed.set()


class RawServer:
    """A server on loopback.

    Args:
        answer: what to do with a whole request; None: it gets a short reply.
        tls: speaks TLS with this.
        answers_heads: what to do when a request's head is in.
        greets: what to do with a connection that is made.
    """

    def __init__(
        self,
        answer: Callable[[Served], None] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        answers_heads: Callable[[Served], None] | None = None,
        greets: Callable[[Served], None] | None = None,
    ) -> None:
        self.answer = answer or (lambda served: served.write(FINE))
        self.answers_heads = answers_heads
        self.greets = greets
        self.connections: list[Served] = []
        self.requests: list[bytes] = []
        self.has_changed = asyncio.Event()
        self._tls = tls

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        make = loop.create_server(lambda: Served(self), "127.0.0.1", 0, ssl=self._tls)
        self._server = await make
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/v1/chat"
        return self

    async def __aexit__(self, *exc_info) -> None:
        for served in self.connections:
            served.transport.abort()
        self._server.close()
        await self.all_lost()

    async def all_lost(self) -> None:
        """Wait until no client is connected."""
        while not all(served.is_lost for served in self.connections):
            self.has_changed.clear()
            await self.has_changed.wait()
