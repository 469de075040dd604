"""What the journal keeps: finished calls and finished rows. As JSON, never pickle.

- A call's blob is its reply as it came, and what the reply took. Read back, every field's type is
  checked: a file can hold anything.
- A row's blob is its columns and its errors. What JSON has no word for is written by `values`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from distilabel.journal.values import plain, tagged
from distilabel.types import Reply, RowError, StageName
from distilabel.untrusted import storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "KEY_BYTES",
    "CallMeta",
    "CallRecord",
    "RowRecord",
    "decode_call",
    "decode_row",
    "encode_call",
    "encode_row",
]

KEY_BYTES = 16
"""Length of every key and identity."""


@dataclass(frozen=True, slots=True)
class CallMeta:
    """What a call took."""

    attempts: int = 1
    """HTTP attempts, the last one included."""
    paid_tries: int = 0
    """Replies before this one that were paid for and of no use."""
    seconds: float = 0.0
    """From the first attempt's start to the reply, waits included."""
    cost: float | None = None
    """In US dollars; None: not known; 0 for a call that another run had bought."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A finished call."""

    key: bytes
    """What decided the reply; see `keys.call_key`."""
    row_index: int
    """The row that it was made for."""
    stage: StageName
    reply: Reply
    """As it came, before any task read it."""
    meta: CallMeta = CallMeta()


@dataclass(frozen=True, slots=True)
class RowRecord:
    """A finished row."""

    index: int
    """Place in the input, from 0."""
    identity: bytes
    """What the row was made from; see `keys.row_identity`."""
    values: Mapping[str, Any]
    """Columns, the user's own as far as they were put here."""
    errors: tuple[RowError, ...] = ()


class _StoredCall(msgspec.Struct, frozen=True):
    reply: Reply
    meta: CallMeta


_call_encoder = msgspec.json.Encoder()
_call_decoder = msgspec.json.Decoder(_StoredCall)
_stage_names = frozenset({"generator", "labeller"})
_escaping = json.JSONEncoder(separators=(",", ":"))
_quick = msgspec.json.Encoder()
_QUICK_DEPTH = 8
_WORDS = frozenset({str, bool, type(None)})
_STRINGS = frozenset({str})
_NESTS = frozenset({list, dict})
_INT_MAX = 1 << 63
_readable = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def encode_call(record: CallRecord) -> bytes:
    """The blob of a call. A lone surrogate, which no file can hold as UTF-8, becomes U+FFFD."""
    try:
        return _call_encoder.encode(_StoredCall(record.reply, record.meta))
    except UnicodeEncodeError:
        reply = record.reply
        clean = Reply(
            tuple(storable(text) for text in reply.texts),
            tuple(reason and storable(reason) for reason in reply.finish_reasons),
            reply.usage,
            reply.model and storable(reply.model),
            reply.request_id and storable(reply.request_id),
        )
        return _call_encoder.encode(_StoredCall(clean, record.meta))


def decode_call(key: object, row_index: object, stage: object, blob: object) -> CallRecord:
    """The call that a line of the file holds.

    Raises:
        ValueError: it holds something else.
    """
    if not (type(row_index) is int and isinstance(blob, bytes) and stage in _stage_names):
        raise ValueError("a call's columns are not of their types")
    stored = _call_decoder.decode(blob)
    name: StageName = "generator" if stage == "generator" else "labeller"
    return CallRecord(checked_key(key), row_index, name, stored.reply, stored.meta)


def encode_row(record: RowRecord) -> bytes:
    """The blob of a row.

    Raises:
        TypeError: a value is of a type that cannot be kept; the message names the column.
        ValueError: a value holds itself.
    """
    errors = [asdict(error) for error in record.errors]
    if _is_plain(record.values):
        try:
            return _quick.encode({"values": record.values, "errors": errors})
        except UnicodeEncodeError:
            pass
    try:
        return _dump({"values": record.values, "errors": errors})
    except TypeError:
        values = {name: tagged(value, where=name) for name, value in record.values.items()}
        return _dump({"tagged": values, "errors": errors})


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether the quick encoder writes what `_dump` would, as it does for nearly all rows.

    It would also write dates, bytes and sets, as texts which nobody could tell from texts, and
    numbers that are none as null.
    """
    kind = type(value)
    if kind in _WORDS:
        return True
    if kind is float:
        return isfinite(value)
    if kind is int:
        return bool(-_INT_MAX < value < _INT_MAX)
    if depth == _QUICK_DEPTH or kind not in _NESTS:
        return False
    if kind is dict:
        if not _STRINGS.issuperset(map(type, value)):
            return False
        value = value.values()
    return _WORDS.issuperset(map(type, value)) or _are_plain(value, depth + 1)


def _are_plain(values: Iterable[Any], depth: int) -> bool:
    for value in values:  # noqa: SIM110 - `all` of a generator costs three times as much
        if not _is_plain(value, depth):
            return False
    return True


def _dump(content: Mapping[str, Any]) -> bytes:
    try:
        return _readable.encode(content).encode()
    except UnicodeEncodeError:  # a lone surrogate; JSON can write it as an escape
        return _escaping.encode(content).encode()


def decode_row(index: object, identity: object, blob: object) -> RowRecord:
    """The row that a line of the file holds.

    Raises:
        ValueError: it holds something else.
    """
    if not (type(index) is int and isinstance(blob, bytes)):
        raise ValueError("a row's columns are not of their types")
    try:
        content = json.loads(blob)
        values = content["values"] if "values" in content else content["tagged"]
        errors = msgspec.convert(content["errors"], tuple[RowError, ...])
        if not isinstance(values, dict):
            raise TypeError("no columns")  # noqa: TRY301 - said as all that is wrong here
        if "values" not in content:
            values = {name: plain(value) for name, value in values.items()}
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"a row's record is not what was written: {error!r}") from error
    return RowRecord(index, checked_key(identity), values, errors)


def checked_key(key: object) -> bytes:
    """A key or identity, if it is one.

    Raises:
        ValueError: it is not.
    """
    if isinstance(key, bytes) and len(key) == KEY_BYTES:
        return key
    raise ValueError(f"a key is not of {KEY_BYTES} bytes")
