"""What a report shows of a run over time: of any data set or run that knows it."""

import os
import subprocess
import sys

import pytest
from report_kit import HOSTILE, Page, dataset_of, hostile_rows, section

from distilabel.dataset import CustomDataset
from distilabel.pipeline import Pipeline
from distilabel.report import write_report
from distilabel.report.charts import lines
from distilabel.runs import export, list_runs
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM
from distilabel.timeline import POINTS_MAX, Point, Timeline

TITLES = [
    "Rows per second",
    "Calls per second",
    "Tokens written per second",
    "Refused for now by the server",
    "Attempts repeated otherwise",
    "Limit of the generator, and attempts in flight",
    "Limit of the labeller, and attempts in flight",
]


@pytest.fixture
def time_of(tmp_path):
    """Writes a report, and gives its section about time."""

    def write(source):
        path = tmp_path / "report.html"
        write_report(source, path)
        return section(path.read_text("utf-8"), "time")

    return write


def charts(html: str) -> list[str]:
    """The titles of a section's charts."""
    found = [attributes for tag, attributes in Page(html).elements if tag == "svg"]
    return [str(attributes["aria-label"]) for attributes in found]


def answers(count: int) -> Pipeline:
    """Answers so many questions."""
    return Pipeline(ScriptedLLM(TextGenerationTask(), ["text"] * count, num_threads=3))


QUESTIONS = [{"input": f"q{number}"} for number in range(9)]


def test_each_thing_that_happened_has_a_chart(time_of):
    """Rates, refusals, and each stage's limit are drawn, and the numbers stand in a table."""
    html = time_of(dataset_of(hostile_rows(5)))
    assert charts(html) == TITLES
    assert "20 at most" in html
    assert "16 at most" in html
    assert "2 sessions" in html
    page = Page(html)
    assert sum(tag == "line" and each.get("x1") == each.get("x2") for tag, each in page.elements)
    cells = ["0", "2", "10", "20", "400", "300", "0", "1", "8", "7.5", "4", "3"]
    assert "".join(cells) in page.text


def test_what_never_happened_has_none(time_of):
    """Without refusals and repeats there is no chart of them, and of one session no word."""
    quiet = Timeline(("generator",), (Point(1.0, 3, 3, limits=(2,), in_flight=(1.5,), sessions=1),))
    html = time_of(dataset_of(hostile_rows(5), timeline=quiet))
    assert charts(html) == [TITLES[0], TITLES[1], TITLES[5]]
    assert "sessions" not in html


def test_without_a_timeline_it_says_so(time_of):
    """A data set of an earlier release has no chart, and the section says why."""
    html = time_of(dataset_of(hostile_rows(5), timeline=Timeline()))
    assert charts(html) == []
    assert "not known what happened when" in html


def test_a_long_timeline_takes_little_room(time_of):
    """The most points that there may be make few lines of a table, and some hundred kilobytes."""
    point = Point(12.345, 678, 1_234, 56_789, 98_765, 4, 3, 1, limits=(512,), in_flight=(500.25,))
    html = time_of(dataset_of(hostile_rows(5), timeline=Timeline(("x",), (point,) * POINTS_MAX)))
    assert html.count("<tr>") <= 1 + 24
    assert len(html) < 150_000


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_stages_are_text(time_of, name):
    """A stage's name from a file is shown, whatever it holds, and is never HTML."""
    point = Point(1.0, limits=(1,), in_flight=(1.0,))
    page = Page(time_of(dataset_of(hostile_rows(5), timeline=Timeline((name,), (point,)))))
    assert not {tag for tag, _ in page.elements} & {"script", "img"}


def test_a_step_is_as_wide_as_its_seconds():
    """A path goes right by the share of a step's time, and a mark stands where its step begins."""
    html = lines("x", [1.0, 3.0], [2.0, 4.0], marks=[1])
    assert 'class="line" d="M4.0 73.0H92.0L92.0 18.0H356.0"' in html
    assert 'x1="92.0" x2="92.0"' in html
    assert "4 at most" in html
    assert "4 s" in html


def test_nothing_to_draw_is_an_empty_chart():
    """Without a step there is an axis, and no path."""
    assert 'd=""' in lines("x", [], [])


def test_a_data_set_that_was_saved_shows_it(time_of, tmp_path):
    """A run's result, saved and loaded, is drawn with nobody having watched the run."""
    answers(9).generate(QUESTIONS, verbose=False).save_to_disk(tmp_path / "saved")
    assert charts(time_of(tmp_path / "saved"))[0] == TITLES[0]
    loaded = CustomDataset.load_from_disk(tmp_path / "saved")
    assert charts(time_of(loaded))[-1] == TITLES[5]


def test_a_run_that_was_left_early_shows_it(time_of):
    """A run that is not finished is drawn from its directory."""
    with answers(9).iterate(QUESTIONS, verbose=False) as rows:
        next(rows)
    (run,) = list_runs()
    assert run.state == "unfinished"
    assert TITLES[5] in charts(time_of(run.directory))


RUNS = """
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM
pipe = Pipeline(ScriptedLLM(TextGenerationTask(), ["text"] * 9, num_threads=3))
pipe.generate([{"input": f"q{number}"} for number in range(9)], verbose=False)
"""


def test_a_run_of_another_process_shows_it(time_of):
    """What another process ran is drawn from its directory, and from its export."""
    subprocess.run([sys.executable, "-c", RUNS], check=True, env=os.environ)
    (run,) = list_runs()
    assert TITLES[5] in charts(time_of(run.directory))
    assert TITLES[5] in charts(time_of(export(run.directory)))
