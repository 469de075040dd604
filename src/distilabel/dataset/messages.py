"""Lists of messages, and entries of lists, taken and put together as Arrow holds them. Pure.

A list array is one long array of all entries and the place at which each list begins. So entries
are taken by a place in that array, and lists are made by saying where they begin, without a Python
object for any of them.
"""

# pyarrow ships no types, so what crosses is annotated and pyright cannot look it up
# pyright: reportUnknownParameterType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["Numbers", "Places", "joined", "one_message", "read_messages"]

Numbers: TypeAlias = "npt.NDArray[np.int64]"


class Places:
    """A column of lists, of which entries are taken by row and place."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        lists = column.combine_chunks()
        self._values = lists.flatten()  # which passes over what lies behind a missing list
        self._lengths = _lengths(lists)
        self._starts = self._lengths.cumsum() - self._lengths

    def take(self, rows: Numbers, places: Numbers) -> pa.Array:
        """One entry for each row; None where its list is shorter."""
        import pyarrow as pa

        is_outside = places >= self._lengths[rows]
        return self._values.take(pa.array(self._starts[rows] + places, mask=is_outside))


def one_message(role: str, texts: pa.Array) -> pa.Array:
    """For each text a list of one message; None where there is no text, or a blank one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = texts.cast(pa.string())
    is_blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), fill_value=True)
    offsets = pa.array(np.arange(len(texts) + 1, dtype=np.int32))
    return _lists(offsets, pa.repeat(role, len(texts)), texts, is_missing=is_blank)


def read_messages(lists: pa.Array) -> pa.Array:
    """Lists of messages with `role` and `content`, in this order; None where there are none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths, values = _lengths(lists), lists.flatten()
    offsets = pa.array(np.concatenate([[0], lengths.cumsum()]).astype(np.int32))
    role, content = pc.struct_field(values, "role"), pc.struct_field(values, "content")
    return _lists(offsets, role, content, is_missing=pa.array(lengths == 0))


def joined(first: pa.Array, second: pa.Array) -> pa.Array:
    """Each list of messages followed by the other one; None where one of the two is None."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = _lengths(first), _lengths(second)
    before, after = first.flatten(), second.flatten()
    ends = counts[0].cumsum()
    places = np.insert(
        np.arange(len(before)), np.repeat(ends, counts[1]), len(before) + np.arange(len(after))
    )
    values = pa.concat_arrays([before, after]).take(pa.array(places))
    offsets = pa.array(np.concatenate([[0], (counts[0] + counts[1]).cumsum()]).astype(np.int32))
    is_missing = pc.or_(first.is_null(), second.is_null())
    parts = (pc.struct_field(values, name) for name in ("role", "content"))
    return _lists(offsets, *parts, is_missing=is_missing)


def _lists(
    offsets: pa.Array, roles: pa.Array, contents: pa.Array, *, is_missing: pa.Array
) -> pa.Array:
    import pyarrow as pa

    values = pa.StructArray.from_arrays([roles, contents], names=["role", "content"])
    return pa.ListArray.from_arrays(offsets, values, mask=is_missing)


def _lengths(lists: pa.Array) -> Numbers:
    import numpy as np
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    numbers: Numbers = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers
