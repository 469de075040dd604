"""What a run did over time, in a bounded number of points. Pure.

Rules:

- A point covers some seconds and says how many there were. When there are `POINTS_MAX`, two
  neighbours become one and `width_s`, what a point is to cover, doubles: however long a run is, its
  timeline has the same size, and no count is lost.
- Time counts while a run is under way. The sessions of a run that was gone on with follow each
  other; the time between them is left out.
- What was written may come from anywhere: what cannot be read as a timeline is an empty one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["POINTS_MAX", "Point", "Timeline", "coarser"]

POINTS_MAX: Final = 240
"""A timeline has fewer points than that, and at most as many when it is read."""
_FIRST_WIDTH_S: Final = 0.5
_TEXT_MAX: Final = 200_000
"""Characters of a timeline as text; the longest that is written has a fifth of that."""
_NUMBER_MAX: Final = 1e15
_STAGES_MAX: Final = 8
_COUNTS: Final = (
    "rows",
    "calls",
    "prompt_tokens",
    "completion_tokens",
    "retries",
    "throttles",
    "sessions",
)


@dataclass(frozen=True, slots=True)
class Point:
    """What a run did in so many seconds."""

    seconds: float
    rows: int = 0
    """Rows that were finished; those that an earlier session had finished do not count again."""
    calls: int = 0
    """Calls that brought a reply which was used."""
    prompt_tokens: int = 0
    """Tokens read, counted when a reply has come."""
    completion_tokens: int = 0
    """Tokens written, likewise."""
    retries: int = 0
    """Attempts that were repeated for another reason than a throttle."""
    throttles: int = 0
    """Attempts that were repeated because the server said: too much."""
    sessions: int = 0
    """Sessions of the run that began in it."""
    limits: tuple[int, ...] = ()
    """For each stage, how many attempts its backend was allowed at once, at the end."""
    in_flight: tuple[float, ...] = ()
    """For each stage, how many attempts its backend had under way, on average of the samples."""

    def __add__(self, later: Point) -> Point:
        counts = {name: getattr(self, name) + getattr(later, name) for name in _COUNTS}
        seconds = self.seconds + later.seconds
        share = later.seconds / seconds if seconds else 0.5
        in_flight = zip(self.in_flight, later.in_flight, strict=True)
        return Point(
            round(seconds, 3),
            **counts,
            limits=later.limits,
            in_flight=tuple(round(a + (b - a) * share, 2) for a, b in in_flight),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Timeline:
    """What a run did over time.

    >>> timeline = Timeline(("generator",))
    >>> for rows in (1, 2):
    ...     timeline = timeline.added(Point(0.5, rows, limits=(8,), in_flight=(7.0,)))
    >>> timeline
    <Timeline of 2 points, 1.0 s>
    """

    stages: tuple[str, ...] = ()
    """Whose the limits and the attempts in flight are, in this order."""
    points: tuple[Point, ...] = ()
    width_s: float = _FIRST_WIDTH_S
    """How many seconds a point is to cover. The last one of a session may cover fewer, and one in
    which nothing was under way may cover more."""

    def __repr__(self) -> str:
        return f"<Timeline of {len(self.points)} points, {self.seconds:.1f} s>"

    @property
    def seconds(self) -> float:
        """How long the run was under way."""
        return sum(point.seconds for point in self.points)

    def added(self, point: Point) -> Timeline:
        """With one more point."""
        points = (*self.points, point)
        if len(points) < POINTS_MAX:
            return replace(self, points=points)
        return replace(self, points=coarser(points, 2), width_s=2 * self.width_s)

    def stretched(self, point: Point) -> Timeline:
        """With what is too short to be a point of its own in the last one."""
        return replace(self, points=(*self.points[:-1], self.points[-1] + point))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, in columns; `from_dict` reads it back."""
        counts = {name: [getattr(each, name) for each in self.points] for name in _COUNTS}
        return {
            "stages": list(self.stages),
            "width_s": self.width_s,
            "seconds": [each.seconds for each in self.points],
            **counts,
            "limits": [list(each.limits) for each in self.points],
            "in_flight": [list(each.in_flight) for each in self.points],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Timeline:
        """The timeline that `to_dict` wrote; an empty one if it is anything else."""
        try:
            return _read(data)
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()

    def to_json(self) -> str:
        """As text; `from_json` reads it back."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Timeline:
        """What `to_json` wrote; an empty timeline if it is anything else."""
        try:
            return cls.from_dict(json.loads(text) if len(text) <= _TEXT_MAX else {})
        except (ValueError, RecursionError):
            return cls()


def coarser(points: Sequence[Point], together: int) -> tuple[Point, ...]:
    """So many neighbours as one; the last may be fewer.

    >>> [point.rows for point in coarser([Point(1.0, 1), Point(1.0, 2), Point(1.0, 4)], 2)]
    [3, 4]
    """
    found: list[Point] = []
    for place in range(0, len(points), together):
        first, *others = points[place : place + together]
        for other in others:
            first += other
        found.append(first)
    return tuple(found)


def _read(data: Mapping[str, Any]) -> Timeline:
    """Raises what a wrong shape raises."""
    stages = tuple(name for name in data["stages"] if isinstance(name, str))
    seconds = [float(_checked(each)) for each in data["seconds"]]
    counts = {name: [int(_checked(each)) for each in data[name]] for name in _COUNTS}
    limits = [tuple(int(_checked(each)) for each in some) for some in data["limits"]]
    in_flight = [tuple(float(_checked(each)) for each in some) for some in data["in_flight"]]
    is_odd = any(len(levels) != len(stages) for levels in chain(limits, in_flight))
    is_odd |= any(len(column) != len(seconds) for column in counts.values())
    width_s = float(_checked(data["width_s"]))
    is_large = len(seconds) > POINTS_MAX or len(stages) > _STAGES_MAX
    if is_odd or is_large or not width_s or not all(seconds):
        raise ValueError("not a timeline")
    points: list[Point] = []
    for at, (long_s, limit, levels) in enumerate(zip(seconds, limits, in_flight, strict=True)):
        counted: dict[str, Any] = {name: counts[name][at] for name in _COUNTS}
        points.append(Point(long_s, **counted, limits=limit, in_flight=levels))
    return Timeline(stages, tuple(points), width_s)


def _checked(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 <= value <= _NUMBER_MAX:
        return float(value) if isinstance(value, float) else int(value)
    raise ValueError("not a number of anything")
