"""The lane over a client of the user's: an `AsyncClient` of httpx or of httpx2.

Its proxies, certificates and hooks are used; redirects stay off and the timeouts are ours, because
httpx's default of 5 s between bytes is shorter than any model thinks. The client is never closed
here: it is the user's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import anyio

from distilabel.errors import ConfigurationError, RunFatalError, TransientError
from distilabel.transport.lane import (
    BODY_MAX_BYTES,
    ErrorTable,
    HttpReply,
    Timeouts,
    mapped,
    too_large,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HttpxLane", "error_table", "httpx_module_of"]


def httpx_module_of(client: object) -> Any | None:
    """The module, httpx or httpx2, of which `client` is an `AsyncClient`; None if it is neither."""
    for name in ("httpx", "httpx2"):
        module = sys.modules.get(name)  # a client exists, so its module is loaded
        if module is None:
            continue
        if isinstance(client, module.AsyncClient):
            return module
        if isinstance(client, module.Client):
            raise ConfigurationError(
                f"client= is a {name}.Client, which blocks the event loop. "
                f"Give a {name}.AsyncClient instead."
            )
    return None


class HttpxLane:
    """HTTP attempts through the user's `httpx.AsyncClient` or `httpx2.AsyncClient`."""

    def __init__(self, client: Any, timeouts: Timeouts, headers: Mapping[str, str]) -> None:
        module = httpx_module_of(client)
        if module is None:
            raise ConfigurationError(f"not an AsyncClient of httpx or httpx2: {type(client)}")
        self._client = client
        self._headers = dict(headers)
        self._total_s = timeouts.total_s
        self._timeout = module.Timeout(
            connect=timeouts.connect_s, read=timeouts.first_byte_s, write=timeouts.idle_s, pool=None
        )
        self._errors = error_table(module)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Send one request and read the whole reply."""
        with mapped(self._errors, url), anyio.fail_after(self._total_s):
            async with self._client.stream(
                "POST",
                url,
                content=body,
                headers={**self._headers, **headers},
                timeout=self._timeout,
                follow_redirects=False,
            ) as response:
                chunks: list[bytes] = []
                size = 0
                async for chunk in response.aiter_bytes():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > BODY_MAX_BYTES:
                        raise too_large(url)
                return HttpReply(response.status_code, response.headers, b"".join(chunks))

    async def aclose(self) -> None:
        """Nothing: the client is the user's."""


def error_table(module: Any) -> ErrorTable:
    """What httpx or httpx2 raises, and what that is to us."""
    return (
        (module.InvalidURL, RunFatalError, "bad_url", "this is not a URL that can be called"),
        (module.UnsupportedProtocol, RunFatalError, "bad_url", "this is not a URL to call"),
        (module.ConnectTimeout, TransientError, "connect_timeout", "no connection in time"),
        (module.TimeoutException, TransientError, "timeout", "no complete reply in time"),
        (TimeoutError, TransientError, "timeout", "no complete reply in time"),
        (module.ConnectError, TransientError, "connect", "the server cannot be reached"),
        (module.DecodingError, TransientError, "truncated", "the reply is garbled"),
        (module.RemoteProtocolError, TransientError, "truncated", "the reply broke off"),
        (module.TransportError, TransientError, "connection", "the connection was lost"),
    )
