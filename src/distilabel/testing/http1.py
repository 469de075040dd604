r"""HTTP/1.1, bytes only: an incremental parser of requests, and the writing of replies.

How it works: `RequestParser.feed` takes bytes as they come off a socket, in pieces of any size;
`RequestParser.next_request` gives the next whole request, or None until more bytes have come.
Several requests in one piece (pipelining) come out one after another.

Rules:

- A head ends at the first empty line; lines end with CR LF. Its size is limited (431 above it).
- A body has the length that Content-Length says, or is chunked, or is not there. Both at once, two
  different lengths, or a length that is no number are refused (400): guessing would hide a bug of
  the client that is being tested. Its size is limited (413 above it).
- Header values are looked up in the bytes of the head; the whole dictionary is made only when
  somebody asks for it. That is most of what makes this parser cheap.
- After a `ProtocolError` the connection is of no further use.

This module is pure: it touches neither a socket nor a clock.

>>> parser = RequestParser()
>>> parser.feed(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 4\r\n\r\nab")
>>> parser.next_request() is None
True
>>> parser.feed(b"cd")
>>> request = parser.next_request()
>>> request.method, request.path, request.body
('POST', '/v1/chat/completions', b'abcd')
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

import msgspec

__all__ = ["Head", "HttpRequest", "ProtocolError", "RequestParser", "reply_bytes", "reply_head"]

_CONTENT_LENGTH = b"\r\ncontent-length:"
_TRANSFER_ENCODING = b"\r\ntransfer-encoding:"
_CONNECTION = b"\r\nconnection:"
_EXPECT = b"\r\nexpect:"
_KNOWN_HEADS_MAX = 64
_HEX = re.compile(rb"[0-9a-fA-F]{1,16}")
_REQUEST_LINE = re.compile(rb"([!-~]+) ([!-~]+) HTTP/1\.([01])")
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class ProtocolError(Exception):
    """What came is not HTTP/1.1, or is too large; ``status`` says how to answer it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Head:
    """The request line and the headers of a request.

    Attributes:
        method: as sent, e.g. ``POST``.
        path: the target without its query.
        query: what follows the question mark, or an empty string.
        raw: the head's bytes as sent, from the CR LF after the request line on.
        lower: the same in lower case, for looking up names.
        content_length: the length of the body; 0 without a body.
        is_chunked: whether the body is chunked instead.
        is_kept_alive: whether the connection serves another request after this one.
    """

    method: str
    path: str
    query: str
    raw: bytes = field(repr=False)  # a key is among the headers
    lower: bytes = field(repr=False)
    content_length: int
    is_chunked: bool
    is_kept_alive: bool

    def value(self, name: bytes) -> bytes | None:
        """The first value of a header, as sent; the name in lower case."""
        return _value(self.raw, self.lower, b"\r\n" + name + b":")

    def headers(self) -> dict[str, str]:
        """Every header, names in lower case, repeated ones joined by a comma."""
        found: dict[str, str] = {}
        for line in self.raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon:
                key, text = name.decode("latin-1").lower(), value.strip().decode("latin-1")
                found[key] = f"{found[key]}, {text}" if key in found else text
        return found


class HttpRequest(msgspec.Struct, frozen=True):
    """One whole request.

    Attributes:
        head: its request line and headers.
        body: its bytes, without any chunking.
    """

    head: Head
    body: bytes

    @property
    def method(self) -> str:
        """As sent, e.g. ``POST``."""
        return self.head.method

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.head.path


def _value(raw: bytes, lower: bytes, key: bytes) -> bytes | None:
    at = lower.find(key)
    if at < 0:
        return None
    start = at + len(key)
    return raw[start : raw.find(b"\r\n", start)].strip()


def _content_length(raw: bytes, lower: bytes) -> int:
    value = _value(raw, lower, _CONTENT_LENGTH)
    if value is None:
        return 0
    first = lower.find(_CONTENT_LENGTH) + 1
    again = _value(raw[first:], lower[first:], _CONTENT_LENGTH)
    if not value.isdigit() or (again is not None and again != value):
        raise ProtocolError(400, "Content-Length is not one number")
    return int(value)


def _split_target(target: str) -> tuple[str, str]:
    if not target.startswith("/"):  # absolute form, as sent to a proxy
        _, _, rest = target.partition("://")
        target = "/" + rest.partition("/")[2]
    path, _, query = target.partition("?")
    return path, query


def _is_kept_alive(minor_version: bytes, connection: bytes) -> bool:
    return b"close" not in connection if minor_version == b"1" else connection == b"keep-alive"


def _parse_head(block: bytes) -> Head:
    """Read a head, given with the CR LF of its last line."""
    line_end = block.find(b"\r\n")
    line = _REQUEST_LINE.fullmatch(block, 0, line_end)
    if line is None:
        raise ProtocolError(400, "the first line is not a request line of HTTP/1.0 or 1.1")
    raw = block[line_end:]
    lower = raw.lower()
    length = _content_length(raw, lower)
    encoding = _value(lower, lower, _TRANSFER_ENCODING)
    if encoding is not None and (encoding != b"chunked" or _CONTENT_LENGTH in lower):
        raise ProtocolError(400, "Transfer-Encoding must be chunked, without a Content-Length")
    connection = _value(lower, lower, _CONNECTION) or b""
    path, query = _split_target(line[2].decode("ascii"))
    return Head(
        method=line[1].decode("ascii"),
        path=path,
        query=query,
        raw=raw,
        lower=lower,
        content_length=length,
        is_chunked=encoding is not None,
        is_kept_alive=_is_kept_alive(line[3], connection),
    )


