"""The numbers of a report, counted row by row. Pure.

Rules:

- A value that is not of the type it should be counts as missing: a data set can hold anything.
- Index i is the same text in all lists of a row.
- Percentiles are by nearest rank: each is a value that was measured.
- The order in which a judge was shown the texts is their order in its prompt, if each text stands
  there exactly once; else it is not known for that row.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from distilabel.report.reading import TEXT_COLUMNS, CallFact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from distilabel.report.reading import ReportRow

__all__ = [
    "Cause",
    "Figures",
    "as_floats",
    "as_texts",
    "calls_of",
    "models_of",
    "percentile",
    "prompt_as_text",
    "shown_order",
    "texts_of",
]

_EXAMPLES_MAX: Final = 3
_UNKNOWN_MODEL: Final = "(model not known)"


@dataclass(slots=True)
class Cause:
    """How often something went wrong, and where for example."""

    count: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Index of the row, and what happened there."""

    def add(self, index: int, message: str) -> None:
        """Count it, and keep it if it is one of the first and in another row."""
        self.count += 1
        if len(self.examples) < _EXAMPLES_MAX and index not in {row for row, _ in self.examples}:
            self.examples.append((index, message))


@dataclass(slots=True)
class Figures:
    """All that is counted; `add` counts a row, `add_call` a call."""

    counts_calls_of_rows: bool = True
    """Whether calls are counted where rows tell of them; else only those given to `add_call`."""
    rows: int = 0
    texts: int = 0
    texts_missing: int = 0
    ratings_missing: int = 0
    """Texts without a rating, in a data set that has ratings."""
    ratings: defaultdict[str, Counter[float]] = field(
        default_factory=lambda: defaultdict[str, Counter[float]](Counter)
    )
    """How often each rating was given, by the model that wrote the text."""
    judges: Counter[str] = field(default_factory=Counter[str])
    """Rows by the model that rated them."""
    by_place: defaultdict[int, Counter[float]] = field(
        default_factory=lambda: defaultdict[int, Counter[float]](Counter)
    )
    """Ratings by the text's place in `generations`."""
    by_shown: defaultdict[int, Counter[float]] = field(
        default_factory=lambda: defaultdict[int, Counter[float]](Counter)
    )
    """Ratings by the place at which the judge was shown the text."""
    rows_rated: int = 0
    """Rows with a rating and at least two texts."""
    rows_with_order: int = 0
    """Those of them whose order is known."""
    lengths: defaultdict[str, array[int]] = field(
        default_factory=lambda: defaultdict[str, "array[int]"](lambda: array("q"))
    )
    """Characters of each text, by model."""
    seconds: defaultdict[str, array[float]] = field(
        default_factory=lambda: defaultdict[str, "array[float]"](lambda: array("d"))
    )
    """Of each call that brought a reply, by stage."""
    endings: defaultdict[str, Counter[str]] = field(
        default_factory=lambda: defaultdict[str, Counter[str]](Counter)
    )
    """How often texts ended for each reason, by stage."""
    causes: defaultdict[tuple[str, str], Cause] = field(
        default_factory=lambda: defaultdict[tuple[str, str], Cause](Cause)
    )
    """By stage and cause: of rows' errors if these are known, else of calls that were given up."""

    def add(self, row: ReportRow) -> None:
        """Count a row."""
        self.rows += 1
        values = row.values
        texts, models = texts_of(values), models_of(values)
        self.texts += len(texts)
        self.texts_missing += texts.count(None)
        for text, model in zip(texts, models, strict=True):
            if text is not None:
                self.lengths[model].append(len(text))
        self._add_ratings(values, texts, models)
        for error in row.errors:
            self.causes[error.stage, error.cause].add(row.index, error.message)
        for call in calls_of(values):
            if self.counts_calls_of_rows:
                self.add_call(call)
            if call.cause is not None and not row.errors:
                self.causes[call.stage, call.cause].add(row.index, "")

    def add_call(self, call: CallFact) -> None:
        """Count a call."""
        if call.seconds is not None and math.isfinite(call.seconds):
            self.seconds[call.stage].append(call.seconds)
        self.endings[call.stage].update(reason or "(not told)" for reason in call.finish_reasons)

    def _add_ratings(
        self, values: Mapping[str, Any], texts: Sequence[str | None], models: Sequence[str]
    ) -> None:
        if "rating" not in values:
            return
        ratings = as_floats(values["rating"], len(texts))
        self.ratings_missing += ratings.count(None)
        if any(rating is not None for rating in ratings):
            judge = values.get("labelling_model")
            self.judges[judge if isinstance(judge, str) else _UNKNOWN_MODEL] += 1
        prompt = prompt_as_text(values.get("labelling_prompt"))
        order = shown_order(prompt, texts)
        if len(texts) > 1 and any(rating is not None for rating in ratings):
            self.rows_rated += 1
            self.rows_with_order += order is not None
        for place, rating in enumerate(ratings):
            if rating is None:
                continue
            self.ratings[models[place]][rating] += 1
            self.by_place[place][rating] += 1
            if order is not None and place in order:
                self.by_shown[order.index(place)][rating] += 1


