"""The rows of a report as one block of JSON that fits into the page. Pure.

Rules:

- A value is None, a text, the number of a text, or a list of texts and numbers that are read one
  after another. Numbers from 0 on are places in `shared`; -1, -2, … are places in the row's own
  `x`. So a prompt holds a row's texts by number, and what all prompts say is stored once.
- Texts longer than a limit are cut and say by how much. The limit is the largest one with which
  all rows fit. What many rows have in common is stored whole, as it costs next to nothing.
- The block is plain JSON if that fits, else it is compressed, in base64.
- In the block, `<`, `>`, `&`, control characters and those that turn the direction of writing are
  escapes: nothing in it can end the element that it stands in, or steer a terminal or an editor.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from distilabel.dataset.schema import CALL_METADATA
from distilabel.errors import ConfigurationError
from distilabel.report.figures import as_floats, as_texts, models_of, texts_of
from distilabel.report.reading import TEXT_COLUMNS
from distilabel.untrusted import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from distilabel.report.reading import ReportRow

__all__ = ["LIMITS", "Embedded", "embed", "script_json", "shortened"]

LIMITS: Final = (
    *(50_000, 20_000, 10_000, 5_000, 3_000, 2_000, 1_500, 1_200, 1_000, 800, 700, 600, 500),
    *(450, 400, 350, 300, 250, 200, 150, 120, 90, 60, 40),
)
"""Characters at which texts are cut, the first that fits."""

_WOVEN_MIN: Final = 6
"""Shorter texts are not looked for in others."""
_SHARED_MIN: Final = 4
_WHOLE_SHARE: Final = 0.1
"""What is in so many of the rows is not cut: it is the same for all, and stored once."""
_OTHERS_MAX: Final = 20
"""How many of the user's own columns are shown."""
_MARK: Final = re.compile(r"([0-9a-f]{12,})")
"""What differs from row to row in prompts that are otherwise alike: the fence's mark."""
_UNSAFE: Final = re.compile("[<>&\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_OURS: Final = frozenset(
    {
        *TEXT_COLUMNS,
        *("input", "generation_model", "generation_prompt", "rating", "rationale"),
        *("labelling_model", "labelling_prompt", "raw_labelling_response", CALL_METADATA),
    }
)

_Value: TypeAlias = "str | int | list[str | int] | None"


@dataclass(frozen=True, slots=True)
class Embedded:
    """The block, and how it was made to fit."""

    block: str
    """To stand in a `<script>` of a type that is not run."""
    form: Literal["json", "deflate"]
    """JSON, or JSON that was compressed by zlib and written in base64."""
    limit: int
    """Characters at which texts were cut."""

    @property
    def size_bytes(self) -> int:
        """How large the block is."""
        return len(self.block.encode())


def embed(rows: Sequence[ReportRow], size_max_bytes: int) -> Embedded:
    """The rows as a block of at most so many bytes.

    Raises:
        ConfigurationError: they do not fit, however short the texts are cut.
    """
    packer = _Packer(rows)

    def fits(limit: int) -> bool:
        return made(limit).size_bytes <= size_max_bytes

    @cache
    def made(limit: int) -> Embedded:
        text = script_json(packer.packed(limit))
        if len(text.encode()) > size_max_bytes:
            squeezed = base64.b64encode(zlib.compress(text.encode()))
            return Embedded(squeezed.decode(), "deflate", limit)
        return Embedded(text, "json", limit)

    place = bisect_left(LIMITS, True, key=fits)
    if place < len(LIMITS):
        return made(LIMITS[place])
    raise ConfigurationError(
        f"{len(rows):,} rows do not fit into {size_max_bytes:,} bytes, however short their texts "
        "are cut. Allow more bytes (size_max_bytes, --size-max-mb), or fewer rows in the table "
        "(rows_max, --rows-max)."
    )


