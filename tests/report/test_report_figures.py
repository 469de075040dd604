"""The numbers of a report are those of its rows."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_kit import rated_row

from distilabel.report.charts import binned, heat_table
from distilabel.report.figures import Figures, percentile, shown_order
from distilabel.report.reading import CallFact, ReportRow
from distilabel.types import RowError

values = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


def figures_of(*rows):
    """What is counted of these rows."""
    figures = Figures()
    for index, row in enumerate(rows):
        figures.add(ReportRow(index, row))
    return figures


def test_ratings_are_counted_by_the_model_that_wrote():
    """Each rating counts for its text's model; what is missing or no number is counted apart."""
    first = rated_row("q", ["a", "b", None], [5.0, None, 3.0])
    first["generation_model"] = ["x", "y", "y"]
    second = rated_row("q", ["c"], [5.0], model="x")
    figures = figures_of(first, second, {"generations": ["d"], "rating": ["high"]})
    assert figures.ratings == {"x": {5.0: 2}, "y": {3.0: 1}}
    assert (figures.rows, figures.texts, figures.texts_missing) == (3, 5, 1)
    assert figures.ratings_missing == 2
    assert figures.judges == {"judge": 2}


def test_ratings_are_counted_by_the_place_that_was_shown():
    """The place is that in the judge's prompt, not that in the row."""
    figures = figures_of(
        rated_row("q", ["first", "second"], [1.0, 5.0], shown=[1, 0]),
        rated_row("q", ["third", "fourth"], [2.0, 4.0], shown=[0, 1]),
    )
    assert figures.by_shown == {0: {5.0: 1, 2.0: 1}, 1: {1.0: 1, 4.0: 1}}
    assert figures.by_place == {0: {1.0: 1, 2.0: 1}, 1: {5.0: 1, 4.0: 1}}
    assert (figures.rows_rated, figures.rows_with_order) == (2, 2)


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        (None, ["a text", "another"]),
        ("a text, a text, another", ["a text", "another"]),
        ("another", ["a text", "another"]),
        ("only", ["only", None]),
        ("a text and blanks", ["a text", "  "]),
    ],
)
def test_an_order_that_cannot_be_told_is_none(prompt, texts):
    """Where a text is not in the prompt exactly once there is no order."""
    assert shown_order(prompt, texts) is None


@given(st.permutations(range(5)))
def test_the_order_is_found(order):
    """Whatever the order in which a prompt shows the texts, it is found."""
    texts = [f"text number {place}." for place in range(5)]
    assert shown_order(" ".join(texts[place] for place in order), texts) == list(order)


def test_calls_are_counted_from_rows_and_from_a_journal():
    """Seconds, endings and causes of calls are counted wherever they come from."""
    row = rated_row("q", ["a"], [1.0])
    entry = {"stage": "generator", "seconds": 1.5, "finish_reasons": ["stop", None], "cause": None}
    row["call_metadata"] = [entry, {"stage": "labeller", "seconds": None, "cause": "timeout"}]
    figures = figures_of(row)
    figures.add_call(CallFact("labeller", 2.5, ("length",)))
    assert {stage: list(each) for stage, each in figures.seconds.items()} == {
        "generator": [1.5],
        "labeller": [2.5],
    }
    assert figures.endings["generator"] == {"stop": 1, "(not told)": 1}
    assert figures.endings["labeller"] == {"length": 1}
    cause = figures.causes["labeller", "timeout"]
    assert (cause.count, cause.examples) == (1, [(0, "")])


def test_causes_have_a_few_examples():
    """Of a cause all errors are counted, and three rows are examples."""
    figures = Figures()
    error = RowError("labeller", "rating_missing", "no rating", generation=1)
    for index in range(5):
        figures.add(ReportRow(index, rated_row("q", ["a"], [None]), (error, error)))
    found = figures.causes["labeller", "rating_missing"]
    assert found.count == 10
    assert found.examples == [(index, "no rating") for index in range(3)]


@given(values, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(found, share):
    """At least the share of the values is no larger, and fewer are smaller."""
    ordered = sorted(found)
    level = percentile(ordered, share)
    assert level in ordered
    assert sum(value <= level for value in ordered) >= share * len(ordered) - 1e-9
    assert sum(value < level for value in ordered) < share * len(ordered)


@given(values)
def test_bins_hold_all_values(found):
    """Each value is in one bin, bins follow one another, and there are not many."""
    bins = binned(found)
    assert sum(count for _, _, count in bins) == len(found)
    assert all(high == pytest.approx(low) for (_, high, _), (low, _, _) in pairwise(bins))
    assert bins[0][0] == 0
    assert bins[-1][1] >= max(found) or math.isclose(bins[-1][1], max(found))
    assert len(bins) <= 14


def test_darker_cells_are_larger_shares():
    """The class of a cell follows its share."""
    html = heat_table(["", "a", "b"], [("x", [0.0, 0.52], ["1"])])
    assert '<td class="h0">0.0%</td><td class="h5">52.0%</td><td>1</td>' in html
