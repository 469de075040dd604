"""The lane for servers behind a proxy that the environment names: aiohttp.

One session per event loop. The connector's own limit is off: permits bound the attempts, and so the
connections. Redirects are never followed, so that a key stays with its origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from distilabel.errors import RunFatalError, TransientError
from distilabel.transport.dialling import keepalive_socket
from distilabel.transport.lane import BODY_MAX_BYTES, HttpReply, Timeouts, mapped, too_large
from distilabel.transport.proxies import proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AiohttpLane"]

_READ_BUFFER_BYTES = 2**18

_ERRORS = (
    (aiohttp.InvalidURL, RunFatalError, "bad_url", "this is not a URL that can be called"),
    (aiohttp.ClientSSLError, RunFatalError, "tls", "the server's certificate was not accepted"),
    (aiohttp.ConnectionTimeoutError, TransientError, "connect_timeout", "no connection in time"),
    (TimeoutError, TransientError, "timeout", "no complete reply in time"),
    (aiohttp.ClientConnectorError, TransientError, "connect", "the server cannot be reached"),
    (aiohttp.ClientPayloadError, TransientError, "truncated", "the reply broke off or is garbled"),
    (aiohttp.ClientConnectionError, TransientError, "connection", "the connection was lost"),
    (aiohttp.ClientError, TransientError, "protocol", "the reply is not proper HTTP"),
    (HttpProcessingError, TransientError, "protocol", "not proper HTTP"),
    (OSError, TransientError, "connection", "the connection was lost"),
)


class AiohttpLane:
    """HTTP attempts through one aiohttp session.

    Args:
        origin: a URL of the server, to find the environment's proxy for it (once, not per call).
        timeouts: bounds of one attempt.
        headers: sent with every attempt. Held by the session, so that they are no locals of any
            frame of ours.
    """

    def __init__(self, origin: str, timeouts: Timeouts, headers: Mapping[str, str]) -> None:
        self._timeouts = timeouts
        self._proxy = proxy_for(origin)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=keepalive_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            read_bufsize=_READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(
                total=timeouts.total_s,
                sock_connect=timeouts.connect_s,
                sock_read=timeouts.first_byte_s,
            ),
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Send one request and read the whole reply."""
        with mapped(_ERRORS, url):
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False, proxy=self._proxy
            ) as response:
                return HttpReply(response.status, response.headers, await self._read(response, url))

    async def _read(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        if (connection := response.connection) is not None and connection.protocol is not None:
            connection.protocol.read_timeout = self._timeouts.idle_s
        content = response.content
        body = await content.readany()
        if content.at_eof():
            return body
        chunks, size = [body], len(body)
        while chunk := await content.readany():
            chunks.append(chunk)
            size += len(chunk)
            if size > BODY_MAX_BYTES:
                response.close()
                raise too_large(url)
        return b"".join(chunks)

    async def aclose(self) -> None:
        """Close the session and its connections."""
        await self._session.close()
