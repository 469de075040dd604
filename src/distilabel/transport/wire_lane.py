"""The default lane: HTTP/1.1 on asyncio's own transports, and no more of it than a `POST` needs.

How it works: `request_head` makes the bytes of a request, `connection` writes them and has
`reply_reader` cut the reply out of what comes, `origin` keeps the connections that stand,
`dialling` makes new ones. Here is what joins them: a future a request, one timer for all of them.

Rules:

- A request goes out once. If its connection is lost before the reply, nobody knows whether the
  server has done the work: whether to ask again is for the owner of retries to say.
- Redirects are never followed, so that a key stays with its origin. There are no cookies, and no
  proxy: `aiohttp_lane` is for those who need one.
- A cancelled call closes its connection: half a reply is no place to begin the next one.
- No time limit costs a timer: one sweep looks at all requests when the first of them may be late.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from distilabel.errors import RunFatalError, TransientError
from distilabel.transport.lane import HttpReply, Timeouts, bare, mapped, mapped_error, too_large
from distilabel.transport.origin import Origin
from distilabel.transport.reply_body import BrokenOffError, ReplyTooLargeError
from distilabel.transport.reply_head import BadReplyError
from distilabel.transport.request_head import BadUrlError, RequestHead, read_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.transport.connection import Connection

__all__ = ["WireLane"]

_ROUTES_MAX = 64
_SWEEPS_APART_S = 0.05
"""The least time between two sweeps, so that a thousand late calls take few of them."""

_CONNECT_ERRORS = (
    (ssl.SSLEOFError, TransientError, "connect", "the server broke off the handshake"),
    (ssl.SSLZeroReturnError, TransientError, "connect", "the server broke off the handshake"),
    (
        ssl.SSLCertVerificationError,
        *(RunFatalError, "tls", "the server's certificate was not accepted"),
    ),
    (ssl.SSLError, RunFatalError, "tls", "the server does not speak TLS as is needed here"),
    (TimeoutError, TransientError, "connect_timeout", "no connection in time"),
    (OSError, TransientError, "connect", "the server cannot be reached"),
    (UnicodeError, RunFatalError, "bad_url", "this is not a URL that can be called"),
)
_ERRORS = (
    (BadReplyError, TransientError, "protocol", "the reply is not proper HTTP"),
    (BrokenOffError, TransientError, "truncated", "the reply broke off or is garbled"),
    (TimeoutError, TransientError, "timeout", "no complete reply in time"),
    (OSError, TransientError, "connection", "the connection was lost"),
)


class _Route:
    """What is the same for all calls of a URL."""

    __slots__ = ("head", "more", "origin")

    def __init__(self, origin: Origin, more: dict[str, str], head: RequestHead) -> None:
        self.origin = origin
        self.more = more
        self.head = head


class WireLane:
    """HTTP attempts over connections of our own, in the event loop that it is made in.

    Args:
        timeouts: bounds of one attempt.
        headers: sent with every attempt. Kept where no frame of ours has them as a local.
    """

    def __init__(self, timeouts: Timeouts, headers: Mapping[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._shortest_s = min(timeouts.first_byte_s, timeouts.idle_s, timeouts.total_s)
        self._headers = dict(headers)
        self._routes: dict[str, _Route] = {}
        self._origins: dict[tuple[bool, str, int], Origin] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Send one request and read the whole reply."""
        route = self._routes.get(url)
        if route is None or route.more != headers:
            route = self._routed(url, headers)
        started_s = now_s = self._loop.time()
        connection = route.origin.idle(now_s)
        if connection is None:
            connection = await self._connected(route.origin, url)
            now_s = self._loop.time()
        waiter = connection.send(route.head, body, started_s, now_s)
        if self._sweeper is None:
            self._sweep()
        try:
            return await waiter
        except ReplyTooLargeError:
            raise too_large(url) from None
        except Exception as error:
            failure = mapped_error(_ERRORS, url, error)
            if failure is None:
                raise
            raise failure from bare(error)
        except BaseException:
            connection.give_up(waiter)
            raise

    async def aclose(self) -> None:
        """Close all connections, and wait until they are."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for origin in self._origins.values():
            await origin.aclose()

    def _routed(self, url: str, headers: Mapping[str, str]) -> _Route:
        try:
            target = read_url(url)
        except BadUrlError as error:
            raise RunFatalError(
                f"this is not a URL that can be called: {_without_user(url)}", cause="bad_url"
            ) from bare(error)
        key = (target.is_secure, target.host, target.port)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = Origin(target, self._loop)
        if len(self._routes) >= _ROUTES_MAX:
            self._routes.clear()
        head = RequestHead(target, self._headers, headers)
        if not head.is_sendable:
            raise RunFatalError("HTTP cannot carry a header with a line break", cause="bad_header")
        route = self._routes[url] = _Route(origin, dict(headers), head)
        return route

    async def _connected(self, origin: Origin, url: str) -> Connection:
        with mapped(_CONNECT_ERRORS, url):
            return await origin.connect(self._timeouts)

    def _sweep(self) -> None:
        """Fail what takes too long, and come back when the next request may."""
        now_s = self._loop.time()
        next_s = now_s + self._shortest_s
        is_busy = False
        for origin in self._origins.values():
            origin.close_old(now_s)
            for connection in tuple(origin.connections):
                due_s = connection.due_s(self._timeouts)
                if due_s is None:
                    continue
                if due_s <= now_s:
                    connection.fail(TimeoutError())
                    continue
                is_busy = True
                next_s = min(next_s, due_s)
        soonest_s = now_s + min(_SWEEPS_APART_S, self._shortest_s / 10)
        again_s = max(next_s, soonest_s)
        self._sweeper = self._loop.call_at(again_s, self._sweep) if is_busy else None


def _without_user(url: str) -> str:
    """A URL that may hold a password, without it."""
    return f"...@{url.rpartition('@')[2]}" if "@" in url else url
