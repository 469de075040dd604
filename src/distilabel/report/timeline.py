"""What a run did over time, folded from its events into a bounded number of points.

Rules:

- A point covers `width_s` seconds. When there would be more than `POINTS_MAX`, two neighbours
  become one and the width doubles: however long the run, the memory is the same.
- It is an observer, to be given as `on_event=`. Rows of an earlier session are not in it.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from distilabel.events import (
    CallRetried,
    CallSucceeded,
    LimitChanged,
    RowFinished,
    RunFinished,
    RunStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distilabel.events import Event

__all__ = ["POINTS_MAX", "Timeline"]

POINTS_MAX: Final = 240


class Timeline:
    """Rows, tokens, throttles and limits of one run over time.

    Args:
        clock: seconds, from any moment on.

    >>> seconds = iter([0.0, 0.5, 1.5, 2.5])
    >>> timeline = Timeline(clock=lambda: next(seconds))
    >>> timeline(RunStarted(None, ()))
    >>> for index in range(3):
    ...     timeline(RowFinished(index, ()))
    >>> timeline.rows_per_s
    [1.0, 1.0, 2.0]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start_s: float | None = None
        self._last_s = 0.0
        self._width_s = 1.0
        self._rows, self._tokens, self._throttles = Counter[int](), Counter[int](), Counter[int]()
        self._limits: dict[str, dict[int, int]] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case RunStarted():
                self._point()
            case RowFinished(is_resumed=False):
                self._rows[self._point()] += 1
            case CallSucceeded(usage=usage) if usage is not None:
                self._tokens[self._point()] += usage.completion_tokens
            case CallRetried(is_throttle=True):
                self._throttles[self._point()] += 1
            case LimitChanged(stage=stage, limit=limit):
                self._limits.setdefault(stage, {})[self._point()] = limit
            case RunFinished():
                self._point()
            case _:
                pass

    @property
    def width_s(self) -> float:
        """How many seconds a point covers."""
        return self._width_s

    @property
    def points(self) -> int:
        """How many points there are; 0: nothing was seen."""
        return 0 if self._start_s is None else int(self._last_s / self._width_s) + 1

    @property
    def rows_per_s(self) -> list[float]:
        """Rows that became complete, per second, in each point."""
        return self._rates(self._rows)

    @property
    def tokens_per_s(self) -> list[float]:
        """Tokens that were written, per second, in each point; counted when a reply has come."""
        return self._rates(self._tokens)

    @property
    def throttles(self) -> list[int]:
        """How often the server said "too much", in each point."""
        return [self._throttles[point] for point in range(self.points)]

    @property
    def limits(self) -> Mapping[str, list[int | None]]:
        """For each stage, how many attempts were allowed at once at the end of each point."""
        found: dict[str, list[int | None]] = {}
        for stage, changes in self._limits.items():
            limit: int | None = None
            found[stage] = [limit := changes.get(at, limit) for at in range(self.points)]
        return found

    def _rates(self, counts: Counter[int]) -> list[float]:
        """Per second; the last point may be shorter than the others."""
        widths = [self._width_s] * self.points
        if widths:
            widths[-1] = max(self._last_s - self._width_s * (self.points - 1), self._width_s / 2)
        return [counts[point] / width for point, width in enumerate(widths)]

    def _point(self) -> int:
        """The point of this moment."""
        now_s = self._clock()
        if self._start_s is None:
            self._start_s = now_s
        self._last_s = max(self._last_s, now_s - self._start_s)
        while self.points > POINTS_MAX:
            self._halve()
        return self.points - 1

    def _halve(self) -> None:
        self._width_s *= 2
        for counts in (self._rows, self._tokens, self._throttles):
            halved = Counter[int]()
            for point, count in counts.items():
                halved[point // 2] += count
            counts.clear()
            counts.update(halved)
        for stage, changes in self._limits.items():
            self._limits[stage] = {point // 2: changes[point] for point in sorted(changes)}
