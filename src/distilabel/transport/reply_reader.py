r"""Replies of one connection, read from bytes as they come, in pieces of any size.

How it works: `ReplyReader.feed` takes what came off the socket and gives the reply once it is
whole, None until then; `ReplyReader.end` says what the end of the connection means. A reply that
comes in one piece, as nearly all do, is cut out of it and goes no other way.

Rules:

- One reply at a time. What follows a whole one belongs to no request: more than an empty line is
  an error, and the connection is of no further use (`is_reusable`). So after any error.
- Interim replies (1xx) are passed over, a few of them; 101 was not asked for.

This module is pure: it touches neither a socket nor a clock.

>>> reader = ReplyReader()
>>> reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe") is None
True
>>> reader.feed(b"\r\n3\r\nllo\r\n0\r\n\r\n").body
b'hello'
"""

from __future__ import annotations

import re
from enum import Enum

from distilabel.transport.lane import BODY_MAX_BYTES, HttpReply
from distilabel.transport.reply_body import (
    BrokenOffError,
    InflatedBody,
    PlainBody,
    ReplyTooLargeError,
)
from distilabel.transport.reply_head import (
    CHUNKED,
    HEAD_MAX_BYTES,
    UNTIL_CLOSE,
    BadReplyError,
    Head,
    are_fields,
    read_head,
)

__all__ = ["ReplyReader"]

_INTERIM_MAX = 16
_CHUNK_LINE_MAX_BYTES = 4096
_BEGINNING = b"HTTP/1."
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")


class _Part(Enum):
    """Of what the next bytes are."""

    HEAD = "head"
    SIZED = "sized"
    UNTIL_CLOSE = "until close"
    CHUNK_SIZE = "chunk size"
    CHUNK = "chunk"
    CHUNK_END = "chunk end"
    TRAILER = "trailer"
    DONE = "done"


