"""The fold of events into figures, with explicit times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.events import (
    CallFailed,
    CallRetried,
    CallSent,
    CallSucceeded,
    LimitChanged,
    RowFinished,
    RunFinished,
    RunStarted,
    StageFinished,
    StageInfo,
)
from distilabel.progress import apply, begin, figures
from distilabel.progress.wording import as_line
from distilabel.types import Price, RowError, RunSummary, Usage

STAGES = (StageInfo("generator", "writer", 4), StageInfo("labeller", "judge", 4))
WINDOW_S = 30.0


def folded(*timed, total=10, stages=STAGES, started_s=0.0):
    """The progress after `(time, event)` pairs."""
    progress = begin(RunStarted(total, stages), started_s)
    for now_s, event in timed:
        progress = apply(progress, event, now_s)
    return progress


def rows(stage, *times_s):
    """Rows that are through with a stage at these times."""
    return [(now_s, StageFinished(stage, index)) for index, now_s in enumerate(times_s)]


def succeeded(stage="generator", tokens=(7, 3)):
    """A call that brought a reply."""
    return CallSucceeded(stage, 0, "m", 1.0, 1, tokens and Usage(*tokens))


def retried(stage="generator", *, is_throttle=False, is_paid=False):
    """An attempt that will be repeated."""
    return CallRetried(stage, 0, "any", 1.0, is_throttle=is_throttle, is_paid=is_paid)


def test_each_stage_counts_its_own():
    """Rows, tokens, retries, throttles and failures are counted for the stage they are of."""
    failed = (RowError("labeller", "rating_missing", "-"), RowError("labeller", "off_scale", "-"))
    progress = folded(
        (1, succeeded(tokens=(7, 3))),
        (1, StageFinished("generator", 0)),
        (2, retried("labeller")),
        (2, retried("labeller", is_paid=True)),
        (2, retried("labeller", is_throttle=True)),
        (3, succeeded("labeller", tokens=(100, 11))),
        (3, StageFinished("labeller", 0)),
        (3, RowFinished(0, failed)),
        (3, RowFinished(1, ())),
    )
    writer, judge = figures(progress, 4)
    assert (writer.name, writer.model, writer.rows, writer.tokens) == ("generator", "writer", 1, 10)
    assert (writer.retries, writer.throttles, writer.rows_failed) == (0, 0, 0)
    assert (judge.rows, judge.tokens, judge.retries, judge.throttles) == (1, 111, 2, 1)
    assert judge.rows_failed == 1


def test_a_provider_that_counts_no_tokens_is_no_trouble():
    """A call without usage leaves the tokens as they were."""
    (writer, _) = figures(folded((1, succeeded(tokens=None))), 2)
    assert writer.tokens == 0


def test_a_rate_is_over_what_has_passed_of_the_window():
    """Before the window has passed, a rate is over the time since the stage began."""
    (writer, _) = figures(folded(*rows("generator", 1, 2, 3, 4), started_s=0), 8)
    assert writer.rows_per_s == pytest.approx(0.5)


def test_a_later_stage_begins_with_its_first_row():
    """The labeller's rate does not count the time in which no row could reach it."""
    progress = folded(*rows("generator", 10), *rows("labeller", 12, 14))
    assert figures(progress, 14)[1].rows_per_s == pytest.approx(2 / 4)


def test_a_rate_forgets_what_is_older_than_the_window():
    """A run that stands still shows a rate that falls to nothing."""
    progress = folded(*rows("generator", *range(1, 11)), total=None)
    assert figures(progress, 12)[0].rows_per_s == pytest.approx(10 / 12)
    assert figures(progress, 100)[0].rows_per_s == 0


def test_there_is_no_rate_in_the_first_second():
    """Too early, nothing is said about rate and time left."""
    writer, judge = figures(folded(*rows("generator", 0.1, 0.2)), 0.5)
    assert (writer.rows_per_s, writer.tokens_per_s, writer.left_s) == (None, None, None)
    assert (judge.rows_per_s, judge.left_s) == (None, None)


def test_the_time_left_is_the_rows_left_by_the_rate():
    """Eight rows left at half a row a second take sixteen seconds."""
    (writer, _) = figures(folded(*rows("generator", 2, 4), total=10), 4)
    assert writer.left_s == pytest.approx(16)


def test_an_unknown_total_has_no_time_left():
    """Where nobody knows how many rows there are, no time is made up."""
    (writer, _) = figures(folded(*rows("generator", 2, 4), total=None), 5)
    assert (writer.rows_total, writer.left_s, writer.state) == (None, None, "running")


def test_a_stage_that_has_all_rows_stands_still():
    """A stage's time and rate stay as they were when its last row was through."""
    progress = folded(*rows("generator", 1, 2), total=2)
    early, late = figures(progress, 3)[0], figures(progress, 300)[0]
    assert early == late
    assert (early.state, early.elapsed_s, early.left_s) == ("done", 2, None)
    assert early.rows_per_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("is_complete", "state", "elapsed_s"), [(True, "done", 2), (False, "stopped", 3)]
)
def test_a_run_that_is_over_says_how(is_complete, state, elapsed_s):
    """A run that was left early is not called done, and its time goes to when it was left."""
    end = RunFinished(RunSummary(), is_complete=is_complete)
    progress = folded(*rows("generator", 1, 2), (3, end), total=None)
    writer, judge = figures(progress, 300)
    assert (writer.state, judge.state) == (state, state)
    assert writer.elapsed_s == elapsed_s


