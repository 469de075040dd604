"""How a judge's reply is read: what models really write, and what attackers might."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.tasks import UltraFeedbackTask
from distilabel.tasks.preference.reply import CAUSES

TASK = UltraFeedbackTask.for_instruction_following()
HEAD = "#### Output for Text 1\n"


def read(reply, texts=1):
    """Ratings, rationales, and causes by text."""
    parsed = TASK.parse(reply, {"input": "Why?", "generations": ["x"] * texts})
    assert set(parsed.values) == {"rating", "rationale"}
    return (
        parsed.values["rating"],
        parsed.values["rationale"],
        [(problem.text, problem.cause) for problem in parsed.problems],
    )


def test_the_reply_that_was_asked_for():
    """The documented shape is read in full, and has no problems."""
    reply = (
        "#### Output for Text 1\nRating: 4\nRationale: Right: short, clear.\n\nAnd kind.\n\n"
        "#### Output for Text 2\nRating: 2\nRationale: Wrong."
    )
    assert read(reply, 2) == ([4.0, 2.0], ["Right: short, clear.\n\nAnd kind.", "Wrong."], [])


def test_sections_go_by_number():
    """A judge that answers in another order is understood."""
    reply = (
        "#### Output for Text 3\nRating: 3\nRationale: c\n"
        "#### Output for Text 1\nRating: 1\nRationale: a\n"
        "#### Output for Text 2\nRating: 2\nRationale: b\n"
    )
    assert read(reply, 3) == ([1.0, 2.0, 3.0], ["a", "b", "c"], [])


def test_a_judge_may_count_from_zero():
    """Sections from 0 to the last but one are those of all texts, and not of their neighbours."""
    reply = (
        "#### Output for Text 0\nRating: 1\nRationale: a\n"
        "#### Output for Text 1\nRating: 2\nRationale: b\n"
    )
    assert read(reply, 2) == ([1.0, 2.0], ["a", "b"], [])
    assert read("#### Output for Text 0\nRating: 1\nRationale: a") == ([1.0], ["a"], [])
    assert read(f"{reply}#### Output for Text 2\nRating: 3\nRationale: c", 2) == (
        [2.0, 3.0],
        ["b", "c"],
        [],
    )
    assert read(reply, 3)[0] == [2.0, None, None]


@pytest.mark.parametrize(
    "header",
    [
        "#### Output for Text 1", "### Output for Text 1:", "**Output for Text 1**",
        "**Output for Text 1:**", "output for text 1", "OUTPUT FOR TEXT 1", "Output for Text #1",
        "#### Output for Text <1>", "#### Output for Text [1]", "  #### Output for Text 1  ",
        "1. Output for Text 1", "- **Output for Text 1**", "#### Output for Text 1 - Excellent",
        "#### Output for Text 1 (Good)", "#### Text 1", "**Text 1:**", "Text 1", "Text 1:",
        "####Output for Text 1", "#### **Output for Text 1**", "__Output for Text 1__",
        "#### Output for Text \N{FULLWIDTH DIGIT ONE}", "#### Output  for\N{NO-BREAK SPACE}Text 1",
    ],
)  # fmt: skip
def test_headers_in_any_dress(header):
    """A header is known by its words, whatever markdown is around them."""
    other = header.translate({ord("1"): "2", 0xFF11: "2"})
    reply = f"{other}\nRating: 2\nRationale: b\n\n{header}\nRating: 1\nRationale: a"
    assert read(reply, 2) == ([1.0, 2.0], ["a", "b"], [])


@pytest.mark.parametrize(
    "body",
    [
        "Rating: 4\nRationale: ok", "Rationale: ok\nRating: 4", "rating - 4\nrationale - ok",
        "**Rating:** 4\n**Rationale:** ok", "**Rating**: 4\n**Rationale**: ok",
        "**Rating: 4**\n**Rationale: ok**", "*Rating*: 4\n*Rationale*: ok",
        "- Rating: 4\n- Rationale: ok", "1. Rating: 4\n2. Rationale: ok",
        "RATING: 4\nRATIONALE: ok",
        "Rating:\n4\nRationale:\nok", "### Rating\n4\n\n### Rationale\nok",
        "Rating 4\nRationale: ok",
        "Rating (1-5): 4\nRationale: ok", "Rating for Text 1: 4\nRationale for Text 1: ok",
        "Rating = 4\nRationale: ok", "Rating\N{FULLWIDTH COLON}4\nRationale\N{FULLWIDTH COLON}ok",
        "Rating: 4 Rationale: ok", "Rating: 4 **Rationale:** ok", "Rating: 4\r\nRationale: ok\r\n",
        "\n\nRating: 4\n\n\n\nRationale: ok\n\n---\n", "`Rating`: 4\n`Rationale`: ok",
        "Rating: 4\nok", "ok\nRating: 4", "4\nRationale: ok", "Rating \N{EM DASH} 4\nRationale: ok",
        "Rating: 4\nRationale for Rating: ok", "```\nRating: 4\nRationale: ok\n```",
        "Rationale: ok Rating: 4",
    ],
)  # fmt: skip
def test_fields_in_any_dress(body):
    """Rating and rationale are found under any usual markdown, in either order."""
    assert read(HEAD + body) == ([4.0], ["ok"], [])


@pytest.mark.parametrize(
    "rationale",
    [
        "a: b: c", "first\n\nsecond\n\nthird", "- one\n- two", "It says 5 of 5.", "# Title\ntext",
        "It is **very** good", "The\nrating: is high", "Text 2 is better.\nText 2 was long.",
        "{braces} and %s", "> #### Output for Text 1\n> Rating: 1\nwas quoted",
        "Output for Text 1 is",
    ],
)  # fmt: skip
def test_a_rationale_may_hold_anything(rationale):
    """Colons, blank lines, lists and quotations belong to the rationale."""
    reply = f"{HEAD}Rating: 4\nRationale: {rationale}\n\n#### Output for Text 2\nRating: 2\nb"
    assert read(reply, 2) == ([4.0, 2.0], [rationale, "b"], [])


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("N/A", "rating_not_applicable"),
        ("7", "rating_off_scale"),
        ("-3", "rating_off_scale"),
        ("4-5", "rating_unreadable"),
        ("", "rating_missing"),
    ],
)
def test_a_bad_rating_is_none_for_its_text_only(value, cause):
    """One unusable rating costs neither its rationale nor the other texts."""
    reply = f"{HEAD}Rating: {value}\nRationale: a\n#### Output for Text 2\nRating: 2\nRationale: b"
    assert read(reply, 2) == ([None, 2.0], ["a", "b"], [(0, cause)])


def test_a_rationale_is_kept_without_a_rating():
    """A section without a rating line keeps what it says."""
    assert read(f"{HEAD}Rationale: good") == ([None], ["good"], [(0, "rating_missing")])
    assert read(f"{HEAD}It is good.") == ([None], ["It is good."], [(0, "rating_missing")])


def test_prose_in_place_of_a_rating_is_the_rationale():
    """What a judge wrote where the number belongs is not lost."""
    said = f"{HEAD}Rating: It is fine,\nand short."
    assert read(said) == ([None], ["It is fine,\nand short."], [(0, "rating_unreadable")])


def test_a_rating_is_kept_without_a_rationale():
    """A reply that was cut off after the rating keeps the rating."""
    for end in ("", "\nRationale:", "\nRationale: \n---", "\nRatio"):
        ratings, rationales, problems = read(f"{HEAD}Rating: 4{end}")
        assert ratings == [4.0]
        assert rationales == [None] or end == "\nRatio"
        assert problems == [(0, "rationale_missing")] or end == "\nRatio"


def test_an_empty_section_has_two_problems():
    """Each value that is None has a cause of its own."""
    assert read(HEAD) == ([None], [None], [(0, "rating_missing"), (0, "rationale_missing")])


def test_a_missing_section_is_none_for_its_text_only():
    """What the judge left out is None with a cause; numbers that no text has are passed over."""
    reply = f"{HEAD}Rating: 1\nRationale: a\n#### Output for Text 3\nRating: 3\nRationale: c"
    assert read(reply, 2) == ([1.0, None], ["a", None], [(1, "section_missing")])
    reply = "".join(f"#### Output for Text {n}\nRating: 2\n" for n in (0, "9" * 5000, 10**9))
    assert read(reply) == ([None], [None], [(0, "section_missing")])


def test_of_equal_sections_the_first_rated_one_counts():
    """A judge that repeats itself or starts again is read where it first rates."""
    first, second = f"{HEAD}Rating: 3\nRationale: a\n", f"{HEAD}Rating: 5\nRationale: b\n"
    unrated = f"{HEAD}Rating: N/A\nRationale: c\n"
    assert read(first + second)[:2] == ([3.0], ["a"])
    assert read(unrated + second)[:2] == ([5.0], ["b"])
    assert read(first + unrated)[:2] == ([3.0], ["a"])
    assert read(unrated + unrated) == ([None], ["c"], [(0, "rating_not_applicable")])


def test_of_equal_labels_the_first_counts():
    """A second rating line inside a section is part of the rationale."""
    reply = f"{HEAD}Rating: 2\nRationale: It claims\nRating: 5\nwhich is false."
    assert read(reply)[:2] == ([2.0], ["It claims\nRating: 5\nwhich is false."])


def test_a_lone_text_needs_no_header():
    """With one text, a reply without a header is its section, if it holds one of the labels."""
    assert read("Rating: 4\nRationale: ok") == ([4.0], ["ok"], [])
    assert read("Sure!\n\n**Rating:** 4\n**Rationale:** ok") == ([4.0], ["ok"], [])
    assert read("Rationale: ok") == ([None], ["ok"], [(0, "rating_missing")])
    assert read("I cannot help with that.") == ([None], [None], [(0, "section_missing")])


def test_several_texts_do_need_headers():
    """Without numbers nothing says which text is meant, so nothing is guessed."""
    ratings, _, problems = read("Rating: 4\nRationale: a\n\nRating: 2\nRationale: b", 2)
    assert ratings == [None, None]
    assert problems == [(0, "section_missing"), (1, "section_missing")]


@pytest.mark.parametrize("opening", ["<think>", ""])
def test_what_was_thought_aloud_is_no_reply(opening):
    """A reasoning model's drafts are not taken for its verdict."""
    draft = f"{opening}{HEAD}Rating: 1\nRationale: draft</think>\n"
    assert read(f"{draft}{HEAD}Rating: 5\nRationale: final") == ([5.0], ["final"], [])
    assert read(f"<think>{HEAD}Rating: 1")[2] == [(0, "section_missing")]


