r"""The head of a request: made once for a URL, so that a call adds its length and its body.

Rules:

- A head holds keys. It lies in an object that shows none of it, and no frame from which an error
  may come has it among its locals.
- What one call gives goes before what all calls get, and that before what is usual. How long the
  body is, is said by nobody else.

This module is pure: it touches neither a socket nor a clock.

>>> target = read_url("http://[::1]:8000/v1/chat?a=b#c")
>>> target.host, target.port, target.authority, target.path
('::1', 8000, '[::1]:8000', '/v1/chat?a=b')
>>> RequestHead(target, {"Authorization": "Bearer k"}, {}).request(b"{}")[:21]
b'POST /v1/chat?a=b HTT'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BadUrlError", "RequestHead", "Target", "read_url"]

_PORTS = {"http": 80, "https": 443}
_USUAL = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
_OURS = {"content-length", "transfer-encoding"}
_AS_THEY_ARE = "/:@!$&'()*+,;=~-._%?"
_NO_URL = re.compile(r"[\x00-\x20\x7f]")
_BREAK = re.compile(r"[\r\n\0]")
_HOST = re.compile(r"[0-9A-Za-z._-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?")


class BadUrlError(Exception):
    """No request can go to this URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads.

    Attributes:
        is_secure: whether TLS is spoken.
        host: a name in ASCII, or an address without brackets.
        port: a number.
        authority: what the field "Host" says.
        path: what is asked for there: path and query.
    """

    is_secure: bool
    host: str
    port: int
    authority: str
    path: str


def read_url(url: str) -> Target:
    """Take a URL apart.

    Raises:
        BadUrlError: it is none that can be called.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("ascii" if url.isascii() else "idna").decode()
        port = parts.port
    except ValueError as error:  # also UnicodeError
        raise BadUrlError from error
    usual = _PORTS.get(parts.scheme)
    if usual is None or "@" in parts.netloc or _NO_URL.search(url) or not _HOST.fullmatch(host):
        raise BadUrlError
    host = host.replace("%25", "%")  # RFC 6874: a zone, which is nobody else's affair
    name = f"[{host.partition('%')[0]}]" if ":" in host else host
    query = f"?{quote(parts.query, safe=_AS_THEY_ARE)}" if parts.query else ""
    return Target(
        is_secure=parts.scheme == "https",
        host=host,
        port=usual if port is None else port,
        authority=name if port in {None, usual} else f"{name}:{port}",
        path=(quote(parts.path, safe=_AS_THEY_ARE.replace("?", "")) or "/") + query,
    )


class RequestHead:
    """The head of every request to one URL.

    Args:
        target: where the URL leads.
        fixed: fields of all calls; may be keys.
        more: fields of these calls.

    Attributes:
        is_sendable: whether no field would end before its value does.
    """

    __slots__ = ("_until_length", "is_sendable")

    def __init__(self, target: Target, fixed: Mapping[str, str], more: Mapping[str, str]) -> None:
        fields = {"host": ("Host", target.authority)}
        for each in (_USUAL, fixed, more):
            fields |= {name.lower(): (name, value) for name, value in each.items()}
        lines = [f"{n}: {v}\r\n" for key, (n, v) in fields.items() if key not in _OURS]
        start = f"POST {target.path} HTTP/1.1\r\n{''.join(lines)}Content-Length: "
        self._until_length = start.encode(errors="replace")
        self.is_sendable = not any(_BREAK.search(n + v) for n, v in fields.values())

    def request(self, body: bytes) -> bytes:
        """The bytes of one request."""
        return b"%b%d\r\n\r\n%b" % (self._until_length, len(body), body)
