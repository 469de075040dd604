"""Which generations of a row are trained on: pairs, the best one, or each with a label. Pure.

Rules:

- A generation takes part if it has a text that is not blank and a rating that is a number.
- Two texts are equal if they differ in nothing but blanks around them. Equal texts never make a
  pair, and a text that a row holds twice is learnt from once.
- Where several generations would do as well, one is drawn. The draw depends on the seed and on the
  row's texts alone: in whatever order and selection the rows come, each gives the same pair.
- What gives nothing says why, in a word to count by: a key of `REASONS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from numbers import Real
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from distilabel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "REASONS",
    "BestRule",
    "PairRule",
    "Strategy",
    "Ties",
    "checked_threshold",
    "label_texts",
]

Strategy: TypeAlias = Literal["random", "worst"]
Ties: TypeAlias = Literal["drop", "keep"]
_Texts: TypeAlias = "Sequence[str | None]"
_Ratings: TypeAlias = "Sequence[float | None]"

REASONS: Final[Mapping[str, str]] = {
    "too_few_rated": "fewer than two of its texts have a rating",
    "equal_texts": "all its rated texts are the same",
    "tie": "all its texts have the same rating",
    "too_close": "no two ratings are so far apart as min_distance",
    "no_text": "it has no text",
    "no_rating": "it has no rating",
    "below_min_rating": "its best rating is below min_rating",
    "several_unrated": "it has several texts, and nothing says which is the best",
    "repeated": "the same text comes before it in its row",
    "contradictory": "its row has the same text with a rating on the other side of the threshold",
    "no_prompt": "its prompt is missing",
}
"""Why a row, or a generation, is left out."""


@dataclass(frozen=True, slots=True)
class PairRule:
    """How the two texts of a pair are chosen among those of a row.

    Raises:
        ConfigurationError: there is no such strategy, or the settings contradict each other.

    >>> PairRule().pair(["good", "bad"], [4.0, 2.0])
    (0, 1)
    >>> PairRule().pair(["good", "as good"], [4.0, 4.0])
    'tie'
    """

    strategy: Strategy = "random"
    """What the best text is set against: any of the others, or the worst."""
    ties: Ties = "drop"
    """Whether two texts of one rating may make a pair."""
    min_distance: float = 0.0
    """How far apart the two ratings are at least."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("strategy", self.strategy, get_args(Strategy)),
            ("ties", self.ties, get_args(Ties)),
        ):
            if value not in known:
                raise ConfigurationError(f"no {name} {value!r}; there are: {', '.join(known)}")
        if not (math.isfinite(self.min_distance) and self.min_distance >= 0):
            raise ConfigurationError(f"min_distance must be 0 or more, not {self.min_distance!r}")
        if self.min_distance and self.ties == "keep":
            raise ConfigurationError(
                "ties='keep' and a min_distance contradict each other: the ratings of a tie are 0 "
                "apart. Leave one of the two out."
            )

    def pair(self, texts: _Texts | None, ratings: _Ratings | None) -> tuple[int, int] | str:
        """The places of the chosen and of the rejected text, or why there are none."""
        rated = _rated(texts or (), ratings or ())
        if len(rated) < 2:
            return "too_few_rated"
        highest = max(rating for _, _, rating in rated)
        heads = [(place, text) for place, text, rating in rated if rating == highest]
        widest = -1.0
        for chosen, text in _rotated(heads, self._draw("chosen", len(heads), rated)):
            others = [(place, highest - rating) for place, own, rating in rated if own != text]
            apart = [each for each in others if self._is_apart(each[1])]
            if apart:
                return chosen, self._rejected(apart, rated)
            widest = max(widest, *(gap for _, gap in others), -1.0)
        if widest < 0:
            return "equal_texts"
        return "too_close" if widest > 0 else "tie"

    def _is_apart(self, gap: float) -> bool:
        return self.ties == "keep" or (gap > 0 and gap >= self.min_distance)

    def _rejected(self, apart: list[tuple[int, float]], rated: list[_Rated]) -> int:
        if self.strategy == "worst":
            widest = max(gap for _, gap in apart)
            apart = [each for each in apart if each[1] == widest]
        return apart[self._draw("rejected", len(apart), rated)][0]

    def _draw(self, what: str, options: int, rated: list[_Rated]) -> int:
        return _draw(f"{self.seed}/{what}", options, rated)


