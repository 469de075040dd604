"""Whether the columns of rows that lie in memory can be stored, told before anything is paid. Pure.

- Arrow alone decides, with the very inference that makes the data set. But it takes time to load,
  so it is asked only about columns whose values are not all of one plain kind.
- Nothing is refused that could be stored. Of values that are not plain Python it is not known what
  they become, so these count only if Arrow refuses one by itself.
- At most `VALUES_MAX` values in lists and mappings are looked at; what lies behind is found at the
  end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from distilabel.dataset.columns import REFUSALS, storable
from distilabel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ["VALUES_MAX", "check_storable"]

VALUES_MAX: Final = 200_000

_SCALARS: Final = frozenset({str, int, float, bool, bytes})
_NESTS: Final = frozenset({list, tuple, dict})
_NUMBERS: Final = frozenset({int, float})
_EXACT: Final = 2**53
"""Whole numbers up to it are floats, too."""


def check_storable(rows: Sequence[Any], *, without: Collection[str] = ()) -> None:
    """Raise for a column of the rows that no data set can hold.

    Args:
        rows: all rows of a run. What is no mapping among them is passed over.
        without: columns that are not looked at.

    Raises:
        ConfigurationError: says which column, and what Arrow says of it.
    """
    known = [row for row in rows if isinstance(row, Mapping)]
    names = dict.fromkeys(name for row in known for name in row if name not in without)
    for name in names:
        values = [row.get(name) for row in known]
        if not _is_plain(values) and (refusal := _refusal(values)) is not None:
            raise ConfigurationError(
                f"the values of the input's column {name!r} have no common type that can be "
                f"stored: {refusal}. Make them alike, or leave the column out. Nothing was spent."
            ) from refusal


def _is_plain(values: Sequence[Any]) -> bool:
    """Whether all of them are scalars of one kind, and no number is too large for all types."""
    kinds = {*map(type, values)} - {type(None)}
    if kinds <= _NUMBERS:
        return int not in kinds or all(v is None or -_EXACT <= v <= _EXACT for v in values)
    return len(kinds) == 1 and kinds <= _SCALARS


def _refusal(values: Sequence[Any]) -> Exception | None:
    foreign: dict[type, Any] = {}
    seen: dict[tuple[str, ...], set[type]] = {}
    left = VALUES_MAX
    for value in values:
        for path, kind in _kinds(value, ()):
            seen.setdefault(path, set()).add(kind)
            if kind not in _SCALARS and kind not in _NESTS:
                foreign.setdefault(kind, value)
            left -= bool(path)
        if left <= 0:
            return None
    if foreign:
        is_refused = any(_why_not([value]) is not None for value in foreign.values())
    else:
        has_large = int in seen.get((), set())  # or it were plain
        is_refused = has_large or any(
            len(kinds) > 1 and not kinds <= _NUMBERS for kinds in seen.values()
        )
    return _why_not(values) if is_refused else None


def _kinds(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], type]]:
    """The types of a value and of all that it holds, each with where it lies."""
    if value is None:
        return
    yield path, type(value)
    if type(value) in {list, tuple}:
        for entry in value:
            yield from _kinds(entry, (*path, "[]"))
    elif type(value) is dict:
        for key, entry in value.items():
            yield from _kinds(entry, (*path, str(key)))


def _why_not(values: Sequence[Any]) -> Exception | None:
    try:
        storable(values, None)
    except REFUSALS as refusal:
        return refusal
    return None
