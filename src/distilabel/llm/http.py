"""What backends over HTTP share: a lane per event loop, and a key that stays where it belongs.

Rules:

- A lane belongs to one event loop. It is opened by the first `session()` in that loop and closed
  when the last one there is left, so that nothing outlives a run. A client of the user's serves
  one loop after another: `given_client` says how.
- The key is a `SecretStr`. It goes to the lane once, when the lane is opened, and nowhere else. No
  frame from which an error may be raised holds it as text: tracebacks can show locals.
"""

from __future__ import annotations

import asyncio
import re
import threading
from abc import abstractmethod
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import SecretStr

from distilabel.errors import ConfigurationError
from distilabel.llm.base import LLM
from distilabel.llm.control import control_for
from distilabel.transport import HttpReply, Lane, Timeouts
from distilabel.transport.given_client import held
from distilabel.transport.httpx_lane import HttpxLane, httpx_module_of
from distilabel.transport.proxies import proxy_for
from distilabel.transport.reply_head import ReplyHeaders
from distilabel.transport.wire_lane import WireLane

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

__all__ = ["HttpLLM", "checked_key", "hidden", "hidden_headers"]

_SECRET_MIN_BYTES = 16
"""What is shorter ("EMPTY", say, for a server of one's own) is no secret, and may be a word."""
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_NAME = re.compile("key|token|secret|passw|auth|credential|cookie", re.IGNORECASE)
_LEFT_REQUESTS, _LEFT_TOKENS = "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"
_JSON_HEADERS = {"Content-Type": "application/json"}


@dataclass(slots=True)
class _Open:
    lane: Lane
    sessions: int = 0


