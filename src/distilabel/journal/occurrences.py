"""How many earlier rows were the same. Pure.

Two rows that are alike are two rows: each gets replies of its own. Their calls differ in nothing
but this number, so it must come out the same in every run: rows are counted in input order.

How it works: 256 small hash tables with open addressing, in two flat arrays each: 64 bits of the
identity, and a count. That is 25 bytes a row where a dict takes 100, and no table is so large that
growing it would be felt. With the table's number 72 bits of an identity count: among a million
rows, two that differ are taken for the same with a probability of 10^-10. The second would then be
one more occurrence of the first: it is asked for all the same, and has a key of its own.
"""

from __future__ import annotations

from array import array

__all__ = ["Occurrences"]

_TABLES = 256
_FIRST_SLOTS = 8


class Occurrences:
    """Counts identities.

    >>> seen = Occurrences()
    >>> [seen.count(identity) for identity in (b"a" * 16, b"b" * 16, b"a" * 16)]
    [0, 0, 1]
    """

    def __init__(self) -> None:
        self._tables = [_Table() for _ in range(_TABLES)]

    def count(self, identity: bytes) -> int:
        """How often this identity was counted before; counts it."""
        return self._tables[identity[8]].count(int.from_bytes(identity[:8]))

    def __contains__(self, identity: bytes) -> bool:
        """Whether this identity was counted."""
        return self._tables[identity[8]].has(int.from_bytes(identity[:8]))


class _Table:
    __slots__ = ("_counts", "_free", "_marks", "_mask")

    def __init__(self, slots: int = _FIRST_SLOTS) -> None:
        self._mask = slots - 1
        self._marks = array("Q", bytes(8 * slots))
        self._counts = array("I", bytes(array("I").itemsize * slots))
        self._free = slots * 2 // 3

    def count(self, mark: int) -> int:
        slot = self._slot(mark)
        before = self._counts[slot]
        if not before:
            if not self._free:
                self._grow()
                slot = self._slot(mark)
            self._marks[slot] = mark
            self._free -= 1
        self._counts[slot] = before + 1
        return before

    def has(self, mark: int) -> bool:
        return self._counts[self._slot(mark)] > 0

    def _slot(self, mark: int) -> int:
        """Where the mark is, or would be."""
        marks, counts, mask = self._marks, self._counts, self._mask
        slot = mark & mask
        while counts[slot] and marks[slot] != mark:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        larger = _Table(2 * len(self._marks))
        for mark, count in zip(self._marks, self._counts, strict=True):
            if count:
                slot = larger._slot(mark)
                larger._marks[slot], larger._counts[slot] = mark, count
                larger._free -= 1
        self._mask, self._marks = larger._mask, larger._marks
        self._counts, self._free = larger._counts, larger._free
