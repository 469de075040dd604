"""How a connection to a server comes about: addresses, sockets, certificates.

Rules:

- A name is looked up once for all that connect at that time, and again after `_LOOKUP_S` or when
  no address answers. Several addresses are raced as RFC 8305 ("happy eyeballs") says, each
  connection beginning at another one, so that they share the load.
- Certificates are read once a process, in a thread; again if `SSL_CERT_FILE` or `SSL_CERT_DIR`,
  which Python honours, have changed.
- TCP probes a silent connection every 30 s, so that a long call is not forgotten by a NAT.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import aiohappyeyeballs

if TYPE_CHECKING:
    from collections.abc import Callable

    from distilabel.transport.request_head import Target

__all__ = ["Dialler", "keepalive_socket"]

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.BaseProtocol)
Address: TypeAlias = Any
"""What `socket.getaddrinfo` gives: family, kind, protocol, a name, the address."""

_LOOKUP_S = 10.0
_NEXT_ADDRESS_S = 0.25
_KEEPALIVE_S = 30


class Dialler:
    """Connects to one server.

    Args:
        target: a URL of it, taken apart.
        loop: where the connections live.
    """

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop
        self._addresses = _literal(target)
        self._good_until_s = float("inf") if self._addresses else 0.0
        self._turn = 0
        self._lookup = _Shared(loop, functools.partial(_looked_up, target.host, target.port))
        self._certificates = _Shared(loop, _tls_context)

    async def dial(self, protocol: Callable[[], P]) -> P:
        """A connection, and TLS on it, before the protocol made by `protocol` is told of it.

        Raises:
            OSError: no address of the server answers, or the certificate is not accepted.
        """
        target = self._target
        context = await self._certificates.result() if target.is_secure else None
        addresses = await self._next_addresses()
        try:
            opened = await aiohappyeyeballs.start_connection(
                addresses,
                happy_eyeballs_delay=_NEXT_ADDRESS_S,
                loop=self._loop,
                socket_factory=keepalive_socket,
            )
        except OSError:
            self._good_until_s = min(self._good_until_s, self._loop.time())
            raise
        _, made = await self._loop.create_connection(
            protocol,
            sock=opened,
            ssl=context,
            server_hostname=target.host.rstrip(".") if context is not None else None,
        )
        return made

    async def _next_addresses(self) -> list[Address]:
        if self._loop.time() >= self._good_until_s:
            self._addresses = await self._lookup.result()
            self._good_until_s = self._loop.time() + _LOOKUP_S
        self._turn = (self._turn + 1) % len(self._addresses)
        return self._addresses[self._turn :] + self._addresses[: self._turn]


class _Shared(Generic[T]):
    """The outcome of a function that runs in a thread, once for all who wait at that time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> None:
        self._loop = loop
        self._function = function
        self._running: asyncio.Future[T] | None = None

    async def result(self) -> T:
        """What the function returns, or raises."""
        if self._running is None:
            self._running = self._loop.run_in_executor(None, self._function)
            self._running.add_done_callback(self._done)
        return await asyncio.shield(self._running)  # one who is cancelled stops no other

    def _done(self, running: asyncio.Future[T]) -> None:
        self._running = None
        if not running.cancelled():
            running.exception()  # those who waited may all have gone


def keepalive_socket(address: Address) -> socket.socket:
    """A TCP socket for an address, which keeps long, silent calls alive behind NAT."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, option):  # macOS names them differently
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _KEEPALIVE_S)
    return made


def _literal(target: Target) -> list[Address]:
    """The address that stands in the URL itself, if one does."""
    try:
        ipaddress.ip_address(target.host)
    except ValueError:
        return []
    return _looked_up(target.host, target.port, socket.AI_NUMERICHOST)  # asks no server


def _looked_up(host: str, port: int, flags: int = socket.AI_ADDRCONFIG) -> list[Address]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))


def _tls_context() -> ssl.SSLContext:
    return _read_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=1)
def _read_certificates(*where: str | None) -> ssl.SSLContext:
    del where  # `ssl` looks for itself
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
