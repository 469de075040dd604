"""What a run took and what failed in it, counted from its records. It blocks.

Of each record only what is counted is decoded: a million calls take seconds, and no memory.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from distilabel.types import RowError, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.journal.database import Database

__all__ = ["Figures", "Spend", "count_figures", "count_rows_done", "count_spend"]


@dataclass(frozen=True, slots=True)
class Spend:
    """What a run's calls took."""

    usage: Usage = field(default_factory=Usage)
    """Tokens of all calls, as far as the providers say."""
    cost: float | None = None
    """In US dollars; None: the price of some calls is not known."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's records, counted."""

    calls_by_stage: Mapping[str, int] = field(default_factory=dict[str, int])
    usage: Usage = field(default_factory=Usage)
    """Tokens of all calls, those that were of no use included, as far as the providers say."""
    cost: float = 0.0
    """What the calls cost whose cost is known, in US dollars; calls of other runs cost nothing."""
    usage_without_cost: Mapping[str, Usage] = field(default_factory=dict[str, Usage])
    """By stage, tokens of the calls whose cost is not known. A call without tokens counts, too."""
    rows_failed: int = 0
    """Rows with at least one error."""
    failed_by_cause: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows by cause; a row with two causes counts under both."""

    @property
    def spend(self) -> Spend:
        """Tokens and cost of all calls."""
        return Spend(self.usage, None if self.usage_without_cost else self.cost)


class _Tokens(msgspec.Struct):
    usage: Usage | None = None


class _Cost(msgspec.Struct):
    cost: float | None = None


class _CallTokens(msgspec.Struct):
    reply: _Tokens
    meta: _Cost


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
    tokens, costs = _Sum(), list[float]()
    without_cost: defaultdict[str, _Sum] = defaultdict(_Sum)
    for stage, usage, cost in database.each_call(_read_call):
        calls[stage] += 1
        tokens.add(usage)
        if cost is None:
            without_cost[stage].add(usage)
        else:
            costs.append(cost)
    failed, causes = 0, Counter[str]()
    for errors in database.each_row(_read_row):
        if errors:
            failed += 1
            causes.update({error.cause for error in errors})
    return Figures(
        dict(calls),
        tokens.usage,
        math.fsum(costs),
        {stage: each.usage for stage, each in without_cost.items()},
        failed,
        dict(causes.most_common()),
    )


def count_rows_done(database: Database) -> int:
    """How many rows are kept that have no failures.

    Raises:
        JournalCorruptError: one is damaged.
    """
    return sum(not errors for errors in database.each_row(_read_row))


def count_spend(database: Database) -> Spend:
    """Go through the calls alone, for their tokens and cost.

    Raises:
        JournalCorruptError: one is damaged.
    """
    tokens, costs = _Sum(), list[float]()
    is_priced = True
    for _, usage, cost in database.each_call(_read_call):
        tokens.add(usage)
        if cost is None:
            is_priced = False
        else:
            costs.append(cost)
    return Spend(tokens.usage, math.fsum(costs) if is_priced else None)


class _Sum:
    """Tokens, added up without a value for each."""

    def __init__(self) -> None:
        self._prompt = self._completion = self._cached = 0

    def add(self, usage: Usage | None) -> None:
        if usage is not None:
            self._prompt += usage.prompt_tokens
            self._completion += usage.completion_tokens
            self._cached += usage.cached_tokens

    @property
    def usage(self) -> Usage:
        return Usage(self._prompt, self._completion, self._cached)


def _read_call(stage: object, blob: bytes) -> tuple[str, Usage | None, float | None]:
    call = _call_decoder.decode(blob)
    return str(stage), call.reply.usage, call.meta.cost


def _read_row(blob: bytes) -> tuple[RowError, ...]:
    try:
        return _row_decoder.decode(blob).errors
    except msgspec.MsgspecError:  # a value that only Python's own JSON has a word for, such as NaN
        content: Any = json.loads(blob)
        return msgspec.convert(content["errors"], tuple[RowError, ...])