@pytest.mark.parametrize(
    "reply", ["", " \n", "\x00", "\ud800", "sorry", "[" * 10_000, "{" * 10_000]
)
def test_a_useless_reply_is_none_all_over(reply):
    """Nothing usable gives None for every text, each with its cause, and `is_formless` says so."""
    parsed = TASK.parse(reply, {"input": "Why?", "generations": ["x"] * 3})
    assert parsed.values == {"rating": [None] * 3, "rationale": [None] * 3}
    assert [problem.cause for problem in parsed.problems] == ["section_missing"] * 3
    assert parsed.is_formless


@pytest.mark.parametrize("said", ["Rating: 4", "Rating: N/A", "Rating: 99", ""])
def test_one_section_makes_a_reply_one_of_the_form(said):
    """A section for one text is enough, and so is one that says N/A or cannot be read."""
    parsed = TASK.parse(f"{HEAD}{said}", {"input": "Why?", "generations": ["x"] * 3})
    assert not parsed.is_formless


PIECES = st.sampled_from([
    "#### Output for Text ", "Text ", "1", "2", "3", "99999999999", "\n", " ", ":", "Rating",
    "Rating: ", "Rationale: ", "N/A", "4/5", "**", ">", "(", "[", "-",
    "</think>", "<think>", "\x00", "\ud800",
    "\N{LATIN SMALL LETTER DOTLESS I}", "\N{VULGAR FRACTION ONE HALF}", "1e9", ".", ",", "\r",
    "\u2028", "rat\N{LATIN SMALL LETTER DOTLESS I}ng: 4", "\N{LATIN SMALL LETTER LONG S}",
])  # fmt: skip


