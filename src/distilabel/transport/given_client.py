"""A client of the user's, held by one event loop at a time.

The pool of an httpx client keeps connections for later, and each belongs to the event loop that it
was made in. In another loop a request goes out on it all the same, is paid for, and its reply
cannot be read: "Event loop is closed". So:

- While a client is in use in one loop, it is refused in another, before any call.
- Who holds it first in a loop closes its idle connections, and so does who leaves it last, still in
  that loop. The client itself stays open: it is the user's. What is called next connects anew.

What is idle is read from attributes of httpx, httpcore and the SDK that are not public. Where a
client is built in another way, nothing is closed.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from distilabel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["held"]

_CLOSING_MAX_S = 5.0


@dataclass(slots=True)
class _Hold:
    client: object
    loop: asyncio.AbstractEventLoop
    count: int = 0


_holds: dict[int, _Hold] = {}
"""By the `id` of an HTTP client, which lives at least as long as its entry."""
_lock = threading.Lock()


@asynccontextmanager
async def held(client: object) -> AsyncGenerator[None]:
    """Hold a client for calls in this event loop; as often as one likes.

    Args:
        client: an `AsyncClient` of httpx or httpx2, or one of the OpenAI SDK, which has one.

    Raises:
        ConfigurationError: it is in use in another event loop.
    """
    http = getattr(client, "_client", client)
    hold = _taken(http)
    try:
        if hold.count == 1:
            await _close_idle(http)
        yield
    finally:
        if hold.count == 1:
            with anyio.CancelScope(shield=True):  # a cancelled run leaves no connections either
                await _close_idle(http)
        with _lock:
            hold.count -= 1
            if not hold.count and _holds.get(id(http)) is hold:
                del _holds[id(http)]


def _taken(http: object) -> _Hold:
    loop = asyncio.get_running_loop()
    with _lock:
        hold = _holds.get(id(http))
        if hold is None or hold.loop.is_closed():
            hold = _holds[id(http)] = _Hold(http, loop)
        elif hold.loop is not loop:
            raise ConfigurationError(
                "the client given as client= is in use in another event loop: another thread's "
                "run, or one that was not left yet. Its connections belong to that loop. Either "
                "give api_key= and base_url= in place of client=, then each loop has connections "
                "of its own; or make a client for each, or run one after the other. No call was "
                "made."
            )
        hold.count += 1
    return hold


async def _close_idle(http: Any) -> None:
    with anyio.move_on_after(_CLOSING_MAX_S):
        for connection in _connections_of(http):
            # What belongs to a closed loop says so when it is closed, and counts as closed then.
            with suppress(Exception):
                if connection.is_idle():
                    await connection.aclose()


def _connections_of(http: Any) -> list[Any]:
    with suppress(Exception):
        transports = (http._transport, *http._mounts.values())  # noqa: SLF001 - see above
        return [
            connection
            for transport in transports
            for connection in getattr(getattr(transport, "_pool", None), "connections", ())
        ]
    return []
