"""What a run did over time: bounded, and kept with the data set and in the journal."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import anyio
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from distilabel import runs
from distilabel.dataset import CustomDataset
from distilabel.errors import ThrottledError, TransientError
from distilabel.journal.state import JournalState
from distilabel.llm.stalls import stalls_of_this_loop
from distilabel.pipeline import Pipeline
from distilabel.pipeline.tally import Tally
from distilabel.pipeline.timekeeping import SAVE_EVERY_S, Timekeeper
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM, virtual_clock
from distilabel.timeline import POINTS_MAX, Point, Timeline, coarser
from distilabel.types import Reply, RunSummary, Usage

STAGES = ("generator",)
COUNTS = ("rows", "calls", "prompt_tokens", "completion_tokens", "retries", "throttles", "sessions")


def totals(timeline: Timeline) -> dict[str, int]:
    """All counts of a timeline."""
    return {name: sum(getattr(point, name) for point in timeline.points) for name in COUNTS}


def writer(**settings) -> ScriptedLLM:
    """Answers everything, for 10 tokens read and 5 written."""
    account = Usage(10, 5)
    return ScriptedLLM(
        TextGenerationTask(),
        lambda call: Reply(("text",) * call.num_generations, usage=account),
        **settings,
    )


def questions(count: int) -> list[dict]:
    """Rows."""
    return [{"input": f"q{number}"} for number in range(count)]


# The value.


@given(st.lists(st.builds(Point, st.floats(0.001, 1e4), st.integers(0, 9)), max_size=700))
def test_however_many_points_are_added_there_are_few(points):
    """There are fewer points than the bound, and no row and no second is lost."""
    timeline = Timeline()
    for point in points:
        timeline = timeline.added(point)
        assert len(timeline.points) < POINTS_MAX
    assert totals(timeline)["rows"] == sum(point.rows for point in points)
    assert timeline.seconds == pytest.approx(sum(each.seconds for each in points), abs=2.0)


def test_two_points_make_one():
    """Counts add up, the limit is the later one, and what is in flight is averaged over time."""
    first = Point(1.0, 2, 3, 40, 50, 6, 7, 1, limits=(8,), in_flight=(4.0,))
    later = Point(3.0, 20, 30, 400, 500, 60, 70, 0, limits=(16,), in_flight=(8.0,))
    assert first + later == Point(4.0, 22, 33, 440, 550, 66, 77, 1, limits=(16,), in_flight=(7.0,))
    assert coarser([first, later, first], 2) == (first + later, first)


def test_a_timeline_is_read_back():
    """What was written as text comes back equal, and with its width."""
    timeline = Timeline(STAGES)
    for rows in range(500):
        timeline = timeline.added(Point(0.5, rows, limits=(8,), in_flight=(7.25,)))
    assert timeline.width_s > 0.5
    assert Timeline.from_json(timeline.to_json()) == timeline


WHOLE = Timeline(STAGES, (Point(0.5, 3, limits=(8,), in_flight=(2.5,)),)).to_dict()


@pytest.mark.parametrize(
    "damage",
    [
        {"rows": None},
        {"rows": [1, 2]},
        {"rows": ["many"]},
        {"rows": [-1]},
        {"rows": [10**400]},
        {"seconds": [float("nan")]},
        {"seconds": [0]},
        {"limits": [[8, 8]]},
        {"width_s": True},
        {"width_s": float("inf")},
        {"stages": ["a"] * 9, "limits": [[1] * 9], "in_flight": [[1] * 9]},
        {key: value * POINTS_MAX * 2 for key, value in WHOLE.items() if key != "width_s"},
    ],
    ids=",".join,
)
def test_what_is_no_timeline_is_an_empty_one(damage):
    """A timeline that was damaged, or is too large, is read as none, and raises nothing."""
    assert Timeline.from_dict(WHOLE).points
    assert Timeline.from_dict({**WHOLE, **damage}) == Timeline()
    assert Timeline.from_json(json.dumps({**WHOLE, **damage})) == Timeline()


@pytest.mark.parametrize("text", ["", "[]", "null", "7", "{", "[" * 100_000, " " * 300_000 + "{}"])
def test_other_texts_are_an_empty_timeline(text):
    """Text that is no timeline is read as none."""
    assert Timeline.from_json(text) == Timeline()


# What looks at a run.


class Watched:
    """A timekeeper with a clock, counters, permits and a journal that are moved by hand."""

    def __init__(self, found: Timeline | None = None) -> None:
        self.now_s = 100.0
        self.in_use = 0
        self.tally = Tally()
        self.saved: list[tuple[float, Timeline]] = []
        self.found = JournalState(None, timeline=found or Timeline())
        pool = SimpleNamespace(limit=8, statistics=lambda: SimpleNamespace(in_use=self.in_use))
        llm = SimpleNamespace(permits=pool)
        self.keeper = Timekeeper(self.tally, [("generator", llm)], self, lambda: self.now_s)

    def note_timeline(self, timeline: Timeline) -> None:
        """As a journal takes it."""
        self.saved.append((self.now_s, timeline))

    def ring(self, after_s: float = 0.05, rows: int = 0) -> None:
        """The timer rings, after so much time in which so many rows were finished."""
        self.now_s += after_s
        self.tally.rows += rows
        self.keeper.tick()


def test_a_day_of_a_million_rows_takes_as_much_as_an_hour():
    """The points, their text and what is saved stay bounded, and every row is in one."""
    watched = Watched()
    for _ in range(86_400 * 2):
        watched.ring(0.5, rows=6)
        assert len(watched.keeper._seen.timeline.points) < POINTS_MAX
    watched.keeper.end()
    timeline = watched.keeper.timeline()
    assert totals(timeline)["rows"] == 1_036_800
    assert timeline.seconds == pytest.approx(86_400)
    assert POINTS_MAX // 3 < len(timeline.points) < POINTS_MAX
    assert len(timeline.to_json()) < 10_000
    assert len(watched.saved) < 8_000


def test_it_is_saved_at_most_every_few_seconds_and_at_the_end():
    """Two savings are seconds apart, and the last one has everything."""
    watched = Watched()
    for _ in range(1_000):
        watched.ring(rows=1)
    watched.ring(0.01, rows=1)
    watched.keeper.end()
    *between, (_, last) = watched.saved
    apart = [later - earlier for (earlier, _), (later, _) in pairwise(between)]
    assert min(apart) >= SAVE_EVERY_S
    assert max(apart) < SAVE_EVERY_S + 1
    assert totals(last)["rows"] == 1_001


def test_what_is_in_flight_is_averaged_over_time():
    """A pause in which nothing is under way counts as one."""
    watched = Watched()
    watched.in_use = 4
    watched.ring(0.0)
    for _ in range(9):
        watched.ring()
    watched.in_use = 0
    watched.ring()
    watched.in_use = 8
    watched.ring(1.5)
    (first, second) = watched.keeper.timeline().points
    assert (first.seconds, first.in_flight) == (0.5, (4.0,))
    assert (second.seconds, second.in_flight) == (1.5, (0.0,))


def test_what_is_left_at_the_end_is_no_spike():
    """A few milliseconds and their row join the point before; nothing changes after the end."""
    watched = Watched()
    watched.ring(0.5, rows=10)
    watched.now_s += 0.004
    watched.tally.rows += 1
    watched.keeper.end()
    watched.now_s += 1_000
    (point,) = watched.keeper.timeline().points
    assert (point.seconds, point.rows) == (0.504, 11)


def test_a_session_follows_those_before_it():
    """Sessions are one after another, as wide as they were, and rows that were done are not new."""
    earlier = Timeline(STAGES, (Point(64.0, 700, sessions=1, limits=(8,), in_flight=(1.0,)),), 64.0)
    watched = Watched(earlier)
    watched.tally.rows_resumed = watched.tally.rows = 700
    for _ in range(80):
        watched.ring(1.0, rows=1)
    watched.keeper.end()
    timeline = watched.keeper.timeline()
    assert timeline.points[0] == earlier.points[0]
    assert [point.rows for point in timeline.points] == [700, 80]
    assert totals(timeline)["sessions"] == 2


def test_what_another_kind_of_run_left_is_not_gone_on_with():
    """A timeline of other stages is not added to."""
    watched = Watched(Timeline(("labeller",), (Point(1.0, limits=(1,), in_flight=(1.0,)),)))
    watched.ring(0.5)
    assert watched.keeper.timeline().stages == STAGES
    assert len(watched.keeper.timeline().points) == 1


# A run.


def test_a_run_has_its_timeline_without_anybody_watching():
    """In virtual time: 4 calls of a second at once, so 4 rows a second, and 4 in flight."""

    async def run():
        pipe = Pipeline(writer(latency_s=1.0, num_threads=4))
        rows = questions(40)
        return (await pipe.agenerate(rows, enable_checkpoints=False, verbose=False)).run

    summary = virtual_clock.run(run)
    timeline = summary.timeline
    assert totals(timeline) == {
        "rows": 40,
        "calls": 40,
        "prompt_tokens": 400,
        "completion_tokens": 200,
        "retries": 0,
        "throttles": 0,
        "sessions": 1,
    }
    assert timeline.seconds == pytest.approx(10, abs=0.1)
    assert 15 <= len(timeline.points) <= 22
    assert {point.limits for point in timeline.points} == {(4,)}
    assert all(3.5 <= point.in_flight[0] <= 4 for point in timeline.points)


def test_refusals_are_in_it():
    """What was repeated because of a throttle, and for another reason, is counted apart."""
    broken = TransientError("reset", cause="connection")
    lines = iter([broken, broken, ThrottledError("slow down", cause="throttled"), "text", "text"])

    async def run():
        llm = ScriptedLLM(TextGenerationTask(), lambda call: next(lines), num_threads=1)
        return (await Pipeline(llm).agenerate(questions(2), verbose=False)).run

    counted = totals(virtual_clock.run(run).timeline)
    assert (counted["throttles"], counted["retries"], counted["rows"]) == (1, 2, 2)


async def test_a_run_that_is_cancelled_leaves_nothing_behind():
    """Nobody follows the loop's timer any more, and what was done is in the timeline."""
    pipe = Pipeline(writer(latency_s=0.001, num_threads=2))
    with anyio.CancelScope() as scope:
        async with pipe.stream(questions(10_000), verbose=False) as rows:
            async for row in rows:
                if row.index == 20:
                    assert stalls_of_this_loop()._followers
                    scope.cancel()
    assert scope.cancelled_caught
    assert stalls_of_this_loop()._followers == []
    assert 20 <= totals(rows.run.timeline)["rows"] == rows.run.rows


