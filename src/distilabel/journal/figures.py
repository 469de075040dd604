"""What a run took and what failed in it, counted from its records. It blocks.

Of each record only what is counted is decoded: a million calls take seconds, and no memory.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from distilabel.types import RowError, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.journal.database import Database

__all__ = ["Figures", "count_figures"]


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's records, counted."""

    calls_by_stage: Mapping[str, int] = field(default_factory=dict[str, int])
    usage: Usage = field(default_factory=Usage)
    """Tokens of all calls, those that were of no use included, as far as the providers say."""
    rows_failed: int = 0
    """Rows with at least one error."""
    failed_by_cause: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows by cause; a row with two causes counts under both."""


class _Tokens(msgspec.Struct):
    usage: Usage | None = None


class _CallTokens(msgspec.Struct):
    reply: _Tokens


class _RowErrors(msgspec.Struct):
    errors: tuple[RowError, ...]


_call_decoder = msgspec.json.Decoder(_CallTokens)
_row_decoder = msgspec.json.Decoder(_RowErrors)


def count_figures(database: Database) -> Figures:
    """Go through all records.

    Raises:
        JournalCorruptError: one is damaged.
    """
    calls: Counter[str] = Counter()
    tokens = [0, 0, 0]
    for stage, usage in database.each_call(_read_call):
        calls[stage] += 1
        if usage is not None:
            tokens[0] += usage.prompt_tokens
            tokens[1] += usage.completion_tokens
            tokens[2] += usage.cached_tokens
    failed, causes = 0, Counter[str]()
    for errors in database.each_row(_read_row):
        if errors:
            failed += 1
            causes.update({error.cause for error in errors})
    return Figures(dict(calls), Usage(*tokens), failed, dict(causes.most_common()))


def _read_call(stage: object, blob: bytes) -> tuple[str, Usage | None]:
    return str(stage), _call_decoder.decode(blob).reply.usage


def _read_row(blob: bytes) -> tuple[RowError, ...]:
    try:
        return _row_decoder.decode(blob).errors
    except msgspec.MsgspecError:  # a value that only Python's own JSON has a word for, such as NaN
        content: Any = json.loads(blob)
        return msgspec.convert(content["errors"], tuple[RowError, ...])
