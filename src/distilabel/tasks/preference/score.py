"""How the value of a `Rating:` line is read: one clear number, or a reason why there is none. Pure.

A number is only taken where it cannot be anything else than the rating: a wrong rating does more
harm than a missing one. Read as 4: `4`, `4.0`, `4,0`, `[4]`, `4 (Good)`, `4/5` and `4 out of 5` on
a scale up to 5, `Good (4)`, `Score: 4`, and 4 in the digits of any script. Not read: a range such
as `4-5`, a fraction such as `4½`, a number in the middle of a sentence.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["read_score"]

_SIGNS: Final = "-+\N{MINUS SIGN}"
_DASHES: Final = "-\N{EN DASH}\N{EM DASH}~"
_OPENING: Final = " \t\xa0*_`#\"'\N{LEFT DOUBLE QUOTATION MARK}<[({$~\N{ALMOST EQUAL TO}"
_CLOSING: Final = " \t\xa0*_`\"'\N{RIGHT DOUBLE QUOTATION MARK}>])}$.!"

_TOKEN: Final = rf"[{_SIGNS}]?+ (?: \d[\d.,]*+ | [.,]\d[\d.,]*+ ) (?: [eE][-+]?+\d++ )?+"
_SCORE: Final = re.compile(
    rf"""
    (?P<token> {_TOKEN} )
    (?: [ (]*+ (?: / | out[ ]of[ ] | of[ ] ) [ ]*+ (?P<limit> \d[\d.]*+ ) )?+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_RANGE: Final = re.compile(rf"[*_ ]*+(?:[{_DASHES}]|to |or )[*_ ]*+\d", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?:\d+(?:\.\d+)?|\d+,\d{1,2}|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"[^\W\d][^\d\n:=(\[\N{EN DASH}\N{EM DASH}-]{0,40}+[-:=(\[\N{EN DASH}\N{EM DASH}][ \[(*]*+"
)
_NOT_APPLICABLE: Final = re.compile(
    r"(?:n[ ]?[/.\\][ ]?a|na|not[ ](?:applicable|available|rated)|none|null)(?!\w)", re.IGNORECASE
)
_LONGEST_TOKEN: Final = 40


def read_score(said: str, scale: tuple[float, float]) -> tuple[float | None, str | None]:
    """The rating that was given, or None and the cause.

    Args:
        said: what stands behind "Rating:", a single line.
        scale: the lowest and the highest rating; anything between them is on the scale.

    >>> read_score("4/5 (Good)", (1, 5)), read_score("N/A", (1, 5)), read_score("7", (1, 5))
    ((4.0, None), (None, 'rating_not_applicable'), (None, 'rating_off_scale'))
    """
    said = said.strip(_OPENING)
    if not said:
        return None, "rating_missing"
    if _NOT_APPLICABLE.match(said):
        return None, "rating_not_applicable"
    found = _SCORE.match(said) or _named_score(said)
    number = _number(found, said) if found else None
    if found is None or number is None:
        return None, "rating_unreadable"
    lowest, highest = scale
    limit = found["limit"]
    if not lowest <= number <= highest or (limit and _decimal(limit) != highest):
        return None, "rating_off_scale"
    return number, None


def _named_score(said: str) -> re.Match[str] | None:
    """The number that closes a step's name, as in "Excellent (5)"."""
    name = _NAMED.match(said)
    found = name and _SCORE.match(said, name.end())
    return found if found and not said[found.end() :].strip(_CLOSING) else None


def _number(found: re.Match[str], said: str) -> float | None:
    following = said[found.end() :]
    if following[:1].isnumeric() or (not found["limit"] and _RANGE.match(following)):
        return None
    return _decimal(found["token"])


def _decimal(token: str) -> float | None:
    token = token.rstrip(".,").replace("\N{MINUS SIGN}", "-")
    unsigned = token.lstrip("-+")
    if len(token) > _LONGEST_TOKEN or not _NUMBER.fullmatch(unsigned):
        return None
    return float(token.replace(",", "."))
