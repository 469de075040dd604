"""Which keys a journal held when it was opened: 8 bytes for each call, asked without a thread."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["KeyIndex"]


class KeyIndex:
    """A set of keys that says "no" for sure and "yes" but for one wrong answer in 10^13.

    Args:
        prefixes: the first 8 bytes of all keys, in ascending order, in pieces of any length.

    >>> index = KeyIndex([b"aaaaaaaabbbbbbbb"])
    >>> index.may_hold(b"bbbbbbbb" + bytes(8)), index.may_hold(b"cccccccc" + bytes(8)), len(index)
    (True, False, 2)
    """

    __slots__ = ("_prefixes",)

    def __init__(self, prefixes: Iterable[bytes] = ()) -> None:
        self._prefixes = array("Q")
        for piece in prefixes:
            self._prefixes.frombytes(piece)
        if sys.byteorder == "little":
            self._prefixes.byteswap()

    def __len__(self) -> int:
        return len(self._prefixes)

    def may_hold(self, key: bytes) -> bool:
        """False: the key was not there."""
        if not self._prefixes:
            return False
        prefix = int.from_bytes(key[:8])
        place = bisect_left(self._prefixes, prefix)
        return place < len(self._prefixes) and self._prefixes[place] == prefix