def test_a_sync_consumer_may_look_while_it_goes_on():
    """The summary of a run under way has a timeline up to now."""
    with Pipeline(writer(num_threads=1)).iterate(questions(50), verbose=False) as rows:
        next(rows)
        assert totals(rows.run.timeline)["sessions"] == 1
        assert 1 <= totals(rows.run.timeline)["rows"] <= 50


# What is kept.


def test_it_is_saved_and_loaded_with_the_data_set(tmp_path):
    """A data set that was saved has the same timeline when loaded, and so has a part of it."""
    dataset = Pipeline(writer()).generate(questions(20), verbose=False)
    assert totals(dataset.run.timeline)["rows"] == 20
    dataset.save_to_disk(tmp_path / "saved")
    loaded = CustomDataset.load_from_disk(tmp_path / "saved")
    assert loaded.run == dataset.run
    assert loaded.select([3]).run.timeline == dataset.run.timeline


@pytest.mark.parametrize("change", [None, {}, {"stages": "?"}, [1]])
def test_data_sets_without_it_load(tmp_path, change):
    """One of an earlier release, or with a damaged timeline, is loaded with an empty one."""
    plain = Dataset.from_dict({"n": [1]})
    CustomDataset.from_dataset(plain, run=RunSummary(rows=7)).save_to_disk(tmp_path / "saved")
    file = tmp_path / "saved" / "distilabel.json"
    kept = json.loads(file.read_text())
    if change is None:
        del kept["run"]["timeline"]
    else:
        kept["run"]["timeline"] = change
    file.write_text(json.dumps(kept))
    assert CustomDataset.load_from_disk(tmp_path / "saved").run == RunSummary(rows=7)


