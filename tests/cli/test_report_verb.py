"""`distilabel report`, as a process."""

from datasets import Dataset, Features, List, Value


def test_a_report_is_written_and_told(run, tmp_path):
    """A saved data set becomes a file, and one line says which and how large."""
    features = Features({"input": Value("string"), "generations": List(Value("string"))})
    rows = {"input": ["q"], "generations": [["<script>\x1b[2J"]]}
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    code, out, err = run("report", "saved", "-o", "written.html")
    assert (code, out, err) == (0, "", "distilabel: 1 row: 0.0 MB in written.html\n")
    html = (tmp_path / "written.html").read_text("utf-8")
    assert html.startswith("<!doctype html>")
    assert "\\u003cscript\\u003e\\u001b[2J" in html


def test_what_is_no_source_is_one_line(run):
    """What is neither a data set nor a run is refused in one clean line, with exit code 2."""
    code, out, err = run("report", "nonsense\x1b[2J")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_the_help_has_an_example(run):
    """The verb's help shows how it is used."""
    code, out, _ = run("report", "--help")
    assert code == 0
    assert "distilabel report my-dataset" in out
