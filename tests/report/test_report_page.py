"""The page of a report: its policy, its sections, and that data is nothing but data."""

import base64
import hashlib
import re
from importlib import resources

import pytest
from datasets import Dataset, Features, List, Value
from report_kit import FEATURES, HOSTILE, Page, dataset_of, hostile_rows, rated_row, section

from distilabel.dataset import CustomDataset
from distilabel.errors import ColumnError
from distilabel.report import write_report

KEYS = ["ratings", "position", "lengths", "seconds", "failures", "cost", "time", "rows"]


@pytest.fixture
def html_of(tmp_path):
    """Writes a report and reads it."""

    def write(source, **settings):
        path = tmp_path / "report.html"
        write_report(source, path, **settings)
        return path.read_text("utf-8")

    return write


def policy_of(page):
    """The directives of the page's policy."""
    (content,) = [
        attributes["content"]
        for _, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    return dict(part.strip().split(" ", 1) for part in content.split(";"))


def test_the_policy_allows_our_style_and_script_alone(html_of):
    """The hashes are those of the one style and the one script, and all else is forbidden."""
    page = Page(html_of(dataset_of(hostile_rows(20))))
    policy = policy_of(page)
    assert policy["default-src"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (own,) = [text for kind, attributes, text in page.raw if kind == tag and not attributes]
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert len(page.raw) == 3


def test_nothing_of_the_page_is_elsewhere(html_of):
    """No element refers to anything outside the file, and none has a style or a handler."""
    page = Page(html_of(dataset_of(hostile_rows(60))))
    names = {tag for tag, _ in page.elements}
    assert not names & {
        "img",
        "iframe",
        "link",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
    }
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name in {"style", "src"} for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_the_script_makes_no_html():
    """The script puts texts in as texts, and evaluates nothing."""
    script = resources.files("distilabel.report").joinpath("page.js").read_text("utf-8")
    for banned in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function",
    ):
        assert banned not in script
    for name in ("page.js", "page.css"):
        assert "</" not in resources.files("distilabel.report").joinpath(name).read_text("utf-8")


def test_data_adds_no_element(html_of):
    """A page has the same elements whether its models and rows are hostile or tame."""
    hostile, tame = hostile_rows(60), hostile_rows(60)
    for row, other in zip(hostile, tame, strict=True):
        row["generation_model"] = [HOSTILE[len(row["input"]) % 6], "writer"]
        other["generation_model"] = [str(len(row["input"]) % 6), "writer"]
        row["labelling_model"] = HOSTILE[0]
        other["topic"], other["rationale"] = "x", ["y", "z"]
    html = html_of(dataset_of(hostile))
    tags = [tag for tag, _ in Page(html).elements]
    assert sorted(tags) == sorted(tag for tag, _ in Page(html_of(dataset_of(tame))).elements)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", html)
    assert "&lt;script&gt;" in section(html, "ratings")


def test_all_sections_are_there(html_of):
    """The page has its sections in order, and a link to each."""
    page = Page(html_of(dataset_of(hostile_rows(30))))
    assert [each["id"] for tag, each in page.elements if tag == "section"] == KEYS
    assert [each["href"] for tag, each in page.elements if tag == "a"] == [
        f"#{key}" for key in KEYS
    ]


def test_ratings_are_drawn_and_told(html_of):
    """Each model has a chart, and a table with the same numbers."""
    rows = [rated_row("q", ["a", "b"], [4.0, 5.0], model=model) for model in "xyx"]
    html = section(html_of(dataset_of(rows)), "ratings")
    assert html.count("<svg") == 2
    assert "Rated by judge (3 rows)." in html
    assert '<th scope="row">x</th><td>2</td><td>2</td><td>4.500</td>' in html


def test_a_judge_that_favours_the_first_is_found_out(html_of):
    """Where the first text that was shown is rated higher throughout, the section says so."""
    texts = ["some text", "other text"]
    rows = [
        rated_row("q", texts, [5.0 - place, 4.0 + place], shown=[place, 1 - place])
        for place in (0, 1) * 20
    ]
    html = section(html_of(dataset_of(rows)), "position")
    assert "known for 40 of 40 rated rows" in html
    assert "differ by up to 1.00, more than chance" in html
    fair = [rated_row("q", texts, [3.0 + n % 2, 3.0 + n // 2 % 2]) for n in range(40)]
    assert "no more than chance" in section(html_of(dataset_of(fair)), "position")


def test_an_order_that_is_not_known_is_not_made_up(html_of):
    """Without prompts the place in the row is counted, and said to be no sign of bias."""
    rows = [rated_row("q", ["some text", "other text"], [5.0, 4.0]) for _ in range(4)]
    for row in rows:
        row["labelling_prompt"] = None
    html = section(html_of(dataset_of(rows)), "position")
    assert "cannot be told from its prompts" in html
    assert "place 1" in html


def test_cost_and_tokens_are_those_of_the_run(html_of):
    """What the run took is told as its summary has it."""
    html = html_of(dataset_of(hostile_rows(4)))
    assert "$0.1250" in section(html, "cost")
    assert "1,000" in section(html, "cost")
    assert "context_length" in section(html, "failures")


def test_seconds_need_metadata(html_of):
    """Percentiles are of the calls in the rows; without them it is said how to have them."""
    rows = [rated_row("q", ["a"], [1.0]) for _ in range(100)]
    assert "include_metadata=True" in section(html_of(dataset_of(rows)), "seconds")
    call = {"stage": Value("string"), "seconds": Value("float64"), "cause": Value("string")}
    for number, row in enumerate(rows, start=1):
        row["call_metadata"] = [{"stage": "generator", "seconds": number / 10, "cause": None}]
    features = Features({**FEATURES, "call_metadata": List(call)})
    html = section(html_of(dataset_of(rows, features)), "seconds")
    wanted = ["generator", "100", "5", "9", "9.5", "9.9", "10"]
    assert re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", html)[-7:] == wanted


def test_an_empty_data_set_is_a_report(html_of):
    """A data set without rows has a page that says so everywhere."""
    html = html_of(dataset_of([]))
    assert "There are no rows." in section(html, "rows")
    assert Page(html).rows() == []


def test_texts_alone_are_a_report(html_of):
    """A data set of a generator alone, that is of no run, is shown as far as it goes."""
    features = Features({"generations": List(Value("string"))})
    dataset = Dataset.from_dict({"generations": [["one", None], None]}, features=features)
    html = html_of(dataset)
    assert "no ratings" in section(html, "ratings")
    assert "Nothing is known of a run" in section(html, "cost")
    assert [row["generations"] for row in Page(html).rows()] == [["one", None], []]


def test_rows_of_none_are_a_report(html_of):
    """Rows in which all failed are shown with nothing in them."""
    rows = [dict.fromkeys(FEATURES), rated_row("q", [None, None], [None, None])]
    html = html_of(dataset_of(rows))
    assert "2 texts are missing" in section(html, "failures")
    assert [row["generations"] for row in Page(html).rows()] == [[], [None, None]]


def test_odd_columns_are_left_out(html_of):
    """Bytes are no text to show, and the row is shown without them."""
    features = Features({"generations": List(Value("string")), "blob": Value("binary")})
    dataset = Dataset.from_dict({"generations": [["a"]], "blob": [b"\xff"]}, features=features)
    (row,) = Page(html_of(CustomDataset.from_dataset(dataset))).rows()
    assert (row["generations"], row["others"]) == (["a"], {})


def test_without_texts_there_is_no_report(html_of):
    """A data set that has no texts is an error that says what is needed."""
    with pytest.raises(ColumnError, match="'generations'"):
        html_of(Dataset.from_dict({"input": ["a"]}))