@given(
    reply=st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join)),
    texts=st.integers(1, 4),
)
def test_any_string_is_read(reply, texts):
    """Nothing raises; lists are as long as the texts; each None has a cause, and only those do."""
    ratings, rationales, problems = read(reply, texts)
    assert len(ratings) == len(rationales) == texts
    for index, (rating, rationale) in enumerate(zip(ratings, rationales, strict=True)):
        causes = [cause for text, cause in problems if text == index]
        assert rating is None or (isinstance(rating, float) and 1 <= rating <= 5)
        assert rationale is None or rationale.strip()
        assert set(causes) <= set(CAUSES)
        if causes == ["section_missing"]:
            assert rating is rationale is None
        else:
            assert len(causes) == (rating is None) + (rationale is None)


MEGABYTE = 1_000_000
BOMBS = {
    "spaces": " ",
    "newlines": "\n",
    "marks": "#",
    "stars": "*",
    "brackets": "[",
    "digits": "1",
    "headers": HEAD,
    "short headers": "text 1\n",
    "half headers": "output for text ",
    "labels": "Rating: ",
    "label lines": "Rating:\n",
    "rationale labels": "Rationale: ",
    "open parentheses": "Rating (",
    "numbers": "4,",
    "spaced half labels": "rating" + " " * 500 + "\n",
    "rules": "\n---",
    "thoughts": "<think>",
    "carriage returns": "\r",
}


@pytest.mark.parametrize("unit", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("before", ["", HEAD, f"{HEAD}Rating: ", f"{HEAD}Rating: 4\nRationale: "])
def test_the_work_grows_with_the_length_only(before, unit):
    """Twice the reply is at most about twice the work: no pattern can be made to backtrack."""
    quarter, whole = (before + unit * (size // len(unit)) for size in (MEGABYTE // 4, MEGABYTE))
    assert cpu_seconds(whole) < 8 * cpu_seconds(quarter) + 0.5


def cpu_seconds(reply):
    """Processor time that reading a reply takes."""
    start = time.process_time()
    read(reply, 2)
    return time.process_time() - start
