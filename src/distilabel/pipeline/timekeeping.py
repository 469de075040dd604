"""What a run did when: looked at now and then, kept with the run's summary and in its journal.

Rules:

- Nothing is done for a call or a row. A timer that rings anyway while attempts are under way has
  it noted how many there are; and, if a point is due, what the run has counted.
- While nothing is under way no timer rings, so that a point may cover a long wait. The last ring
  before it has seen that nothing is under way, and what was seen last holds until the next one.
- What is left at the end is a point of its own if it covers half of what a point should.
- What a summary is made of is one value, replaced whole: another thread may ask for it.
- It is in the journal every `SAVE_EVERY_S` at most, and at the end: a run that is killed loses so
  much of it, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from distilabel.timeline import Point, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distilabel.journal import Journal
    from distilabel.llm.base import LLM
    from distilabel.pipeline.tally import Tally
    from distilabel.types import StageName

__all__ = ["SAVE_EVERY_S", "Timekeeper"]

SAVE_EVERY_S: Final = 5.0
_EARLY_S: Final = 0.025
"""By half of what lies between two rings a point may be too short."""
_SHORTEST_S: Final = 0.001
"""What a point covers at least: what was counted in no time at all is in the timeline, too."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was known when it was looked last."""

    at_s: float
    timeline: Timeline
    has_begun: bool = False
    """There is a point of this session."""
    counted: Counter[str] = field(default_factory=Counter[str])
    """What the session has done so far, by the names that the counts of a `Point` have."""
    areas: tuple[float, ...] = ()
    """For each stage, attempts in flight times seconds, since the session began."""


@dataclass(frozen=True, slots=True)
class _Flights:
    """How much was under way when the timer rang last."""

    at_s: float
    in_use: tuple[int, ...]
    areas: tuple[float, ...]

    def areas_at(self, now_s: float) -> tuple[float, ...]:
        """Attempts times seconds until then. Another thread may ask just as the timer rings."""
        past_s = max(0.0, now_s - self.at_s)
        pairs = zip(self.areas, self.in_use, strict=True)
        return tuple(area + past_s * in_use for area, in_use in pairs)


class Timekeeper:
    """The timeline of one run, earlier sessions of it included.

    Args:
        tally: counts.
        stages: whose limits and attempts in flight are looked at.
        journal: keeps it; None: nothing does.
        clock: seconds; those of the run's event loop.
    """

    def __init__(
        self,
        tally: Tally,
        stages: Sequence[tuple[StageName, LLM]],
        journal: Journal | None,
        clock: Callable[[], float],
    ) -> None:
        self._tally = tally
        self._pools = [llm.permits for _, llm in stages]
        self._journal = journal
        self._clock = clock
        names = tuple(name for name, _ in stages)
        timeline = Timeline() if journal is None else journal.found.timeline
        if timeline.stages != names:
            timeline = Timeline(names)
        now, none = clock(), (0,) * len(names)
        self._flights = _Flights(now, none, none)
        self._seen = _Seen(now, timeline, areas=none)
        self._saved_s = now
        self._is_over = False

    def timeline(self) -> Timeline:
        """What happened so far. May be asked in any thread."""
        return self._seen.timeline if self._is_over else self._look(self._seen).timeline

    def tick(self) -> None:
        """Look at what is under way, and at all else if a point is due."""
        now = self._clock()
        in_use = tuple(pool.statistics().in_use for pool in self._pools)
        self._flights = _Flights(now, in_use, self._flights.areas_at(now))
        if now - self._seen.at_s < self._seen.timeline.width_s - _EARLY_S:
            return
        self._seen = self._look(self._seen)
        if now - self._saved_s >= SAVE_EVERY_S:
            self._saved_s = now
            self._save()

    def end(self) -> None:
        """Look for the last time: nothing is under way any more."""
        self._seen = self._look(self._seen)
        self._is_over = True
        self._save()

    def _save(self) -> None:
        if self._journal is not None:
            self._journal.note_timeline(self._seen.timeline)

    def _look(self, seen: _Seen) -> _Seen:
        """What is known now, with what is new in the timeline."""
        now_s = self._clock()
        now = replace(
            seen,
            at_s=now_s,
            has_begun=True,
            counted=_counted(self._tally),
            areas=self._flights.areas_at(now_s),
        )
        if now == seen:
            return seen
        point = self._point(seen, now)
        is_short = 2 * point.seconds < seen.timeline.width_s
        add = seen.timeline.stretched if is_short and seen.has_begun else seen.timeline.added
        return replace(now, timeline=add(point))

    def _point(self, seen: _Seen, now: _Seen) -> Point:
        seconds = max(now.at_s - seen.at_s, _SHORTEST_S)
        areas = zip(now.areas, seen.areas, strict=True)
        return Point(
            round(seconds, 3),
            **(now.counted - seen.counted),
            sessions=int(not seen.has_begun),
            limits=tuple(pool.limit for pool in self._pools),
            in_flight=tuple(round(max(0.0, area - before) / seconds, 2) for area, before in areas),
        )


def _counted(tally: Tally) -> Counter[str]:
    usage = tally.usage
    return Counter(
        rows=tally.rows - tally.rows_resumed,
        calls=tally.calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        retries=tally.retries + tally.paid_retries - tally.throttles,
        throttles=tally.throttles,
    )