def texts_of(values: Mapping[str, Any]) -> list[str | None]:
    """The texts of a row; None where there is none."""
    return next(
        (as_texts(values[name]) for name in TEXT_COLUMNS if isinstance(values.get(name), list)), []
    )


def models_of(values: Mapping[str, Any]) -> list[str]:
    """The model of each text."""
    models = as_texts(values.get("generation_model"))
    count = len(texts_of(values))
    padded = [*models, *[None] * count][:count]
    return [_UNKNOWN_MODEL if model is None else model for model in padded]


def as_texts(value: Any) -> list[str | None]:
    """A list of texts; None for what is no text."""
    if not isinstance(value, list):
        return []
    return [entry if isinstance(entry, str) else None for entry in value]


def as_floats(value: Any, count: int) -> list[float | None]:
    """So many numbers; None for what is missing or no number.

    >>> as_floats([4, None, "5", float("nan"), 10**400], 6)
    [4.0, None, None, None, None, None]
    """
    numbers = [_as_float(entry) for entry in (value if isinstance(value, list) else [])]
    return [*numbers, *[None] * count][:count]


def _as_float(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int that no float can hold
        return None


def prompt_as_text(prompt: Any) -> str | None:
    """All messages of a prompt in one text; None: there is no prompt."""
    if isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, list):
        return None
    contents = [each.get("content") for each in prompt if isinstance(each, dict)]
    return "\n".join([each for each in contents if isinstance(each, str)])


def shown_order(prompt: str | None, texts: Sequence[str | None]) -> list[int] | None:
    """The places of the texts in the order in which a prompt shows them; None: it cannot be told.

    >>> shown_order("A: second B: first", ["first", None, "second"])
    [2, 0]
    >>> shown_order("A: same B: same", ["same", "same"]) is None
    True
    """
    there = [(text, place) for place, text in enumerate(texts) if text is not None]
    if prompt is None or len(there) < 2:
        return None
    starts = list[tuple[int, int]]()
    for text, place in there:
        start = prompt.find(text) if text.strip() else -1
        if start < 0 or prompt.find(text, start + 1) >= 0:
            return None
        starts.append((start, place))
    return [place for _, place in sorted(starts)]


def calls_of(values: Mapping[str, Any]) -> Iterable[CallFact]:
    """The calls that a row's `call_metadata` tells of."""
    entries = values.get("call_metadata")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            seconds, cause = entry.get("seconds"), entry.get("cause")
            yield CallFact(
                str(entry.get("stage")),
                seconds if isinstance(seconds, float) else None,
                tuple(as_texts(entry.get("finish_reasons"))),
                cause if isinstance(cause, str) else None,
            )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5), percentile([1.0, 2.0, 3.0, 4.0], 0.99)
    (2.0, 4.0)
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