def test_a_run_without_rows_is_done():
    """An empty data set divides by nothing."""
    (writer, _) = figures(folded(total=0), 0)
    assert (writer.state, writer.rows_per_s, writer.left_s) == ("done", None, None)


def test_a_progress_is_a_value():
    """What was read before an event is not changed by it."""
    before = folded(*rows("generator", 1))
    apply(before, StageFinished("generator", 1), 2)
    assert figures(before, 2)[0].rows == 1


steps = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.sampled_from(
            [
                StageFinished("generator", 0),
                StageFinished("labeller", 0),
                succeeded("generator", (5, 1)),
                succeeded("labeller", (50, 10)),
                retried("labeller"),
            ]
        ),
    ),
    max_size=80,
)


@given(steps, st.floats(0, 100), st.none() | st.integers(80, 200))
def test_counts_are_exact_and_rates_never_negative(pairs, wait_s, total):
    """Whatever happens when: counts are those of the events, rates and times are not negative."""
    now_s, timed = 5.0, []
    for gap_s, event in pairs:
        now_s += gap_s
        timed.append((now_s, event))
    found = figures(folded(*timed, total=total, started_s=5.0), now_s + wait_s)
    events = [event for _, event in timed]
    for stage, per_call in zip(found, (6, 60), strict=True):
        assert stage.rows == events.count(StageFinished(stage.name, 0))
        calls = [e for e in events if isinstance(e, CallSucceeded) and e.stage == stage.name]
        assert stage.tokens == per_call * len(calls)
        assert (stage.rows_per_s or 0) >= 0
        assert (stage.tokens_per_s or 0) >= 0
        assert (stage.left_s or 0) >= 0
        assert stage.elapsed_s == pytest.approx(now_s + wait_s - 5.0)


@given(st.floats(0.05, 5.0), st.integers(40, 200))
def test_a_steady_stream_shows_its_rate(gap_s, number):
    """Rows at even distances show as the rate that they come at."""
    times = [gap_s * (place + 1) for place in range(number)]
    (writer, _) = figures(folded(*rows("generator", *times), total=None), times[-1])
    assert writer.rows_per_s == pytest.approx(1 / gap_s, rel=0.15)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=300))
def test_what_is_kept_does_not_grow_with_the_run(gaps_s):
    """A stage keeps one count a second of the window, and two, at most."""
    progress, now_s = begin(RunStarted(None, STAGES), 0.0), 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        progress = apply(progress, StageFinished("generator", 0), now_s)
        counts = progress.stages[0].counts
        assert len(counts) <= WINDOW_S + 2
        assert [count.at_s for count in counts] == sorted(count.at_s for count in counts)


def test_cached_tokens_are_added_up():
    """The part of the tokens that a prompt cache gave is counted by stage."""
    usage = Usage(prompt_tokens=2_000, completion_tokens=10, cached_tokens=1_920)
    call = CallSucceeded("generator", 0, "m", 1.0, 1, usage)
    (writer, judge) = figures(folded((1, call), (2, call), (3, succeeded())), 4)
    assert (writer.tokens, writer.cached_tokens, judge.cached_tokens) == (4_030, 3_840, 0)


def test_cost_is_shown_where_the_price_is_known():
    """Useless replies cost as well; a stage without a price has no cost."""
    stages = (
        StageInfo("generator", "writer", 4, Price(1.0, 1.0)),
        StageInfo("labeller", "judge", 4),
    )
    progress = begin(RunStarted(10, stages), 0)
    useless = CallRetried("generator", 0, "x", 0.0, False, True, Usage(500_000, 0))
    for event in (succeeded(tokens=(400_000, 100_000)), useless, succeeded("labeller")):
        progress = apply(progress, event, 1)
    (writer, judge) = figures(progress, 2)
    assert (writer.cost, judge.cost) == (1.0, None)
    assert "$1.00" in as_line(writer)
    assert "$" not in as_line(judge)


def test_what_is_in_flight_was_sent_and_is_not_back():
    """An attempt is in flight until its call succeeds, is retried or has failed; then no more."""
    sent = [(0.0, CallSent("generator", row)) for row in range(4)]
    back = [succeeded(), retried(is_throttle=True), CallFailed("generator", 2, "any", 1)]
    progress = folded(*sent, *((1.0, event) for event in back))
    assert [stage.in_flight for stage in figures(progress, 2.0)] == [1, 0]
    over = apply(progress, RunFinished(RunSummary(), is_complete=False), 3.0)
    assert figures(over, 3.0)[0].in_flight == 0


def test_the_limit_is_the_one_that_was_told_last():
    """A stage begins with its ceiling and follows what the backend allows."""
    progress = folded((1.0, LimitChanged("generator", 3, "throttled")))
    assert [stage.limit for stage in figures(progress, 2.0)] == [3, 4]
    assert "0/3 in flight" in as_line(figures(progress, 2.0)[0])
