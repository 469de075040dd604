"""Some rows of a source, at their places; the others are passed over.

Rules:

- Rows are chosen by a seed, without replacement, where the source knows its length; else the first
  rows are. The same seed chooses the same rows.
- Rows that are passed over are read and counted, so that each of several equal rows is known by the
  same number as in a run over all of them. Nothing is read beyond the last row that was chosen.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from distilabel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from distilabel.pipeline.source import RowsLike, RowSource
    from distilabel.types import InputRow

__all__ = ["SampledRows", "check_sample", "choose"]

_ROWS_IN_A_TURN = 64
"""So many rows are passed over before others have their turn."""


def choose(total: int | None, sample: int, seed: int | None) -> frozenset[int]:
    """The places of a sample.

    Args:
        total: how many rows there are; None: not known.
        sample: how many are wanted.
        seed: what they are drawn by.

    >>> sorted(choose(None, 3, None)), len(choose(1_000, 20, 1)), len(choose(5, 20, 1))
    ([0, 1, 2], 20, 5)
    """
    if total is None or total <= sample:
        return frozenset(range(sample if total is None else total))
    chance = random.Random(f"sample:{seed or 0}")  # noqa: S311 - hides nothing
    return frozenset(chance.sample(range(total), sample))


def check_sample(rows: RowsLike, sample: int) -> None:
    """Refuse what can be read only once: the sample's rows would be missing in the run.

    Raises:
        ConfigurationError: it is an iterator or an async iterator, or the sample is too small.
    """
    if type(sample) is not int or sample < 2:
        raise ConfigurationError(f"sample must be a whole number of at least 2, not {sample!r}")
    if isinstance(rows, Iterator | AsyncIterator):
        raise ConfigurationError(
            f"what is given ({type(rows).__name__}) can be read once, and the run after this would "
            f"lack the rows of the sample. Give what can be read again: a list, a data set, or an "
            f"object whose __iter__ (or __aiter__) begins anew; or estimate with a list of its "
            f"first rows."
        )


class SampledRows:
    """The chosen rows of a source.

    Args:
        source: all rows.
        chosen: places.
    """

    def __init__(self, source: RowSource, chosen: frozenset[int]) -> None:
        self.total: int | None = len(chosen) if source.total is not None else None
        self.on_passed_over: Callable[[InputRow], None] = lambda row: None  # noqa: ARG005
        """Told of each row that is passed over."""
        self._source = source
        self._chosen = chosen
        self._left = len(chosen)

    async def take(self) -> tuple[int, InputRow] | None:
        """The next of the chosen rows and its place; None at the end."""
        while self._left:
            item = await self._source.take()
            if item is None:
                return None
            if item[0] in self._chosen:
                self._left -= 1
                return item
            self.on_passed_over(item[1])
            if item[0] % _ROWS_IN_A_TURN == 0:
                await checkpoint()
        return None
