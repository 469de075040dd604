"""A reply before and after a fault has spoiled it: what is to be put on the wire, and how it ends.

Every fault is a pure function from a `Reply` to an `Outgoing`; the connection only carries it out.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TypeAlias

import msgspec

from distilabel.testing.http1 import reply_bytes

__all__ = ["Ending", "ErrorShape", "Headers", "Outgoing", "Reply"]

Headers: TypeAlias = tuple[tuple[str, str], ...]
ErrorShape: TypeAlias = Callable[[int, str], bytes]
"""Writes a route's error body from a status and a message: each API has its own shape."""


class Ending(Enum):
    """What happens to the connection after the last byte."""

    KEEP = "keep"
    """It serves the next request."""
    CLOSE = "close"
    """It is closed in good order (FIN)."""
    RESET = "reset"
    """It is reset (RST)."""
    HANG = "hang"
    """Nothing more happens until the client goes away."""


class Reply(msgspec.Struct, frozen=True):
    """A reply as it should be sent.

    Attributes:
        status: the HTTP status.
        body: its bytes.
        headers: everything but Content-Length.
    """

    status: int
    body: bytes
    headers: Headers = ()

    def to_bytes(self) -> bytes:
        """The head and the body."""
        return reply_bytes(self.status, self.headers, self.body)


class Outgoing(msgspec.Struct, frozen=True):
    """What to put on the wire.

    Attributes:
        status: the status that the client gets to see; 0 if it gets none.
        pieces: the bytes; a piece is sent when the one before it has left.
        ending: what happens to the connection then.
        every_s: how long to wait before each piece.
        is_whole: whether a client that reads all of it has the reply that the head announced.
    """

    status: int
    pieces: Iterable[bytes]
    ending: Ending = Ending.KEEP
    every_s: float = 0.0
    is_whole: bool = True
