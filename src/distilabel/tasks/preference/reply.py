r"""How a judge's reply is read: sections by number, and a rating and a rationale in each. Pure.

The judge was asked for this, once for each text::

    #### Output for Text 1
    Rating: 4
    Rationale: Right, and a little long.

Rules:

- Any string is read; nothing raises. The work grows with the length of the reply and no faster:
  every pattern is anchored at a line's start or a literal, and its repeats are possessive.
- Sections go by their number, not their place. Numbers that no text has are passed over. Of
  sections with the same number the first one with a readable rating counts, or else the first:
  models that repeat themselves do it at the end, where the reply is often cut off.
- A judge whose sections are numbered from 0 to the last but one, and no other, counts from 0.
- A header may be dressed up (`### Output for Text 2:`, `**output for text 1**`, `Text 3:`), but a
  line quoted with ">" is a quotation and never a header.
- Inside a section the first line labelled "Rating" and the first labelled "Rationale" count, in
  either order; a value may follow on the next line. A rationale runs to the next label or header.
  Prose without a label is the rationale where none is labelled.
- A lone text needs no header: if there is none, the whole reply is its section, provided that one
  of the labels is there.
- What a reasoning model thinks aloud (up to `</think>`) is no part of the reply.
- A rating and a rationale fail apart: either is kept without the other. Each None has a cause.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from distilabel.tasks.preference.score import read_score

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CAUSES", "Verdict", "read_verdicts"]

CAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "section_missing": (
            "the judge wrote no section for this text; if its reply was cut off, raise "
            "max_new_tokens"
        ),
        "rating_missing": "the judge's section for this text holds no rating",
        "rating_not_applicable": "the judge answered N/A instead of a rating for this text",
        "rating_off_scale": "the judge's rating for this text is outside the task's scale",
        "rating_unreadable": "what the judge gave this text as a rating is not one clear number",
        "rationale_missing": (
            "the judge wrote no rationale for this text; if its reply was cut off, raise "
            "max_new_tokens"
        ),
    }
)
"""Why a value is None, by the word that it is counted under."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply says about one text."""

    rating: float | None
    rationale: str | None
    causes: tuple[str, ...] = ()
    """Keys of `CAUSES`, for what is None."""

    @property
    def is_missing(self) -> bool:
        """Whether the reply holds no section for the text; one that says N/A is a section."""
        return "section_missing" in self.causes


_NO_SECTION: Final = Verdict(None, None, ("section_missing",))

_DIGITS_MAX: Final = 9
"""So many digits of a section's number are read: no judge is shown as many texts."""
_GAP: Final = r"[ \t\xa0]"
_MARKS: Final = r"[ \t\xa0#*_`~|+•-]*+"
_LIST_NUMBER: Final = r"(?:\d{1,3}[.)])?+"
_COLON: Final = "[:\N{FULLWIDTH COLON}]"
_DASH: Final = "[-\N{EN DASH}\N{EM DASH}]"