def script_json(data: Any) -> str:
    r"""JSON that can stand in a script element, whatever it holds.

    >>> script_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shortened(text: str, limit: int) -> str:
    """A text of at most so many characters, and how many more there were.

    >>> shortened("a long text", 6)
    'a long… (5 more characters)'
    """
    more = len(text) - limit
    return text if more <= 0 else f"{text[:limit]}… ({more:,} more characters)"


class _Packer:
    def __init__(self, rows: Sequence[ReportRow]) -> None:
        names: dict[str, int] = {}
        self._rows = [_pack(row, lambda name: names.setdefault(name, len(names))) for row in rows]
        self._names = list(names)
        counts = Counter[str]()
        for row in self._rows:
            counts.update(piece for piece in _inline(row) if len(piece) >= _SHARED_MIN)
        common = [piece for piece, count in counts.most_common() if count > 1]
        self._shared = {piece: place for place, piece in enumerate(common)}
        often = max(2, len(rows) * _WHOLE_SHARE)
        self._whole = {piece for piece, count in counts.items() if count >= often}

    def packed(self, limit: int) -> dict[str, Any]:
        """All of it as plain data, texts cut at a limit."""
        return {
            "names": self._names,
            "shared": [
                shortened(piece, LIMITS[0] if piece in self._whole else limit)
                for piece in self._shared
            ],
            "rows": [_refined(row, lambda text: self._stored(text, limit)) for row in self._rows],
        }

    def _stored(self, text: str, limit: int) -> str | int:
        place = self._shared.get(text)
        return shortened(text, limit) if place is None else place


def _pack(row: ReportRow, named: Callable[[str], int]) -> dict[str, Any]:
    """A row as plain data with short keys: what page.js calls them stands at its head."""
    values = {name: _clean(value) for name, value in row.values.items()}
    texts = texts_of(values)
    rationales = (as_texts(values.get("rationale")) + [None] * len(texts))[: len(texts)]
    own = _Own([values.get("input"), *texts, *rationales])
    prompts = values.get("generation_prompt")
    generator = [own.chat(each) for each in (prompts if isinstance(prompts, list) else [])]
    if generator and all(each == generator[0] for each in generator):
        generator = generator[:1]
    replies = as_texts(values.get("raw_generation_responses"))
    packed: dict[str, Any] = {
        "i": row.index,
        "n": own.place(values.get("input")),
        "g": [own.place(text) for text in texts],
        "m": [named(model) for model in models_of(values)] if texts else [],
        "r": [_number(each) for each in as_floats(values.get("rating"), len(texts))]
        if "rating" in values
        else [],
        "w": [own.place(each) for each in rationales] if any(rationales) else [],
        "p": generator,
        "q": [] if replies == texts else [own.woven(each) for each in replies],
        "j": named(values["labelling_model"]) if _is_text(values.get("labelling_model")) else None,
        "l": own.chat(values.get("labelling_prompt")),
        "k": own.woven(values.get("raw_labelling_response")),
        "e": [[named(e.stage), named(e.cause), e.generation, _clean(e.message)] for e in row.errors]
        or _call_failures(values, named),
        "o": [[named(name), _plain(value)] for name, value in _others(values)],
        "x": own.texts,
    }
    return {key: value for key, value in packed.items() if value not in (None, []) or key == "i"}


class _Own:
    """A row's own texts, which other texts of the row hold by number."""

    def __init__(self, texts: Iterable[Any]) -> None:
        self.texts = list(dict.fromkeys(text for text in texts if _is_text(text)))
        self._places = {text: -1 - place for place, text in enumerate(self.texts)}
        self._by_length = sorted(self.texts, key=len, reverse=True)

    def place(self, text: Any) -> int | None:
        return self._places.get(text) if _is_text(text) else None

    def woven(self, text: Any) -> _Value:
        if not _is_text(text):
            return None
        pieces: list[str | int] = [text]
        for own in self._by_length:
            if len(own) >= _WOVEN_MIN:
                pieces = [each for piece in pieces for each in self._split(piece, own)]
        pieces = [
            each
            for piece in pieces
            for each in (_MARK.split(piece) if isinstance(piece, str) else [piece])
            if each != ""
        ]
        return pieces[0] if len(pieces) == 1 else pieces

    def chat(self, prompt: Any) -> list[list[Any]] | None:
        """A prompt as pairs of role and value; the role of a text is None."""
        if _is_text(prompt):
            return [[None, self.woven(prompt)]]
        if not isinstance(prompt, list):
            return None
        messages = [each for each in prompt if isinstance(each, dict)]
        return [[str(each.get("role")), self.woven(each.get("content"))] for each in messages]

    def _split(self, piece: str | int, own: str) -> list[str | int]:
        if not isinstance(piece, str) or own not in piece:
            return [piece]
        found: list[str | int] = []
        for part in piece.split(own):
            found += [part, self._places[own]]
        return found[:-1]


def _inline(value: Any) -> Iterable[str]:
    """All texts in packed data, roles included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _inline(each)
    elif isinstance(value, list):
        for each in value:
            yield from _inline(each)


def _refined(value: Any, stored: Callable[[str], str | int]) -> Any:
    """The same data with each text as it is stored."""
    if isinstance(value, str):
        return stored(value)
    if isinstance(value, dict):
        return {key: _refined(each, stored) for key, each in value.items()}
    if isinstance(value, list):
        return [_refined(each, stored) for each in value]
    return value


def _call_failures(values: Mapping[str, Any], named: Callable[[str], int]) -> list[list[Any]]:
    """What a row's calls say of failures, where the row itself does not."""
    calls = values.get(CALL_METADATA)
    return [
        [named(str(call.get("stage"))), named(call["cause"]), None, ""]
        for call in (calls if isinstance(calls, list) else [])
        if isinstance(call, dict) and _is_text(call.get("cause"))
    ]


def _others(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The user's own columns, and other outputs of tasks."""
    found = [(name, value) for name, value in values.items() if name not in _OURS]
    return [(name, value) for name, value in found if value is not None][:_OTHERS_MAX]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _number(value: float | None) -> float | None:
    """A whole number without its point."""
    return int(value) if value is not None and value.is_integer() else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _clean(value: Any) -> Any:
    """The same value with texts that UTF-8 can hold."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {storable(str(key)): _clean(each) for key, each in value.items()}
    return value