@dataclass(frozen=True, slots=True)
class BestRule:
    """How the one text that is learnt from is chosen.

    >>> BestRule().best(["good", "bad"], [4.0, 2.0])
    0
    """

    min_rating: float | None = None
    """What it has to be rated at least."""
    seed: int = 0

    def best(self, texts: _Texts | None, ratings: _Ratings | None) -> int | str:
        """The place of the text with the highest rating, or why there is none."""
        rated = _rated(texts or (), ratings or ())
        if not rated:
            has_text = any(text and text.strip() for text in texts or ())
            return "no_rating" if has_text else "no_text"
        highest = max(rating for _, _, rating in rated)
        if self.min_rating is not None and highest < self.min_rating:
            return "below_min_rating"
        heads = [place for place, _, rating in rated if rating == highest]
        return heads[_draw(f"{self.seed}/best", len(heads), rated)]

    def only(self, texts: _Texts | None) -> int | str:
        """The place of the one text of a row without ratings, or why there is none."""
        places = [place for place, text in enumerate(texts or ()) if text and text.strip()]
        if not places:
            return "no_text"
        return places[0] if len(places) == 1 else "several_unrated"


def checked_threshold(given: object) -> float:
    """The threshold as a number that ratings can be compared to.

    Raises:
        ConfigurationError: it is none: a text, NaN, infinite.
    """
    if not isinstance(given, bool) and isinstance(given, Real) and math.isfinite(given):
        return float(given)
    raise ConfigurationError(
        f"threshold must be a finite number on the scale of the ratings, not {given!r:.80}"
    )


def label_texts(
    texts: _Texts | None, ratings: _Ratings | None, *, threshold: float
) -> list[bool | str]:
    """For each text whether its rating reaches the threshold, or why it is left out.

    >>> label_texts(["good", "bad", "bad", None], [4.0, 2.0, 1.0, None], threshold=3)
    [True, False, 'repeated', 'no_text']
    """
    texts, ratings = texts or (), ratings or ()
    places = {place: (text, rating) for place, text, rating in _rated(texts, ratings)}
    verdicts: dict[str, set[bool]] = {}
    for text, rating in places.values():
        verdicts.setdefault(text, set()).add(rating >= threshold)
    seen: set[str] = set()
    labels: list[bool | str] = []
    for place, given in enumerate(texts):
        if place not in places:
            labels.append("no_rating" if given and given.strip() else "no_text")
            continue
        text, rating = places[place]
        if len(verdicts[text]) > 1:
            labels.append("contradictory")
        else:
            labels.append("repeated" if text in seen else rating >= threshold)
        seen.add(text)
    return labels


_Rated: TypeAlias = tuple[int, str, float]
"""Place, text without the blanks around it, rating."""


def _rated(texts: _Texts, ratings: _Ratings) -> list[_Rated]:
    return [
        (place, stripped, rating)
        for place, (text, rating) in enumerate(zip(texts, ratings, strict=False))
        if text and rating is not None and math.isfinite(rating) and (stripped := text.strip())
    ]


def _rotated(heads: list[tuple[int, str]], first: int) -> list[tuple[int, str]]:
    return heads[first:] + heads[:first]


def _draw(salt: str, options: int, rated: list[_Rated]) -> int:
    """A number below `options` that depends on the salt and the texts alone."""
    if options == 1:
        return 0
    data = "\0".join((salt, *(text for _, text, _ in rated))).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") % options
