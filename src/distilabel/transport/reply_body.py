"""Where the bytes of a reply's body go: kept as they are, or decompressed, and counted.

Rules:

- What a body takes is bounded by `BODY_MAX_BYTES` once decompressed: a few kilobytes that would
  become gigabytes are given up on at the bound.
- What is no compressed data is an error; data that stops early is not, if the reply was whole: its
  sender has done the work. "deflate" is read with the wrapper that HTTP asks
  for, and without it, as some servers send it.

This module is pure: it touches neither a socket nor a clock.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from distilabel.transport.lane import BODY_MAX_BYTES

__all__ = ["BrokenOffError", "InflatedBody", "PlainBody", "ReplyTooLargeError"]

_GZIP = 16 + zlib.MAX_WBITS
_IS_WRAPPED = 8
"""The low half of the first byte of the wrapper; no block of bare deflate begins with it."""


class BrokenOffError(Exception):
    """A reply ended too early, or its compressed body makes no sense."""


class ReplyTooLargeError(Exception):
    """A body is larger than `BODY_MAX_BYTES`."""


class _Stream(Protocol):
    """What `zlib.decompressobj` makes, as far as it is used here."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class PlainBody:
    """A body that is kept as it comes."""

    __slots__ = ("_pieces", "_size_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def add(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            ReplyTooLargeError: it is one too many.
        """
        self._size_bytes += len(data)
        if self._size_bytes > BODY_MAX_BYTES:
            raise ReplyTooLargeError
        self._pieces.append(data)

    def whole(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces)


class InflatedBody:
    """A body that is decompressed as it comes.

    Args:
        encoding: b"gzip" or b"deflate".
    """

    __slots__ = ("_encoding", "_inflated", "_stream")

    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self._inflated = bytearray()
        self._stream: _Stream | None = None

    def add(self, data: bytes) -> None:
        """Decompress the next piece.

        Raises:
            BrokenOffError: it is not what `encoding` says.
            ReplyTooLargeError: what comes out is too much.
        """
        while data:
            if self._stream is None:
                self._stream = self._opened(data)
            try:
                piece = self._stream.decompress(data, BODY_MAX_BYTES + 1 - len(self._inflated))
            except zlib.error as error:
                raise BrokenOffError("the body cannot be decompressed") from error
            self._inflated += piece
            if len(self._inflated) > BODY_MAX_BYTES:
                raise ReplyTooLargeError
            data = self._after_end(self._stream)

    def whole(self) -> bytes:
        """All that came; where it was cut off is for those to see who read it."""
        return bytes(self._inflated)

    def _opened(self, data: bytes) -> _Stream:
        if self._encoding == b"gzip":
            return zlib.decompressobj(_GZIP)
        is_wrapped = data[0] & 0x0F == _IS_WRAPPED
        return zlib.decompressobj(zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS)

    def _after_end(self, stream: _Stream) -> bytes:
        """What follows the end of the stream: gzip may have several of them in one body."""
        rest = stream.unused_data
        if rest and self._encoding != b"gzip":
            raise BrokenOffError("the compressed body goes on after its end")
        if rest:
            self._stream = None
        return rest
