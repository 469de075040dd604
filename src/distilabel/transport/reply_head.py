r"""The head of an HTTP/1.1 reply: read strictly, once, and no more of it than framing needs.

Rules:

- Lines end with CR LF. A name is a token, the colon follows it at once, no line is folded, no byte
  is a control character: whatever two readers could take differently is refused.
- The body's length is what one Content-Length says, or the body is chunked, or it ends with the
  connection. Both, two lengths, a length that is no number or a transfer coding other than
  "chunked" are refused. 1xx, 204 and 304 have no body, whatever their fields say.
- A body is compressed once at most, with gzip or deflate.
- Fields stay bytes until somebody looks one up: most replies are never asked.

This module is pure: it touches neither a socket nor a clock.

>>> data = b"HTTP/1.1 200 OK\r\nX-Request-ID: 7\r\nContent-Length: 2\r\n\r\n"
>>> head = read_head(data, data.find(b"\r\n\r\n"))
>>> head.status, head.length, head.headers["x-request-id"]
(200, 2, '7')
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

__all__ = [
    "CHUNKED",
    "HEAD_MAX_BYTES",
    "UNTIL_CLOSE",
    "BadReplyError",
    "Head",
    "ReplyHeaders",
    "are_fields",
    "read_head",
]

HEAD_MAX_BYTES = 64 << 10
"""The most that a head may take, and the most that may follow a last chunk."""

CHUNKED = -1
"""In place of a length: the body comes in chunks."""

UNTIL_CLOSE = -2
"""In place of a length: the body ends when the connection does."""

_FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+\r\n"
_FIELDS = re.compile(rb"(?:" + _FIELD + rb")*+")
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*+)?+(?=(\r\n))\r\n"
    rb"(?:" + _FIELD + rb")*+"
)
_FRAMING = re.compile(
    rb"\r\n(?i:(content-length|transfer-encoding|content-encoding|connection)):[ \t]*+([^\r]*)"
)
_LENGTH = re.compile(rb"([0-9]{1,15})[ \t]*")
_ENCODINGS = {
    b"gzip": b"gzip",
    b"x-gzip": b"gzip",
    b"deflate": b"deflate",
    b"br": None,
    b"zstd": None,
    b"compress": None,
    b"x-compress": None,
}
"""What compresses, and what it is called here; None: it was not asked for and cannot be undone."""


class BadReplyError(Exception):
    """What came is not proper HTTP/1.1, or is encoded in a way that was not asked for."""


class ReplyHeaders(Mapping[str, str]):
    """The fields of a head, looked up by lower-case name; a field sent twice is joined by ", ".

    Args:
        block: the lines of the head, each with the CR LF before it, and one at the end.
    """

    __slots__ = ("_block", "_fields", "_lower")

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._lower: bytes | None = None
        self._fields: dict[str, str] | None = None

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str) -> str: ...
    @overload
    def get(self, name: str, /, default: T) -> str | T: ...
    def get(self, name: str, /, default: object = None) -> object:
        """The value of a field; one that was not sent is missed without decoding the others."""
        return self._decoded().get(name, default) if name in self else default

    def hold(self, text: str) -> bool:
        """Whether a text is in any of them; the bytes are looked through as they came."""
        return text.encode() in self._block

    def __contains__(self, name: object) -> bool:
        if self._fields is not None:
            return name in self._fields
        if self._lower is None:
            self._lower = self._block.lower()
        return isinstance(name, str) and b"\r\n%b:" % name.encode() in self._lower

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._decoded()!r})"

    def _decoded(self) -> dict[str, str]:
        if self._fields is None:
            fields: dict[str, str] = {}
            for line in self._block.decode("latin-1").split("\r\n")[1:-1]:
                name, _, value = line.partition(":")
                name, value = name.lower(), value.strip(" \t")
                fields[name] = f"{fields[name]}, {value}" if name in fields else value
            self._fields = fields
        return self._fields


class Head:
    """What a head says.

    Attributes:
        status: the HTTP status.
        length: of the body, in bytes; or `CHUNKED`, or `UNTIL_CLOSE`.
        encoding: of the body: b"" for none, else b"gzip" or b"deflate".
        keeps_alive: whether the connection may carry another request.
        headers: all fields.
    """

    __slots__ = ("encoding", "headers", "keeps_alive", "length", "status")

    def __init__(
        self, status: int, length: int, encoding: bytes, keeps_alive: bool, headers: ReplyHeaders
    ) -> None:
        self.status = status
        self.length = length
        self.encoding = encoding
        self.keeps_alive = keeps_alive
        self.headers = headers


def read_head(data: bytes, end: int) -> Head:
    """The head that `data` begins with; an empty line follows it at `end`.

    Raises:
        BadReplyError: it is not in order.
    """
    match = _HEAD.fullmatch(data, 0, end + 2)
    if match is None:
        raise BadReplyError("the head is malformed")
    status = int(match[2])
    length = UNTIL_CLOSE
    encoding, keeps_alive = b"", match[1] == b"1"
    for field, value in _FRAMING.findall(data, 0, end + 2):
        name = field.lower()
        if name == b"content-length" and length == UNTIL_CLOSE:
            length = _length(value)
        elif name == b"connection":
            keeps_alive = _keeps_alive(value, keeps_alive)
        elif name == b"content-encoding":
            encoding = _encoding(value, encoding)
        elif length == UNTIL_CLOSE and match[1] == b"1" and _word(value) == b"chunked":
            length = CHUNKED
        else:
            raise BadReplyError("where the reply ends is said twice, or in an unknown way")
    if status < 200 or status in {204, 304}:
        length = 0
    elif length == UNTIL_CLOSE:
        keeps_alive = False
    return Head(status, length, encoding, keeps_alive, ReplyHeaders(data[match.start(3) : end + 2]))


def are_fields(data: bytes) -> bool:
    """Whether these are whole header lines, or none."""
    return _FIELDS.fullmatch(data) is not None


def _word(value: bytes) -> bytes:
    return value.strip(b" \t").lower()


def _length(value: bytes) -> int:
    match = _LENGTH.fullmatch(value)
    if match is None:
        raise BadReplyError("the length is no number")
    return int(match[1])


def _keeps_alive(value: bytes, by_default: bool) -> bool:
    words = [_word(word) for word in value.split(b",")]
    return b"close" not in words and (by_default or b"keep-alive" in words)


def _encoding(value: bytes, before: bytes) -> bytes:
    """How the body is compressed; a word that names no compression, as "utf-8", says nothing."""
    for word in map(_word, value.split(b",")):
        if word in _ENCODINGS:
            encoding = _ENCODINGS[word]
            if encoding is None or before:
                raise BadReplyError("an encoding that was not asked for")
            before = encoding
    return before
