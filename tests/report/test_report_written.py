"""Writing a report: from data sets, saved ones and run directories, whole or not at all."""

import pytest
from report_kit import Page, dataset_of, hostile_rows, rated_row, section

from distilabel.errors import ConfigurationError, DistilabelError, RowFatalError, RunLockedError
from distilabel.journal.lock import RunLock
from distilabel.pipeline import Pipeline
from distilabel.report import write_report
from distilabel.runs import export, list_runs
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import ScriptedLLM

TOO_LONG = "the prompt is <b>too</b> long\x1b[31m"
REPLY = "#### Output for Text 1\nRating: 4\nRationale: It answers."


@pytest.fixture
def run_directory():
    """The directory of a run of three rows, of which one failed."""
    script = ["An answer.", RowFatalError(TOO_LONG, cause="context_length"), "Another answer."]
    writer = ScriptedLLM(TextGenerationTask(), script, model_name="writer", num_threads=1)
    judge = ScriptedLLM(UltraFeedbackTask.for_text_quality(), [REPLY] * 2, model_name="judge")
    pipe = Pipeline(generator=writer, labeller=judge)
    pipe.generate([{"input": f"question {n}"} for n in range(3)], verbose=False)
    (run,) = list_runs()
    return run.directory


def test_5000_rows_take_less_than_5_mb(tmp_path):
    """A run of 5,000 rows of two texts of 60 words, with reasons and prompts, fits uncut."""
    rows = hostile_rows(5_000)
    written = write_report(dataset_of(rows), tmp_path / "report.html")
    assert written.size_bytes == (tmp_path / "report.html").stat().st_size < 5_000_000
    assert (written.rows, written.rows_in_table) == (5_000, 5_000)
    read = Page((tmp_path / "report.html").read_text("utf-8")).rows()
    assert [row["generations"] for row in read] == [row["generations"] for row in rows]


def test_long_texts_are_cut_to_fit(tmp_path):
    """Where all of it is too much, texts are cut, at one length that the page tells."""
    path = tmp_path / "report.html"
    written = write_report(dataset_of(hostile_rows(200, words=500)), path, size_max_bytes=200_000)
    html = path.read_text("utf-8")
    assert written.size_bytes <= 200_000
    assert f"more than {written.text_limit:,} characters are cut" in section(html, "rows")
    assert "more characters)" in Page(html).rows()[0]["generations"][0]


def test_of_many_rows_some_are_shown_and_all_are_counted(tmp_path):
    """The table holds rows that are evenly spread; the figures are of all."""
    path = tmp_path / "report.html"
    written = write_report(dataset_of(hostile_rows(100)), path, rows_max=10)
    assert (written.rows, written.rows_in_table) == (100, 10)
    html = path.read_text("utf-8")
    assert [row["index"] for row in Page(html).rows()] == list(range(0, 100, 10))
    assert "10 of 100 rows" in section(html, "rows")


def test_a_run_directory_says_more(run_directory, tmp_path):
    """From a run's directory come its calls' seconds, and of what failed the words, as text."""
    path = tmp_path / "report.html"
    for source in (run_directory, run_directory.name):
        assert write_report(source, path).rows == 3
    html = path.read_text("utf-8")
    assert "<svg" in section(html, "seconds")
    assert "context_length" in section(html, "failures")
    assert "row 1" in section(html, "failures")
    assert "&lt;b&gt;too&lt;/b&gt; long [31m" in section(html, "failures")
    read = Page(html).rows()
    assert [row["generations"] for row in read] == [["An answer."], [None], ["Another answer."]]
    assert read[1]["errors"] == [("generator", "context_length", TOO_LONG)]
    assert read[0]["rating"] == [4]


def test_a_call_is_counted_once(tmp_path):
    """Where both a run's rows and its directory tell of calls, each call counts once."""
    writer = ScriptedLLM(TextGenerationTask(), ["An answer."] * 3, model_name="writer")
    rows = [{"input": f"question {n}"} for n in range(3)]
    dataset = Pipeline(generator=writer).generate(rows, include_metadata=True, verbose=False)
    (run,) = list_runs()
    for source in (dataset, run.directory):
        write_report(source, tmp_path / "report.html")
        html = section((tmp_path / "report.html").read_text("utf-8"), "seconds")
        assert '<th scope="row">generator</th><td>3</td>' in html


def test_a_run_and_its_export_have_the_same_rows(run_directory, tmp_path):
    """What a run's directory shows is what its data set shows, but for what went wrong."""
    write_report(run_directory, tmp_path / "run.html")
    write_report(export(run_directory), tmp_path / "export.html")
    shown = [
        [row | {"errors": None} for row in Page((tmp_path / name).read_text("utf-8")).rows()]
        for name in ("run.html", "export.html")
    ]
    assert shown[0] == shown[1]


def test_a_run_under_way_is_refused(run_directory, tmp_path):
    """A run that a live process works in is not read, and nothing is written."""
    with RunLock(run_directory, create=False), pytest.raises(RunLockedError):
        write_report(run_directory, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_saved_data_set_is_found_by_its_directory(tmp_path):
    """A directory of `save_to_disk` is shown with what is known of its run, under its name."""
    dataset_of(hostile_rows(3)).save_to_disk(tmp_path / "saved")
    write_report(tmp_path / "saved", tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "<h1>saved</h1>" in html
    assert "$0.1250" in html


def test_several_data_sets_are_refused(tmp_path):
    """A directory of splits is an error that says to name one."""
    dataset_of(hostile_rows(4)).train_test_split(0.5).save_to_disk(tmp_path / "splits")
    with pytest.raises(ConfigurationError, match="Name one"):
        write_report(tmp_path / "splits", tmp_path / "report.html")
    assert write_report(tmp_path / "splits" / "train", tmp_path / "report.html").rows == 2


def test_a_file_of_rows_is_refused(tmp_path):
    """Rows that were written to a file are not looked for as a run of that name."""
    (tmp_path / "rated.jsonl").write_text("{}\n")
    with pytest.raises(ConfigurationError, match="is a file"):
        write_report(tmp_path / "rated.jsonl", tmp_path / "report.html")


def test_a_report_is_replaced_and_nothing_else(tmp_path):
    """A second report takes the place of the first; a file that is none is left alone."""
    dataset, path = dataset_of([rated_row("q", ["a"], [1.0])]), tmp_path / "report.html"
    write_report(dataset, path)
    write_report(dataset_of(hostile_rows(2)), path)
    assert len(Page(path.read_text("utf-8")).rows()) == 2
    path.write_text("mine")
    for target in (path, tmp_path):
        with pytest.raises(ConfigurationError):
            write_report(dataset, target)
    assert path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    """Where there is no such directory, it is one error, and nothing is left behind."""
    dataset = dataset_of([rated_row("q", ["a"], [1.0])])
    with pytest.raises(DistilabelError, match="cannot be written"):
        write_report(dataset, tmp_path / "nowhere" / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{"rows_max": 0}, {"size_max_bytes": 0}])
def test_settings_without_sense_are_refused(tmp_path, settings):
    """No rows or no bytes are an error before anything is read."""
    with pytest.raises(ConfigurationError):
        write_report("nothing-there", tmp_path / "report.html", **settings)
