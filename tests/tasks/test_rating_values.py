"""What is behind "Rating:": which values are on the scale, and what the others are called."""

import pytest

from distilabel.tasks.preference.score import read_score

SCALE = (1, 5)


@pytest.mark.parametrize(
    ("said", "rating"),
    [
        ("4", 4), ("5 (Excellent)", 5), ("4/5", 4), ("4 / 5", 4), ("4 out of 5", 4), ("4 of 5", 4),
        ("4.5", 4.5), ("4,5", 4.5), ("4.", 4), ("4.0", 4), (" 4 ", 4), ("**4**", 4), ("`4`", 4),
        ("[4]", 4), ("<4>", 4), ("(4)", 4), ('"4"', 4), ("$4$", 4), ("~4", 4), ("+4", 4),
        ("4e0", 4),
        ("4 stars", 4), ("4: good", 4), ("4, because", 4), ("5/5 - great", 5), ("4 (out of 5)", 4),
        ("Excellent (5)", 5), ("Good - 4", 4), ("Very good: 4/5", 4), ("Score: 4", 4), ("1", 1),
        ("\N{FULLWIDTH DIGIT FOUR}", 4), ("\N{ARABIC-INDIC DIGIT FOUR}", 4), ("1e0", 1), ("4!", 4),
    ],
)  # fmt: skip
def test_what_models_write_for_a_number(said, rating):
    """A number in any usual dress is read, as a float."""
    value, cause = read_score(said, SCALE)
    assert (value, cause) == (rating, None)
    assert isinstance(value, float)


@pytest.mark.parametrize(
    "said",
    ["7", "0", "-3", "\N{MINUS SIGN}3", "1e9", "1e999", "5.01", "0.5", "80%", "4/10", "8/10",
     "4 (out of 10)", "99999", "1e-3"],
)  # fmt: skip
def test_off_the_scale(said):
    """A number outside the scale, or given on another scale, is no rating."""
    assert read_score(said, SCALE) == (None, "rating_off_scale")


@pytest.mark.parametrize(
    "said",
    ["NaN", "inf", "-inf", "\N{VULGAR FRACTION ONE HALF}", "4\N{VULGAR FRACTION ONE HALF}",
     "4-5", "4 - 5", "4 to 5", "4 or 5", "1,000", "4.5.1", "good", "<number>", "four",
     "The text makes 3 mistakes", "4" * 100, "\N{SUPERSCRIPT FOUR}", "4\N{SUPERSCRIPT TWO}",
     "-", "/5", "\N{BLACK STAR}" * 4, "\ud800", "\x00"],
)  # fmt: skip
def test_what_is_not_one_clear_number(said):
    """What could be read in two ways, or in none, is not guessed at."""
    assert read_score(said, SCALE) == (None, "rating_unreadable")


@pytest.mark.parametrize(
    "said",
    ["N/A", "n/a", "NA", "N.A.", "n / a", "**N/A**", "[N/A]", "N/A (no claims)", "Not applicable",
     "none", "None."],
)  # fmt: skip
def test_not_applicable(said):
    """A judge that declines to rate is told apart from one that forgot."""
    assert read_score(said, SCALE) == (None, "rating_not_applicable")


@pytest.mark.parametrize("said", ["", " ", "**", "<", "\t"])
def test_nothing_at_all(said):
    """An empty value is a missing rating."""
    assert read_score(said, SCALE) == (None, "rating_missing")


def test_another_scale():
    """The scale is the task's: 0 to 10, or one that reaches below zero."""
    assert read_score("8/10", (0, 10)) == (8.0, None)
    assert read_score("-1", (-2, 2)) == (-1.0, None)
    assert read_score("4/5", (0, 10)) == (None, "rating_off_scale")