class ReplyReader:
    """Reads the replies of one connection, one after another.

    Attributes:
        is_begun: whether a part of a reply is in, and the rest is not.
        is_reusable: after a reply: whether the connection may carry another request.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_head",
        "_interim",
        "_left",
        "_part",
        "is_begun",
        "is_reusable",
    )

    def __init__(self) -> None:
        self.is_begun = False
        self.is_reusable = True
        self._buffer = bytearray()
        """What came and was not taken yet."""
        self._interim = 0
        self._part = _Part.HEAD
        self._left = 0
        """How much of the body, or of the chunk, is to come."""
        self._head: Head | None = None
        self._body: PlainBody | InflatedBody = PlainBody()

    @property
    def has_head(self) -> bool:
        """Whether the head of a reply is in, and the rest is not."""
        return self._head is not None

    def feed(self, data: bytes) -> HttpReply | None:
        """Take what came; the reply, if it is whole now.

        Raises:
            BadReplyError: it is not proper HTTP/1.1.
            BrokenOffError: the body cannot be decompressed.
            ReplyTooLargeError: the body is.
        """
        if not self.is_begun:
            end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
            if end >= 0:
                head = read_head(data, end)
                size = len(data) - end - 4
                is_whole = head.length == size <= BODY_MAX_BYTES
                if is_whole and not head.encoding and head.status >= 200:
                    self.is_reusable = head.keeps_alive
                    self._interim = 0
                    return HttpReply(head.status, head.headers, data[end + 4 :])
                data = data[end + 4 :]
                self._begin(head)
            self.is_begun = True
        self._buffer += data
        return self._reply()

    def end(self) -> HttpReply:
        """The reply, if the end of the connection is its end.

        Raises:
            BrokenOffError: it is not.
        """
        if self._head is None or self._part is not _Part.UNTIL_CLOSE:
            raise BrokenOffError("the connection ended within the reply")
        return self._finished(self._head)

    def _reply(self) -> HttpReply | None:
        while self._has_moved_on():
            if self._head is not None and self._part is _Part.DONE:
                return self._finished(self._head)
        self.is_begun = bool(self._buffer) or self._part is not _Part.HEAD
        return None

    def _finished(self, head: Head) -> HttpReply:
        if self._buffer.strip(b"\r\n"):
            raise BadReplyError("there is more than the reply")
        reply = HttpReply(head.status, head.headers, self._body.whole())
        self.is_reusable = head.keeps_alive and not self._buffer
        self.is_begun = False
        self._head, self._part, self._interim = None, _Part.HEAD, 0
        return reply

    def _has_moved_on(self) -> bool:
        """Take one part out of the buffer; whether there was enough of it."""
        match self._part:
            case _Part.HEAD:
                return self._has_head()
            case _Part.SIZED | _Part.CHUNK:
                return self._has_rest()
            case _Part.UNTIL_CLOSE:
                self._body.add(self._taken(len(self._buffer)))
                return False
            case _Part.CHUNK_SIZE:
                return self._has_chunk_size()
            case _Part.CHUNK_END:
                return self._has_chunk_end()
            case _:
                return self._has_trailer()

    def _has_head(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
        if end >= 0:
            self._begin(read_head(self._taken(end + 4), end))
            return True
        if len(buffer) >= HEAD_MAX_BYTES or not _BEGINNING.startswith(buffer[: len(_BEGINNING)]):
            raise BadReplyError("no head")
        return False

    def _begin(self, head: Head) -> None:
        """Go from a head to what follows it."""
        if head.status < 200:
            self._interim += 1
            if head.status == 101 or self._interim > _INTERIM_MAX:
                raise BadReplyError("an interim reply that was not asked for")
            return
        if head.length > BODY_MAX_BYTES:
            raise ReplyTooLargeError
        self._head = head
        self._body = InflatedBody(head.encoding) if head.encoding else PlainBody()
        if head.length == CHUNKED:
            self._part = _Part.CHUNK_SIZE
        elif head.length == UNTIL_CLOSE:
            self._part = _Part.UNTIL_CLOSE
        else:
            self._part, self._left = _Part.SIZED, head.length

    def _has_rest(self) -> bool:
        piece = self._taken(min(self._left, len(self._buffer)))
        self._body.add(piece)
        self._left -= len(piece)
        if self._left:
            return False
        self._part = _Part.DONE if self._part is _Part.SIZED else _Part.CHUNK_END
        return True

    def _has_chunk_size(self) -> bool:
        end = self._buffer.find(b"\r\n", 0, _CHUNK_LINE_MAX_BYTES)
        if end < 0:
            if len(self._buffer) >= _CHUNK_LINE_MAX_BYTES:
                raise BadReplyError("a chunk without a size")
            return False
        size = _CHUNK_SIZE.fullmatch(self._taken(end + 2), 0, end)
        if size is None:
            raise BadReplyError("a chunk's size is no number")
        self._left = int(size[1], 16)
        self._part = _Part.CHUNK if self._left else _Part.TRAILER
        return True

    def _has_chunk_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._taken(2) != b"\r\n":
            raise BadReplyError("a chunk is longer than it says")
        self._part = _Part.CHUNK_SIZE
        return True

    def _has_trailer(self) -> bool:
        """Pass over the fields after the last chunk; an empty line ends them."""
        buffer = self._buffer
        end = 0 if buffer.startswith(b"\r\n") else buffer.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES) + 2
        if end == 1:
            if len(buffer) >= HEAD_MAX_BYTES:
                raise BadReplyError("too much follows the last chunk")
            return False
        if not are_fields(self._taken(end + 2)[:end]):
            raise BadReplyError("what follows the last chunk is malformed")
        self._part = _Part.DONE
        return True

    def _taken(self, size_bytes: int) -> bytes:
        """So many bytes off the buffer."""
        taken = bytes(self._buffer[:size_bytes])
        del self._buffer[:size_bytes]
        return taken
