"""The data block: it cannot end its element, reads back to the same texts, and fits."""

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_kit import HOSTILE, hostile_rows, rated_row, unpacked

from distilabel.errors import ConfigurationError
from distilabel.report.charts import shown
from distilabel.report.embedding import LIMITS, embed, script_json, shortened
from distilabel.report.reading import ReportRow
from distilabel.untrusted import storable

UNSAFE = re.compile("[<>&\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
anything = st.text(st.characters() | st.sampled_from("<>/&!-'\"\x1b\x9b\u2028\ud800abc"))


def report_rows(rows):
    """Rows as a report reads them."""
    return [ReportRow(index, row) for index, row in enumerate(rows)]


@given(anything)
def test_any_text_is_the_same_behind_the_block(text):
    """Any text reads back as it was, and the block has none of the signs that could end it."""
    text = storable(text)
    block = script_json({text: [text]})
    assert json.loads(block) == {text: [text]}
    assert not UNSAFE.search(block)


@given(anything)
def test_any_text_in_html_is_text(text):
    """Any text that is put into the page's HTML opens no element and carries no control sign."""
    opened = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append((tag, attrs))

    html = shown(text)
    parser = Parser()
    parser.feed(f'<p title="{html}">{html}</p>')
    parser.close()
    (tag, [(name, value)]) = opened[0]
    assert (len(opened), tag, name) == (1, "p", "title")
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", value or "")


@given(st.lists(anything, min_size=1, max_size=4), anything)
def test_any_row_reads_back(texts, question):
    """What a row holds is behind the block as it was, its prompts and replies with it."""
    texts, question = [storable(text) for text in texts], storable(question)
    row = rated_row(question, texts, [3.0] * len(texts), why=question or "-")
    data = json.loads(embed(report_rows([row, row, row]), 10_000_000).block)
    for read in unpacked(data):
        assert read["input"] == question
        assert read["generations"] == texts
        assert read["judged"] == [row["labelling_prompt"][0]["content"]]
        assert read["prompts"] == [[row["generation_prompt"][0][0]["content"]]]
        assert read["reply"] == row["raw_labelling_response"]
        assert read["rationale"] == row["rationale"]


def test_prompts_that_differ_are_all_there():
    """Where each text had a prompt of its own, each is told, and a missing one stays missing."""
    row = rated_row("q", ["first text of all", "second text of all"], [1.0, 2.0])
    row["generation_prompt"] = [[{"role": "user", "content": "one"}], None]
    (read,) = unpacked(json.loads(embed(report_rows([row]), 100_000).block))
    assert read["prompts"] == [["one"], []]


def test_what_rows_have_in_common_is_stored_once():
    """A prompt of 5,000 signs that all rows share costs each of them next to nothing."""
    common = "Judge with care. " * 300
    rows = hostile_rows(200)
    before = embed(report_rows(rows), 10_000_000).size_bytes
    for row in rows:
        row["labelling_prompt"][0]["content"] = common + row["labelling_prompt"][0]["content"]
    after = embed(report_rows(rows), 10_000_000)
    assert after.form == "json"
    assert after.size_bytes - before < len(common) + 200 * 20


@pytest.mark.parametrize("size", [4_000_000, 200_000, 60_000])
def test_the_block_fits(size):
    """The block is as large as it may be at most, and cut texts say how much there was."""
    rows = hostile_rows(300, words=400)
    embedded = embed(report_rows(rows), size)
    assert embedded.size_bytes <= size
    assert embedded.limit in LIMITS
    assert (embedded.form == "json") is (size == 4_000_000)


def test_more_room_cuts_less():
    """The more bytes there may be, the longer texts stay; with room for all, none is cut."""
    rows = report_rows(hostile_rows(100, words=400))
    limits = [embed(rows, size).limit for size in (20_000, 40_000, 80_000, 10_000_000)]
    assert limits == sorted(limits)
    assert limits[0] < limits[-1] == LIMITS[0]


def test_too_many_rows_for_the_room_are_refused():
    """Rows that cannot fit are an error that says what to change."""
    with pytest.raises(ConfigurationError, match="rows_max"):
        embed(report_rows(hostile_rows(100)), 100)


@given(st.text(), st.integers(1, 50))
def test_a_cut_text_says_how_much_is_missing(text, limit):
    """A text within the limit stays as it is; a longer one begins alike and counts the rest."""
    cut = shortened(text, limit)
    if len(text) <= limit:
        assert cut == text
    else:
        assert cut == f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def test_what_failed_is_told():
    """A row's calls that were given up are its failures, where the row has no errors of its own."""
    row = rated_row("q", [None], [None])
    row["call_metadata"] = [
        {"stage": "generator", "cause": "timeout"},
        {"stage": "x", "cause": None},
    ]
    (read,) = unpacked(json.loads(embed(report_rows([row]), 100_000).block))
    assert read["errors"] == [("generator", "timeout", "")]
    assert read["generations"] == [None]
    assert read["others"] == {"topic": "any"}


def test_hostile_rows_are_the_same_behind_the_block():
    """Scripts, escape sequences and formulas are data like all else."""
    rows = hostile_rows(len(HOSTILE) * 10)
    read = unpacked(json.loads(embed(report_rows(rows), 10_000_000).block))
    assert [each["generations"] for each in read] == [row["generations"] for row in rows]
