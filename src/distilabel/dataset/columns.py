"""Rows in, in any order; Arrow columns out, in order. Pure.

- Python objects take about ten times the memory of Arrow, so rows are turned into Arrow chunk by
  chunk as they come. What is not yet turned is bounded by `_CHUNK_ROWS`.
- A declared column has its type from the start. Any other is inferred chunk by chunk; where the
  chunks disagree it is inferred again over the whole column. So neither the order in which rows
  come nor where a chunk ends shows in the result.
- A column that some rows do not have is None there.
- Arrow stores UTF-8, which has no lone surrogates, and models write them. They become U+FFFD, and
  only a chunk that Arrow has refused is searched for them.
"""

# pyarrow ships no types, so what crosses is annotated and pyright cannot look it up
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final

from distilabel.errors import ConfigurationError, DistilabelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from distilabel.types import Row

__all__ = ["REFUSALS", "ColumnStore", "storable"]

_CHUNK_ROWS: Final = 1_000
_TAKE_MAX_BYTES: Final = 2**30
"""Arrow's `take` joins all chunks of a column first, and a string column ends at 2 GiB."""
REFUSALS: Final = (ValueError, TypeError, OverflowError, NotImplementedError)
"""What Arrow raises for values that it cannot store; its own errors are among these."""


class ColumnStore:
    """Rows, kept as columns.

    Args:
        declared: gives the columns whose type is known. Called once, when it is first needed.
        names: the names of those columns.
        keeps_others: keep the rows' other columns too, with inferred types.
        mend: what to do about values of these that no type holds, in a sentence or two.
    """

    def __init__(
        self,
        declared: Callable[[], Mapping[str, pa.DataType]],
        *,
        names: Iterable[str],
        keeps_others: bool,
        mend: str,
    ) -> None:
        self._declare = declared
        self._names = tuple(names)
        self._keeps_others = keeps_others
        self._mend = mend
        self._types: Mapping[str, pa.DataType] | None = None
        self._pending: list[Row] = []
        self._indices = array("q")
        self._lengths: list[int] = []
        self._chunks: dict[str, dict[int, pa.Array]] = {name: {} for name in self._names}
        self._first_seen: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._indices) + len(self._pending)

    def add(self, row: Row) -> None:
        """Keep a row.

        Raises:
            DistilabelError: a value cannot be stored in its column. Found once a chunk is full.
        """
        self._pending.append(row)
        if len(self._pending) >= _CHUNK_ROWS:
            self._flush()

    def order(self) -> npt.NDArray[np.int64]:
        """The rows' indices in ascending order.

        Raises:
            ValueError: a row was added twice.
        """
        import numpy as np

        self._flush()
        indices = np.sort(np.frombuffer(self._indices, dtype=np.int64))
        twice = indices[1:][indices[1:] == indices[:-1]]
        if twice.size:
            raise ValueError(f"row {twice[0]} was added more than once")
        return indices

    def declared(self) -> dict[str, pa.ChunkedArray]:
        """The declared columns, sorted by the rows' indices."""
        self._flush()
        types = self._declared_types()
        return {name: self._sorted(self._filled(name, types[name])) for name in self._names}

    def others(self) -> dict[str, pa.ChunkedArray]:
        """The other columns, in the order in which they first appear, sorted likewise.

        Raises:
            DistilabelError: no type holds all values of a column.
        """
        self._flush()
        return {name: self._inferred(name) for name in sorted(self._first_seen, key=self._seen_at)}

    def _seen_at(self, name: str) -> tuple[int, int]:
        return self._first_seen[name]

    def _declared_types(self) -> Mapping[str, pa.DataType]:
        if self._types is None:
            self._types = self._declare()
        return self._types

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = sorted(self._pending, key=lambda row: row.index)
        chunk = {name: _to_arrow(name, rows, kind) for name, kind in self._declared_types().items()}
        if self._keeps_others:
            for name in self._note_others(rows):
                chunk[name] = self._infer(name, [row.get(name) for row in rows])
        for name, values in chunk.items():
            self._chunks.setdefault(name, {})[len(self._lengths)] = values
        self._indices.extend(row.index for row in rows)
        self._lengths.append(len(rows))
        self._pending.clear()

    def _note_others(self, rows: Sequence[Row]) -> list[str]:
        """The columns in `rows` that are not declared; where each was first seen is noted."""
        found: dict[str, tuple[int, int]] = {}
        for row in rows:
            for place, name in enumerate(row):
                if name not in found and name not in self._names:
                    found[name] = (row.index, place)
        for name, seen in found.items():
            self._first_seen[name] = min(seen, self._first_seen.get(name, seen))
        return list(found)

    def _filled(self, name: str, kind: pa.DataType) -> pa.ChunkedArray:
        """All chunks of a column, those without a value as nulls of the column's type."""
        import pyarrow as pa

        chunks: list[pa.Array] = []
        for chunk, length in self._pieces(name):
            if chunk is None or chunk.type != kind:
                chunks.append(pa.nulls(length, kind))
            else:  # Arrow cuts a chunk of more than 2 GiB into several
                chunks += chunk.chunks if isinstance(chunk, pa.ChunkedArray) else [chunk]
        return pa.chunked_array(chunks, type=kind)

    def _pieces(self, name: str) -> Iterable[tuple[pa.Array | None, int]]:
        chunks = self._chunks[name]
        return ((chunks.get(place), length) for place, length in enumerate(self._lengths))

    def _inferred(self, name: str) -> pa.ChunkedArray:
        import pyarrow as pa

        kinds = {chunk.type for chunk in self._chunks[name].values()} - {pa.null()}
        if len(kinds) <= 1:
            return self._sorted(self._filled(name, next(iter(kinds), pa.null())))
        values: list[Any] = []
        for chunk, length in self._pieces(name):
            values += [None] * length if chunk is None else chunk.to_pylist()
        places = self._places()
        whole = values if places is None else [values[place] for place in places]
        array = self._infer(name, whole)
        return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])

    def _infer(self, name: str, values: Sequence[Any]) -> pa.Array:
        try:
            return storable(values, None)
        except REFUSALS as refusal:
            raise DistilabelError(
                f"the values of the input's column {name!r} have no common type that can be "
                f"stored: {refusal}. {self._mend}"
            ) from refusal

    def _places(self) -> npt.NDArray[np.int64] | None:
        """Where the rows of the sorted columns lie; None if they are sorted already."""
        import numpy as np

        indices = np.frombuffer(self._indices, dtype=np.int64)
        if bool((indices[1:] > indices[:-1]).all()):
            return None
        return np.argsort(indices, kind="stable")

    def _sorted(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow as pa

        places = self._places()
        if places is None:
            return column
        if column.nbytes <= _TAKE_MAX_BYTES:
            return column.take(pa.array(places))
        parts = range(0, len(places), _CHUNK_ROWS)
        return pa.chunked_array(
            [_gather(column.chunks, places[start : start + _CHUNK_ROWS]) for start in parts]
        )


def _gather(chunks: Sequence[pa.Array], places: npt.NDArray[np.int64]) -> pa.Array:
    """The values at `places`, joining no more than these."""
    import numpy as np
    import pyarrow as pa

    starts = np.cumsum([0, *(len(chunk) for chunk in chunks)])
    homes = np.searchsorted(starts, places, side="right") - 1
    pieces = [
        chunks[home].take(pa.array(places[homes == home] - starts[home]))
        for home in np.unique(homes)
    ]
    return pa.concat_arrays(pieces).take(pa.array(np.argsort(np.argsort(homes, kind="stable"))))


def _to_arrow(name: str, rows: Sequence[Row], kind: pa.DataType) -> pa.Array:
    values = [row.get(name) for row in rows]
    try:
        return storable(values, kind)
    except REFUSALS as refusal:
        index, value = next(
            (row.index, value)
            for row, value in zip(rows, values, strict=True)
            if _is_refused(value, kind)
        )
        raise ConfigurationError(
            f"row {index} has {value!r:.200} in the column {name!r}, which holds {kind}. "
            "Correct what the task parses, or the type in its `output_columns`."
        ) from refusal


def _is_refused(value: Any, kind: pa.DataType) -> bool:
    try:
        storable([value], kind)
    except REFUSALS:
        return True
    return False


def storable(values: Sequence[Any], kind: pa.DataType | None) -> pa.Array:
    """The values in Arrow, lone surrogates replaced; raises one of `REFUSALS` if they cannot be.

    Args:
        values: of one column.
        kind: its type; None: inferred.
    """
    import pyarrow as pa

    try:
        array = pa.array(values, type=kind)
    except UnicodeEncodeError:
        array = pa.array([_without_surrogates(value) for value in values], type=kind)
    if kind is None and (strange := _strange(array.type)) is not None:
        raise TypeError(f"a data set has no column of Arrow's type {strange}")
    return array


def _strange(kind: pa.DataType) -> pa.DataType | None:
    """The type that Arrow infers, at any depth, and data sets do not have; None: there is none.

    Found are those of `uuid.UUID` and of calendar intervals.
    """
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_interval(kind):
        return kind
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    return next((odd for each in inner if (odd := _strange(each)) is not None), None)


def _without_surrogates(value: Any) -> Any:
    """`value` with U+FFFD for lone surrogates, at any depth. Two that form a pair are joined."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(val) for key, val in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(entry) for entry in value]
    return value
