"""Values that JSON has no word for, written with a tag, so that they come back as they were.

Kept exactly: bytes, dates and times, `Decimal`, `UUID`, sets, mappings with keys such as these,
numpy scalars and arrays (of numbers, texts and times). As everywhere in JSON, tuples come back as
lists and numbers that are keys of a mapping as texts. Anything else is refused, with the name of
its column: what would come back as something else is not kept.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

__all__ = ["plain", "tagged"]

_TAG = "__distilabel__"
_JSON_KEYS = (str, int, float, bool, type(None))


def tagged(value: Any, *, where: str) -> Any:
    """The value in JSON's own types.

    Raises:
        TypeError: it is of a type that cannot be kept; `where` names the column.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [tagged(item, where=where) for item in value]
    if isinstance(value, Mapping):
        return _tagged_mapping(value, where)
    for name, (kind, write, _) in _KINDS.items():
        if isinstance(value, kind):
            return {_TAG: name, "value": write(value)}
    if isinstance(value, set | frozenset):
        return {_TAG: "set", "value": [tagged(item, where=where) for item in value]}
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        return _tagged_array(value, where)
    raise TypeError(
        f"the column {where!r} holds a {type(value).__module__}.{type(value).__qualname__}, "
        f"which cannot be kept on disk. Give the row plain values, or set enable_checkpoints=False."
    )


def plain(value: Any) -> Any:
    """The value that `tagged` wrote.

    Raises:
        ValueError: no value was written like this.
    """
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {name: plain(item) for name, item in value.items()}
    try:
        return _read_tagged(value[_TAG], value)
    except (TypeError, KeyError, ArithmeticError) as error:
        raise ValueError(f"a value is not what was written: {error!r}") from error


def _tagged_mapping(value: Mapping[Any, Any], where: str) -> Any:
    if _TAG not in value and all(isinstance(key, _JSON_KEYS) for key in value):
        return {key: tagged(item, where=where) for key, item in value.items()}
    pairs = [[tagged(key, where=where), tagged(item, where=where)] for key, item in value.items()]
    return {_TAG: "mapping", "value": pairs}


def _tagged_array(value: Any, where: str) -> Any:
    if value.dtype.kind not in "biufcSUMm":
        raise TypeError(f"the column {where!r} holds an array of {value.dtype}, not of numbers")
    data = base64.b64encode(value.tobytes()).decode()
    return {_TAG: "array", "dtype": value.dtype.str, "shape": list(value.shape), "value": data}


def _read_tagged(name: str, value: Mapping[str, Any]) -> Any:
    content = value["value"]
    if name in _KINDS:
        return _KINDS[name][2](content)
    if name == "set":
        return {plain(item) for item in content}
    if name == "mapping":
        return {plain(key): plain(item) for key, item in content}
    if name == "array":
        return _read_array(value)
    raise ValueError(f"no value is tagged {name!r}")


def _read_array(value: Mapping[str, Any]) -> Any:
    import numpy as np

    dtype = np.dtype(str(value["dtype"]))
    if dtype.hasobject:
        raise ValueError("an array of objects is never written")
    array = np.frombuffer(base64.b64decode(value["value"]), dtype).reshape(value["shape"]).copy()
    return array if array.shape else array[()]


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _read_bytearray(text: str) -> bytearray:
    return bytearray(base64.b64decode(text))


def _write_timedelta(value: dt.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _read_timedelta(parts: list[int]) -> dt.timedelta:
    return dt.timedelta(*parts)


_KINDS: Mapping[str, tuple[type, Any, Any]] = {
    "bytes": (bytes, _write_bytes, base64.b64decode),
    "bytearray": (bytearray, _write_bytes, _read_bytearray),
    "datetime": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "time": (dt.time, dt.time.isoformat, dt.time.fromisoformat),
    "timedelta": (dt.timedelta, _write_timedelta, _read_timedelta),
    "Decimal": (Decimal, str, Decimal),
    "UUID": (UUID, str, UUID),
}
"""By tag: the type, how it is written and how it is read. A datetime is a date: order counts."""