_HEADER: Final = re.compile(
    rf"""
    ^ {_MARKS} {_LIST_NUMBER} {_MARKS}
    (?P<long> output {_GAP}++ for {_GAP}++ )?+ text {_GAP}*+ [#<\[("]?+
    (?P<number> \d++ ) [>\])"]?+ [ \t\xa0#*_`]*+
    (?(long) (?= $ | {_COLON} | {_DASH} | [.,(] | rating | rationale )
           | (?: {_COLON} | {_DASH} | [.] )?+ {_MARKS} (?= $ | rating | rationale ) )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_LABEL: Final = re.compile(
    rf"""
    ^ (?: [(.,] | {_COLON} )?+ {_MARKS} {_LIST_NUMBER} {_MARKS}
    (?: (?P<rating>rating) | (?P<rationale>rationale) ) (?: {_GAP}++ for {_GAP}++ rating )?+
    (?: {_GAP}++ (?: for | of ) {_GAP}++ text {_GAP}*+ \d++ )?+
    (?: {_GAP}*+ \( [^()\n]{{0,40}}+ \) )?+
    [*_`"]*+ {_GAP}*+ (?: (?: {_COLON} | = ) [*_`]*+ | {_DASH} (?= {_GAP} ) | (?= $ | [-+]?\d ) )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_INLINE: Final = rf"[*_`]*+ [ ]?+ {_COLON} [*_`]*+"
_INLINE_RATIONALE: Final = re.compile(rf"\b rationale {_INLINE}", re.IGNORECASE | re.VERBOSE)
_INLINE_RATING: Final = re.compile(
    rf"\b rating {_INLINE} (?= [^\n]{{1,40}}+ \Z )", re.IGNORECASE | re.VERBOSE
)
_BARE_NUMBER: Final = re.compile(
    rf"[\s*_([]*+{_COLON}?+[\s*_([]*+(\d[\d.,/ ]{{0,12}}+)[\s*_)\].]*+"
)
_BLANK: Final = " \t\n\xa0"
_RULES: Final = _BLANK + "#*_`>~|=+-"


def read_verdicts(reply: str, *, texts: int, scale: tuple[float, float]) -> list[Verdict]:
    """What the reply says about each of the texts that the judge was shown.

    Args:
        reply: what the judge wrote; anything at all.
        texts: how many texts it was shown.
        scale: the lowest and the highest rating.
    """
    body = _spoken(reply.replace("\r\n", "\n").replace("\r", "\n"))
    read: dict[int, Verdict] = {}
    for number, section in _sections(body, texts):
        if number not in read or read[number].rating is None:
            verdict = _read_section(section, scale)
            if number not in read or verdict.rating is not None:
                read[number] = verdict
    return [read.get(number, _NO_SECTION) for number in range(1, texts + 1)]


def _spoken(reply: str) -> str:
    """The reply without what the model thought aloud before it."""
    thought, closed, spoken = reply.partition("</think>")
    if closed:
        return spoken
    return "" if thought.lstrip().startswith("<think>") else thought


def _sections(body: str, texts: int) -> Iterator[tuple[int, str]]:
    """The sections whose number is one of a text's, in the order they stand."""
    headers = list(_HEADER.finditer(body))
    if not headers and texts == 1 and _LABEL.search(body):
        yield 1, body
    starts = [*(header.start() for header in headers), len(body)]
    numbers = [int(header["number"][:_DIGITS_MAX]) for header in headers]
    first = 0 if set(numbers) == set(range(texts)) else 1
    for header, number, end in zip(headers, numbers, starts[1:], strict=True):
        if first <= number < first + texts:
            yield number - first + 1, body[header.end() : end]


def _read_section(section: str, scale: tuple[float, float]) -> Verdict:
    before, rating_field, rationale_field = _fields(section)
    said, _, after = rating_field.strip(_BLANK + "*_`#|").partition("\n")
    rating, cause = read_score(said, scale)
    if cause == "rating_unreadable":
        after = f"{said}\n{after}"
    rationale = _tidy(rationale_field) or _tidy(f"{before}\n{after}") or None
    causes = [cause] if cause else []
    if rationale is None:
        causes.append("rationale_missing")
    return Verdict(rating, rationale, tuple(causes))


def _fields(section: str) -> tuple[str, str, str]:
    """What stands before any label, and what stands behind "Rating" and behind "Rationale"."""
    labels: dict[str, re.Match[str]] = {}
    for label in _LABEL.finditer(section):
        labels.setdefault(str(label.lastgroup), label)
    starts = [*(label.start() for label in labels.values()), len(section)]
    values = {
        name: section[label.end() : end]
        for (name, label), end in zip(labels.items(), starts[1:], strict=True)
    }
    return _unlabelled(section[: starts[0]], values.get("rating"), values.get("rationale"))


def _unlabelled(before: str, rating: str | None, rationale: str | None) -> tuple[str, str, str]:
    """The same, with what no label at a line's start gave away: both on one line, a bare number."""
    if rating is None and (bare := _BARE_NUMBER.fullmatch(before)):
        before, rating = "", bare[1]
    elif rating is None and rationale is not None:
        rationale, rating = _split(rationale.rstrip(), _INLINE_RATING)
    elif rating is not None and rationale is None:
        rating, rationale = _split(rating, _INLINE_RATIONALE)
    return before, rating or "", rationale or ""


def _split(text: str, label: re.Pattern[str]) -> tuple[str, str | None]:
    found = label.search(text)
    return (text[: found.start()], text[found.end() :]) if found else (text, None)


def _tidy(text: str) -> str:
    """The text without the blank and ruled lines around it, and without half a pair of `**`."""
    lines = text.strip(_BLANK + ":").split("\n")
    while lines and not lines[-1].strip(_RULES):
        lines.pop()
    text = "\n".join(lines).strip()
    if text.count("**") % 2:
        text = text.removesuffix("**") if text.endswith("**") else text.removeprefix("**")
    return text.strip()