def test_sessions_of_a_run_follow_each_other():
    """A run that was left and gone on with has both sessions, and so has its export."""
    with Pipeline(writer(num_threads=1)).iterate(questions(30), verbose=False) as rows:
        taken = [next(rows) for _ in range(10)]
    left = runs.export(runs.list_runs()[0].directory).run.timeline
    assert totals(left)["sessions"] == 1
    assert len(taken) <= totals(left)["rows"] < 30
    dataset = Pipeline(writer(num_threads=1)).generate(questions(30), verbose=False)
    timeline = dataset.run.timeline
    new = dataset.run.rows - dataset.run.rows_resumed
    assert totals(timeline)["sessions"] == 2
    assert totals(timeline)["rows"] == totals(left)["rows"] + new
    assert timeline.points[: len(left.points)] == left.points
    assert runs.export(runs.list_runs()[0].directory).run.timeline == timeline
    assert runs.show(runs.list_runs()[0].directory).timeline == timeline


WRITES = """
from distilabel.events import RowFinished
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM
pipe = Pipeline(ScriptedLLM(TextGenerationTask(), {script}, num_threads=2))
rows = [{{"input": f"q{{number}}"}} for number in range(12)]
def tell(event):
    if isinstance(event, RowFinished):
        print(event.row_index, flush=True)
pipe.generate(rows, verbose=False, on_event=tell)
"""


def test_a_run_of_another_process_has_it():
    """What another process has finished is exported with its timeline."""
    program = WRITES.format(script="['text'] * 12")
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)
    dataset = runs.export(runs.list_runs()[0].directory)
    assert totals(dataset.run.timeline)["rows"] == totals(dataset.run.timeline)["calls"] == 12
    assert dataset.run.timeline.points[0].limits == (2,)


@pytest.mark.campaign
def test_a_run_that_is_killed_has_it_but_for_the_last_seconds():
    """After SIGKILL the journal has the timeline as it was saved last."""
    program = WRITES.format(script="['text'] * 12, latency_s=2.0")
    with subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(8):  # of which two are done every two seconds
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    dataset = runs.export(runs.list_runs()[0].directory)
    assert 4 <= totals(dataset.run.timeline)["rows"] <= len(dataset) < 12
    assert dataset.run.timeline.seconds == pytest.approx(SAVE_EVERY_S, abs=1.0)
