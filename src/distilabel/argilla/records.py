"""How a row becomes a record of Argilla. Pure.

- A record's id is a hash of what people rate: the inputs and the texts. The same row has the same
  id in every push, in any order and in any selection, so that a push adds or updates. A row whose
  texts are others is another record: what people said about the old texts stays with those.
- Rows that are equal in all of that are told apart by how many came before.
- Models, servers and people write what they like: a text is put in as a value and nowhere else.
  What a database of the server's cannot hold (lone surrogates, NUL) becomes U+FFFD.
- A rating that is missing or off the scale is no suggestion, and neither is a rationale that is
  empty or blank.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distilabel.argilla.layout import (
    GENERATIONS,
    VECTOR,
    generation_name,
    rating_name,
    rationale_name,
)
from distilabel.untrusted import storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from distilabel.argilla.layout import Layout, Scale
    from distilabel.types import InputRow

__all__ = [
    "COLUMNS_READ",
    "ArgillaRecord",
    "RecordIds",
    "Suggestion",
    "entries",
    "id_of",
    "input_text",
    "record_of",
]

COLUMNS_READ: Final = (
    GENERATIONS,
    "generation_model",
    "labelling_model",
    "rating",
    "rationale",
    "call_metadata",
)
"""What is read of a row, besides its inputs."""
_NO_AGENT: Final = re.compile(r"[^a-zA-Z0-9\-_:./ ]")
_AGENT_MAX_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An answer that a model gave to a question."""

    question: str
    value: int | str
    agent: str | None
    """The model, as far as Argilla takes its name: ASCII letters, digits and ``-_:./``."""


@dataclass(frozen=True, slots=True)
class ArgillaRecord:
    """A row as Argilla holds it."""

    id: str
    fields: Mapping[str, str]
    metadata: Mapping[str, Any]
    suggestions: tuple[Suggestion, ...]
    vector: Sequence[float] | None = None

    def to_dict(self, question_ids: Mapping[str, str]) -> dict[str, Any]:
        """As Argilla's API takes it.

        Args:
            question_ids: the server's names for the questions.
        """
        suggestions = [
            {"question_id": question_ids[s.question], "value": s.value, "type": "model"}
            | ({} if s.agent is None else {"agent": s.agent})
            for s in self.suggestions
        ]
        vectors = {} if self.vector is None else {"vectors": {VECTOR: list(self.vector)}}
        return {
            "external_id": self.id,
            "fields": dict(self.fields),
            "metadata": dict(self.metadata),
            "suggestions": suggestions,
            **vectors,
        }


class RecordIds:
    """Gives rows their ids. Keeps a count for each different row.

    >>> ids = RecordIds()
    >>> first, second = ids.next_of(["Hi"], ["Hello"]), ids.next_of(["Hi"], ["Hello"])
    >>> second == first + "-1", RecordIds().next_of(["Hi"], ["Hello"]) == first
    (True, True)
    """

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()

    def next_of(self, inputs: Sequence[str], texts: Sequence[str | None]) -> str:
        """The id of the next row with these inputs and texts."""
        data = json.dumps([inputs, texts], ensure_ascii=True).encode()
        digest = hashlib.blake2b(data, digest_size=16).digest()
        number = self._seen[digest]
        self._seen[digest] += 1
        return digest.hex() + (f"-{number}" if number else "")


def input_text(row: InputRow, layout: Layout) -> list[str]:
    """The inputs of a row as texts: what is no text is shown as JSON, and nothing as ""."""
    return [_text(row.get(name)) for name in layout.inputs]


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return storable(value).replace("\0", "\ufffd")


def record_of(
    row: InputRow, layout: Layout, ids: RecordIds, vector: Sequence[float] | None = None
) -> ArgillaRecord:
    """The record of a row."""
    inputs, texts = input_text(row, layout), _texts(row)
    fields = dict(zip(layout.inputs, inputs, strict=True))
    fields |= {generation_name(i): text for i, text in enumerate(texts, 1) if text is not None}
    metadata: dict[str, Any] = {
        f"{name}-length": len(text) for name, text in zip(layout.inputs, inputs, strict=True)
    }
    metadata |= _metadata(row, texts, layout.scale)
    kept = layout.metadata()
    return ArgillaRecord(
        ids.next_of(inputs, texts),
        fields,
        {name: value for name, value in metadata.items() if value is not None and name in kept},
        _suggestions(row, layout),
        vector,
    )


def entries(value: object) -> Sequence[Any]:
    """The entries of a per-generation column; none if there is no list."""
    return value if isinstance(value, list | tuple) else ()


def id_of(row: InputRow, layout: Layout, ids: RecordIds) -> str:
    """The id of a row's record."""
    return ids.next_of(input_text(row, layout), _texts(row))


def _texts(row: InputRow) -> list[str | None]:
    return [None if text is None else _text(text) for text in entries(row.get(GENERATIONS))]


def _metadata(row: InputRow, texts: Sequence[str | None], scale: Scale) -> dict[str, Any]:
    calls = entries(row.get("call_metadata"))
    models = {_text(m) for m in entries(row.get("generation_model")) if m}
    labeller = row.get("labelling_model")
    lengths = {
        f"{generation_name(i)}-length": None if text is None else len(text)
        for i, text in enumerate(texts, 1)
    }
    return {
        **lengths,
        "generations-count": len(texts),
        "generation-models": sorted(models) or None,
        "labelling-model": _text(labeller) if labeller else None,
        "rating-distance": _distance(entries(row.get("rating")), scale),
        "prompt-tokens": _total(calls, "prompt_tokens"),
        "completion-tokens": _total(calls, "completion_tokens"),
    }


def _distance(ratings: Sequence[object], scale: Scale) -> float | None:
    """Between the two best ratings on the scale; None if there are not two."""
    numbers = [float(r) for r in ratings if isinstance(r, int | float) and scale.spans(r)]
    best = sorted(numbers, reverse=True)[:2]
    return best[0] - best[1] if len(best) == 2 else None


def _total(calls: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """Tokens over all calls; None if no provider counted them."""
    counts = [call[name] for call in calls if call.get(name) is not None]
    return sum(counts) if counts else None


def _suggestions(row: InputRow, layout: Layout) -> tuple[Suggestion, ...]:
    if not layout.is_labelled:
        return ()
    agent = _agent(row.get("labelling_model"))
    ratings = [layout.scale.answer(rating) for rating in entries(row.get("rating"))]
    answers = zip(layout.numbers, ratings, strict=False)
    found = [(rating_name(i), value) for i, value in answers if value is not None]
    if layout.has_rationales:
        rationales = zip(layout.numbers, entries(row.get("rationale")), strict=False)
        texts = [(i, _text(value)) for i, value in rationales if value]
        found += [(rationale_name(i), text) for i, text in texts if text.strip()]
    return tuple(Suggestion(question, value, agent) for question, value in found)


def _agent(model: str | None) -> str | None:
    name = _NO_AGENT.sub("-", model or "")[:_AGENT_MAX_CHARACTERS]
    return name if any(each.isalnum() for each in name) else None
