"""A timeline keeps what a run did over time, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from distilabel.events import CallRetried, CallSucceeded, LimitChanged, RowFinished, RunStarted
from distilabel.report import Timeline
from distilabel.report.timeline import POINTS_MAX
from distilabel.types import Usage


class Clock:
    """Seconds that are set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now_s


def watched():
    """A timeline of a run that has begun, and its clock."""
    clock = Clock()
    timeline = Timeline(clock=clock)
    timeline(RunStarted(None, ()))
    return timeline, clock


def test_nothing_seen_is_no_points():
    """Before a run begins there is nothing."""
    timeline = Timeline()
    assert (timeline.points, timeline.rows_per_s, timeline.limits) == (0, [], {})


def test_each_event_counts_where_it_belongs():
    """Rows, tokens, refusals and limits are kept by second; rows of earlier sessions are not."""
    timeline, clock = watched()
    timeline(LimitChanged("generator", 8, "start"))
    clock.now_s += 1.5
    timeline(CallSucceeded("generator", 0, "m", 1.0, 1, Usage(5, 30)))
    timeline(CallRetried("generator", 1, "throttled", 1.0, is_throttle=True, is_paid=False))
    timeline(RowFinished(0, ()))
    timeline(RowFinished(1, (), is_resumed=True))
    clock.now_s += 1.5
    timeline(LimitChanged("generator", 4, "throttled"))
    assert timeline.rows_per_s == [0.0, 1.0, 0.0, 0.0]
    assert timeline.tokens_per_s == [0.0, 30.0, 0.0, 0.0]
    assert timeline.throttles == [0, 1, 0, 0]
    assert timeline.limits == {"generator": [8, 8, 8, 4]}


@given(st.lists(st.floats(0, 5_000), max_size=40))
def test_however_long_a_run_the_points_are_few(pauses):
    """Points stay bounded, no row is lost, and the last limit is the last that was set."""
    timeline, clock = watched()
    for number, pause in enumerate(pauses, start=1):
        clock.now_s += pause
        timeline(RowFinished(number, ()))
        timeline(LimitChanged("labeller", number, "growth"))
    assert 1 <= timeline.points <= POINTS_MAX
    assert sum(timeline._rows.values()) == len(pauses)
    if pauses:
        assert timeline.limits["labeller"][-1] == len(pauses)
