"""How many rows may be in hand: the window, and the slots for what the consumer has not taken.

Rules:

- The window holds twice as many rows as there are permits in all stages, and follows their number:
  enough that neither stage waits for the other, and no more than that in memory.
- Before its last stage a row takes an output slot, which is given back when the consumer takes the
  row. There are twice as many as that stage has permits. So a slow consumer stops the last stage,
  then the window fills, then no row is pulled.
- In input order the window itself bounds what is made and not taken, and there are no further
  slots: a row that others wait for can always be finished. With one stage, too, the window does.
- A row that waits for a server that does not answer well leaves its place in the window to another
  one, and its slot: as many do as the backend's health allows. If all of the window waited, no
  other row could tell whether it is the server that fails, or they.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from distilabel.limits import PermitPool
from distilabel.llm.base import DEFAULT_MAX_CONCURRENCY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distilabel.llm.base import LLM

__all__ = ["Places"]

_SLACK = 2
"""Rows for each permit: with one, a stage idles whenever the other is ahead (3 % of the time in
`benchmarks/efficiency.py`); with two, nothing was left to gain."""


class Places:
    """The places of one run.

    Args:
        backends: those of the stages, in their order.
        is_ordered: rows are handed out in the order of the input.
    """

    def __init__(self, backends: Sequence[LLM], *, is_ordered: bool) -> None:
        self._backends = backends
        self._aside: set[int] = set()
        self._aside_max = 0
        for_stages = self._for_stages()
        self.window = PermitPool(sum(for_stages))
        """Rows pulled from the source and not taken by the consumer."""
        needs_slots = len(backends) > 1 and not is_ordered
        self.slots = PermitPool(for_stages[-1]) if needs_slots else None
        """Rows in the last stage or behind it, and not taken; None: the window bounds them."""

    @property
    def in_all(self) -> int:
        """Rows that may be in hand while all is well: none is set aside."""
        return sum(self._for_stages())

    def follow(self) -> None:
        """A backend has other permits than before. Called in any thread."""
        for_stages = self._for_stages()
        aside = min(len(self._aside), self._aside_max)
        self.window.resize(sum(for_stages) + aside)
        if self.slots is not None:
            self.slots.resize(for_stages[-1] + aside)

    def set_aside(self, row_index: int, at_most: int) -> None:
        """A row waits for its server: another may have its places, as `at_most` others may."""
        if row_index not in self._aside or at_most != self._aside_max:
            self._aside.add(row_index)
            self._aside_max = at_most
            self.follow()

    def done(self, row_index: int) -> None:
        """A row waits for no server any more. Its places are still its own: it is not taken yet."""
        if row_index in self._aside:
            self._aside.discard(row_index)
            self.follow()

    def give_back(self) -> None:
        """The consumer has taken a row."""
        self.window.release()
        if self.slots is not None:
            self.slots.release()

    def _for_stages(self) -> list[int]:
        """Of a limit that is found out, always for what it may become soon."""
        return [
            _SLACK * max(llm.permits.limit, min(llm.max_concurrency, DEFAULT_MAX_CONCURRENCY))
            for llm in self._backends
        ]