class RequestParser:
    """Turns bytes into requests; one for each connection.

    Args:
        head_max_bytes: a longer head is refused.
        body_max_bytes: a longer body is refused.
    """

    def __init__(self, *, head_max_bytes: int = 64 << 10, body_max_bytes: int = 64 << 20) -> None:
        self._head_max_bytes = head_max_bytes
        self._body_max_bytes = body_max_bytes
        self._buffer = bytearray()
        self._scanned_bytes = 0
        self._head: Head | None = None
        self._chunks = bytearray()
        self._heads: dict[bytes, Head] = {}

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the connection."""
        self._buffer += data

    @property
    def buffered_bytes(self) -> int:
        """How much was fed and has not come out."""
        return len(self._buffer) + len(self._chunks)

    def next_request(self) -> HttpRequest | None:
        """The next whole request, or None until more bytes have come.

        Raises:
            ProtocolError: if what came cannot be a request.
        """
        head = self._head
        if head is None:
            head = self._next_head()
            if head is None:
                return None
            self._head = head
        body = self._chunked_body() if head.is_chunked else self._sized_body(head.content_length)
        if body is None:
            return None
        self._head = None
        return HttpRequest(head, body)

    def take_expectation(self) -> bool:
        """Whether the client waits for ``100 Continue`` before the body; once a request."""
        head = self._head
        if head is None or self._buffer or self._chunks:
            return False
        if _value(head.lower, head.lower, _EXPECT) != b"100-continue":
            return False
        self._head = replace(head, lower=head.lower.replace(_EXPECT, b"\r\nmet-expect:", 1))
        return True

    def _next_head(self) -> Head | None:
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):  # RFC 9112, 2.2: empty lines before a request are noise
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned_bytes - 3))
        if (end if end >= 0 else len(buffer)) > self._head_max_bytes:
            raise ProtocolError(431, f"a head may have {self._head_max_bytes} bytes")
        if end < 0:
            self._scanned_bytes = len(buffer)
            return None
        head = self._known_head(bytes(buffer[: end + 2]))
        del buffer[: end + 4]
        self._scanned_bytes = 0
        return head

    def _known_head(self, block: bytes) -> Head:
        """Parse a head, unless the same bytes came before: on one connection most are equal."""
        head = self._heads.get(block)
        if head is None:
            head = _parse_head(block)
            if len(self._heads) >= _KNOWN_HEADS_MAX:
                self._heads.clear()
            self._heads[block] = head
        return head

    def _sized_body(self, length: int) -> bytes | None:
        buffer = self._buffer
        if length > self._body_max_bytes:
            raise ProtocolError(413, f"a body may have {self._body_max_bytes} bytes")
        if len(buffer) < length:
            return None
        body = bytes(buffer[:length])
        del buffer[:length]
        return body

    def _chunked_body(self) -> bytes | None:
        while (chunk := self._next_chunk()) is not None:
            self._chunks += chunk
            if len(self._chunks) > self._body_max_bytes:
                raise ProtocolError(413, f"a body may have {self._body_max_bytes} bytes")
            if not chunk:
                body = bytes(self._chunks)
                self._chunks.clear()
                return body
        return None

    def _next_chunk(self) -> bytes | None:
        """The next chunk's data, empty for the last one; None until it is whole."""
        buffer = self._buffer
        line_end = buffer.find(b"\r\n")
        if line_end < 0:
            if len(buffer) > self._head_max_bytes:
                raise ProtocolError(400, "the length of a chunk is not a hexadecimal number")
            return None
        size = bytes(buffer[:line_end]).partition(b";")[0].strip()
        if _HEX.fullmatch(size) is None:
            raise ProtocolError(400, "the length of a chunk is not a hexadecimal number")
        return self._chunk_data(line_end + 2, int(size, 16))

    def _chunk_data(self, start: int, size: int) -> bytes | None:
        buffer = self._buffer
        if size == 0:  # trailers, if any, end with an empty line
            end = buffer.find(b"\r\n\r\n", start - 2)
            if end >= 0:
                del buffer[: end + 4]
            return None if end < 0 else b""
        if size > self._body_max_bytes:
            raise ProtocolError(413, f"a body may have {self._body_max_bytes} bytes")
        end = start + size
        if len(buffer) < end + 2:
            return None
        if not buffer.startswith(b"\r\n", end):
            raise ProtocolError(400, "a chunk is longer than its length")
        data = bytes(buffer[start:end])
        del buffer[: end + 2]
        return data


def reply_head(status: int, headers: Iterable[tuple[str, str]], length_bytes: int) -> bytes:
    """The head of a reply: status line, the headers given, Content-Length, empty line."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers]).encode("latin-1")
    reason = _REASONS.get(status, b"Unknown")
    return b"HTTP/1.1 %d %b\r\n%bcontent-length: %d\r\n\r\n" % (status, reason, lines, length_bytes)


def reply_bytes(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    r"""A whole reply.

    >>> reply_bytes(200, [("content-type", "text/plain")], b"hi")
    b'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi'
    """
    return reply_head(status, headers, len(body)) + body
