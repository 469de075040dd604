"""Keys: what decides a reply, as 16 bytes. Pure.

Rules:

- Everything is written out with its type and its length before it is hashed, so that no two
  different things are written alike. Hashed with BLAKE2b. A change of what is written changes every
  key, and every earlier run is bought again: a test pins some.
- Mappings count without their order, sequences with it. A list and a tuple are the same; True, 1,
  "1" and b"1" are four. 1 and 1.0 are two in a row (they read differently in a prompt) and one in
  settings (they are the same to a server).
- What lies deeper than 100 lists and mappings counts alike.
- What is no plain value counts by its type and by what it holds: arrays and images by their bytes,
  dataclasses by their fields, dates and paths by their text. Never by an address in memory: of an
  object that has nothing better to show, the type alone counts.
"""

from __future__ import annotations

import datetime as dt
import re
import struct
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from distilabel.journal.records import KEY_BYTES

if TYPE_CHECKING:
    from distilabel.types import PromptText

__all__ = ["call_key", "row_identity", "settings_digest"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DEPTH_MAX = 100
_WHOLE_FLOAT_MAX = 2.0**53
_PLAIN: tuple[Any, ...] = (str, int, float, bytes, list, tuple)


def settings_digest(settings: Mapping[str, Any]) -> bytes:
    """The digest of a backend's or a run's settings.

    >>> settings_digest({"a": 1, "b": [0.5]}) == settings_digest({"b": [0.5], "a": 1.0})
    True
    """
    return _digest(b"settings", _written(_whole(settings)))


def row_identity(inputs: Mapping[str, Any]) -> bytes:
    """The digest of what a row brings.

    >>> row_identity({"input": "Hi"}) == row_identity({"input": "Hi "})
    False
    """
    return _digest(b"row", _written(inputs))


def call_key(
    backend: bytes,
    prompt: PromptText,
    *,
    num_generations: int = 1,
    first_generation: int = 0,
    paid_try: int = 0,
    occurrence: int = 0,
) -> bytes:
    """The key of one call.

    Args:
        backend: `settings_digest` of the backend: origin, route, model, parameters. Never a key, a
            timeout or a limit.
        prompt: as it is sent.
        num_generations: how many texts are asked for.
        first_generation: which of the row's generations the first of them is.
        paid_try: how many replies to this same call were paid for and of no use.
        occurrence: how many earlier rows of the input are the same; see `Occurrences`.
    """
    numbers = struct.pack("<4q", num_generations, first_generation, paid_try, occurrence)
    return _digest(b"call", _text(b"b", backend) + numbers + _written_prompt(prompt))


def _written_prompt(prompt: PromptText) -> bytes:
    """As `_written`, but quick for what prompts are: a text, or messages of two texts."""
    if isinstance(prompt, str):
        return _written(prompt)
    parts = [b"c%d:" % len(prompt)]
    for message in prompt:
        role, content = message.get("role"), message.get("content")
        if type(role) is str and type(content) is str and len(message) == 2:
            role_bytes = role.encode("utf-8", "surrogatepass")
            content_bytes = content.encode("utf-8", "surrogatepass")
            parts.append(b"m%d:%d:" % (len(role_bytes), len(content_bytes)))
            parts += (role_bytes, content_bytes)
        else:
            parts.append(_written(message))
    return b"".join(parts)


def _digest(what: bytes, written: bytes) -> bytes:
    return blake2b(written, digest_size=KEY_BYTES, person=what).digest()


def _text(kind: bytes, content: bytes) -> bytes:
    return b"%b%d:%b" % (kind, len(content), content)


def _written(value: Any, depth: int = 0) -> bytes:
    """The value, so that no other value is written like it."""
    if type(value) is str:
        return _text(b"s", value.encode("utf-8", "surrogatepass"))
    if depth > _DEPTH_MAX:
        return b"*"
    if type(value) is dict:
        return _written_mapping(value, depth)
    if type(value) is list or type(value) is tuple:
        return _written_list(value, depth)
    return _written_scalar(value) or _written_other(value, depth)


def _written_mapping(value: Mapping[Any, Any], depth: int) -> bytes:
    pairs = sorted(
        (_written(key, depth + 1), _written(item, depth + 1)) for key, item in value.items()
    )
    return b"d%d:" % len(pairs) + b"".join([part for pair in pairs for part in pair])


def _written_list(value: Sequence[Any], depth: int) -> bytes:
    return b"l%d:" % len(value) + b"".join([_written(item, depth + 1) for item in value])


def _written_scalar(value: Any) -> bytes:
    """None, a truth value, a number, bytes; b"" for anything else."""
    kind = type(value)
    if value is None:
        return b"n"
    if kind is bool:
        return b"t" if value else b"f"
    if kind is int:
        return b"i%x:" % value
    if kind is float:
        return b"r" + struct.pack("<d", value)
    if kind is bytes or kind is bytearray:
        return _text(b"b", bytes(value))
    return b""


def _written_other(value: Any, depth: int) -> bytes:
    if isinstance(value, Enum):
        return _named(value, _written(value.value, depth + 1))
    for plain in _PLAIN:
        if isinstance(value, plain):  # of a subclass: numpy's text, for one
            return _written(plain(value), depth)
    if isinstance(value, Mapping):
        return _written_mapping(value, depth)
    if isinstance(value, AbstractSet):
        return b"e%d:" % len(value) + b"".join(sorted(_written(item, depth + 1) for item in value))
    return _named(value, _held(value, depth))


def _held(value: Any, depth: int) -> bytes:
    """What an object of a type that we do not know holds, as far as it shows."""
    if isinstance(value, dt.date | dt.time | dt.timedelta | Decimal | UUID | PurePath):
        return _written(str(value))
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # an array, or one number of it
        return _written_array(value, depth)
    if hasattr(value, "mode") and hasattr(value, "size") and hasattr(value, "tobytes"):  # an image
        return _written([str(value.mode), list(value.size), value.tobytes()], depth)
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        return _written_mapping(held, depth)
    return _written(_ADDRESS.sub("", repr(value)))


def _written_array(value: Any, depth: int) -> bytes:
    shape = [int(length) for length in value.shape]
    if hasattr(value, "tobytes") and not getattr(value.dtype, "hasobject", True):
        return _written([str(value.dtype), shape, value.tobytes()], depth)
    return _written([str(value.dtype), shape, value.tolist()], depth)


def _named(value: object, held: bytes) -> bytes:
    kind = type(value)
    return b"o" + _text(b"s", f"{kind.__module__}.{kind.__qualname__}".encode()) + held


def _whole(value: Any) -> Any:
    """Settings with whole numbers as such: 1.0 is 1."""
    if type(value) is float and value.is_integer() and abs(value) <= _WHOLE_FLOAT_MAX:
        return int(value)
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return value