class HttpLLM(LLM):
    """A backend that is reached by `POST`."""

    def __init__(
        self,
        *args: Any,
        key: SecretStr | None,
        client: Any | None,
        timeout: float | Timeouts | None,
        extra_headers: Mapping[str, SecretStr],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if client is not None:
            self._check_client(client)
        self._key = key
        self._client = client
        self._timeouts = _timeouts(timeout)
        self._extra_headers = _checked_headers(extra_headers)
        self._further_secrets = _secrets_in(extra_headers)
        self._lanes: dict[asyncio.AbstractEventLoop, _Open] = {}
        self._lock = threading.Lock()

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[None]:
        """Hold connections open in this event loop.

        Raises:
            ConfigurationError: the user's client is in use in another event loop.
        """
        async with nullcontext() if self._client is None else held(self._client):
            await self._prepare()
            if not self.gate.is_adaptive:  # in a thread: it looks at what is open
                await anyio.to_thread.run_sync(self.gate.leave_files)
            async with self._opened():
                yield

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        with self._lock:
            entry = self._lanes.get(loop)
            if entry is None:
                entry = self._lanes[loop] = _Open(self._open_lane())
            entry.sessions += 1
        try:
            yield
        finally:
            with self._lock:
                entry.sessions -= 1
                is_last = entry.sessions == 0
                if is_last:
                    del self._lanes[loop]
            if is_last:
                with anyio.CancelScope(shield=True):  # a cancelled run closes its sockets too
                    await entry.lane.aclose()

    def _share_limits(self, origin: str, model: str) -> None:
        """Have one control for all objects with this server, key and model."""
        self.gate.join(control_for(origin, self._key, model))

    async def _prepare(self) -> None:
        """What must be known before the first call; nothing, for most servers."""

    @abstractmethod
    def _origin(self) -> str:
        """A URL of the server that is called."""

    async def _post(self, url: str, body: bytes) -> HttpReply:
        entry = self._lanes.get(asyncio.get_running_loop())
        if entry is None:
            raise RuntimeError("a call outside `async with llm.session()`: there is no connection")
        reply = await entry.lane.post(url, _JSON_HEADERS, body)
        if _LEFT_REQUESTS in reply.headers or _LEFT_TOKENS in reply.headers:
            self.gate.learn(reply.headers)
        if self._key is not None:
            reply = _without_key(reply, self._key)
        for secret in self._further_secrets:
            reply = _without_key(reply, secret)
        return reply

    def _open_lane(self) -> Lane:
        given = {name: value.get_secret_value() for name, value in self._extra_headers.items()}
        headers = {"User-Agent": "distilabel", **given}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        if self._client is None:
            if proxy_for(self._origin()) is None:
                return WireLane(self._timeouts, headers)
            # Loaded by those who need it: nobody else has to wait for aiohttp's import.
            from distilabel.transport.aiohttp_lane import AiohttpLane

            return AiohttpLane(self._origin(), self._timeouts, headers)
        return HttpxLane(self._client, self._timeouts, headers)

    def _check_client(self, client: object) -> None:
        if httpx_module_of(client) is None:
            raise ConfigurationError(
                f"client= takes an AsyncClient of httpx or httpx2, not {type(client).__name__}"
            )


def hidden(key: str | SecretStr | None) -> SecretStr | None:
    """A key that was given, without the white space around it, as no traceback shows it."""
    return SecretStr(key.strip()) if isinstance(key, str) else key


def hidden_headers(headers: Mapping[str, str] | None) -> dict[str, SecretStr]:
    """Headers that were given, their values as no traceback shows them: they may be keys, too."""
    return {name: SecretStr(value) for name, value in (headers or {}).items()}


def _checked_headers(headers: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        if not (_is_header_name(name) and _is_header_value(value.get_secret_value())):
            raise ConfigurationError(
                f"HTTP cannot carry the header {name!r} of extra_headers=. A name is a word, a "
                f"value is a str without line breaks."
            )
    return dict(headers)


def _secrets_in(headers: Mapping[str, SecretStr]) -> tuple[SecretStr, ...]:
    """The words of headers that are named like secrets; `Bearer` is too short to be one."""
    return tuple(
        SecretStr(word)
        for name, value in headers.items()
        if _SECRET_NAME.search(name)
        for word in value.get_secret_value().split()
        if len(word) >= _SECRET_MIN_BYTES
    )


def _is_header_name(name: object) -> bool:
    return isinstance(name, str) and _HEADER_NAME.fullmatch(name) is not None


def _is_header_value(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


def checked_key(key: SecretStr | None, *, name: str) -> SecretStr | None:
    """The key; None if it is empty.

    Raises:
        ConfigurationError: no HTTP header can carry it. The message does not repeat it.
    """
    if key is None or not key.get_secret_value():
        return None
    if not _HEADER_VALUE.fullmatch(key.get_secret_value()):
        raise ConfigurationError(
            f"the {name} holds characters that no key has, such as a space or a line break. "
            f"Look at where it was read from."
        )
    return key


def _without_key(reply: HttpReply, key: SecretStr) -> HttpReply:
    """The reply, less a key, should the server repeat it: errors quote what servers say."""
    if len(key.get_secret_value()) < _SECRET_MIN_BYTES:
        return reply
    headers, body = reply.headers, reply.body
    if _hold(headers, key):
        headers = {
            name.lower(): value.replace(key.get_secret_value(), "[key]")
            for name, value in headers.items()
        }
    elif key.get_secret_value().encode() not in body:
        return reply
    body = body.replace(key.get_secret_value().encode(), b"[key]")
    return HttpReply(reply.status, headers, body)


def _hold(headers: Mapping[str, str], key: SecretStr) -> bool:
    if isinstance(headers, ReplyHeaders):  # most replies are of our own lane: no field is decoded
        return headers.hold(key.get_secret_value())
    return any(key.get_secret_value() in value for value in headers.values())


def _timeouts(timeout: float | Timeouts | None) -> Timeouts:
    if isinstance(timeout, Timeouts):
        return timeout
    if timeout is None:
        return Timeouts()
    if timeout <= 0:
        raise ConfigurationError(f"timeout must be more than 0 seconds, not {timeout}")
    default = Timeouts()
    return Timeouts(
        connect_s=min(default.connect_s, timeout),
        first_byte_s=timeout,
        idle_s=min(default.idle_s, timeout),
        total_s=timeout,
    )
