"""The lane over an SDK client of the user's: `openai.AsyncOpenAI`, or one that derives from it.

The request goes through `chat.completions.create`, so that what wraps it (tracing, Azure's routes,
custom authentication) sees it. A reply is read piece by piece, so that its length is bounded as in
the other lanes; but for one with an error's status, which the SDK reads whole. The client is used
with `max_retries=0`: there is one owner of retries, and it is not the SDK. Redirects, which the
SDK's own HTTP client follows, are off here as everywhere: prompts stay with the server that they
are meant for.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from distilabel.errors import ConfigurationError, TransientError
from distilabel.transport.httpx_lane import error_table
from distilabel.transport.lane import BODY_MAX_BYTES, HttpReply, Timeouts, mapped, too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.transport.lane import ErrorTable

__all__ = ["OpenAIClientLane", "is_openai_client"]

_HTTP_CLIENTS = ("httpx", "httpx2")
"""What the SDK may send through; what breaks off while a reply is read is theirs to raise."""


def is_openai_client(client: object) -> bool:
    """Whether `client` is an async client of the OpenAI SDK."""
    module = sys.modules.get("openai")  # a client exists, so its module is loaded
    if module is None:
        return False
    if isinstance(client, module.OpenAI):
        raise ConfigurationError(
            "client= is an openai.OpenAI, which blocks the event loop. "
            "Give an openai.AsyncOpenAI instead."
        )
    return isinstance(client, module.AsyncOpenAI)


class OpenAIClientLane:
    """Attempts through the user's `AsyncOpenAI`; URL and headers are the client's own."""

    def __init__(self, client: Any, timeouts: Timeouts) -> None:
        self._completions = _without_redirects(client.with_options(max_retries=0)).chat.completions
        self._total_s = timeouts.total_s
        openai = sys.modules["openai"]
        self._status_error: type[Exception] = openai.APIStatusError
        self._errors = (
            (openai.APITimeoutError, TransientError, "timeout", "no complete reply in time"),
            (TimeoutError, TransientError, "timeout", "no complete reply in time"),
            (openai.APIConnectionError, TransientError, "connection", "the connection was lost"),
            *(line for name in _HTTP_CLIENTS if name in sys.modules for line in _table_of(name)),
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Send one request through the SDK and return the reply it read, of any status."""
        del headers  # the client has its own
        parameters = msgspec.json.decode(body)
        model, messages = parameters.pop("model"), parameters.pop("messages")
        with mapped(self._errors, url), anyio.fail_after(self._total_s):
            try:
                async with self._completions.with_streaming_response.create(
                    model=model, messages=messages, extra_body=parameters
                ) as reply:
                    return HttpReply(reply.status_code, reply.headers, await _read(reply, url))
            except self._status_error as error:
                response: Any = error.response  # type: ignore[attr-defined]
                return HttpReply(response.status_code, response.headers, response.content)

    async def aclose(self) -> None:
        """Nothing: the client is the user's."""


async def _read(reply: Any, url: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in reply.iter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            raise too_large(url)
    return b"".join(chunks)


def _table_of(name: str) -> ErrorTable:
    return error_table(sys.modules[name])


def _without_redirects(client: Any) -> Any:
    """The client, which is a copy of our own, with redirects off.

    `create` takes no option for that; `_prepare_options` is the SDK's hook "for mutating the given
    options", which its Azure clients use in the same way.
    """
    prepare = client._prepare_options  # noqa: SLF001 - see above

    async def prepare_without_redirects(options: Any) -> Any:
        options = await prepare(options)
        options.follow_redirects = False
        return options

    client._prepare_options = prepare_without_redirects  # noqa: SLF001 - see above
    return client
