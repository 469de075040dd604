"""Where rows come from: data sets, iterables and async iterables, all read in the same way.

Rules:

- Rows are read when they are asked for, `batch_size` at a time, and never held whole.
- What lies in memory (a list, a `datasets.Dataset`) is read where it is. Any other sync iterable
  may block (a file, a download), so it is read in a thread of its own.
- The first rows may be looked at before the run begins; they are handed out all the same.
- The iterable stays the user's: it is not closed here. What reads it is ours, and is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

from distilabel.errors import ConfigurationError
from distilabel.pipeline.reading import ReadingThread

if TYPE_CHECKING:
    import datasets

    from distilabel.types import InputRow

__all__ = [
    "RowSource",
    "Rows",
    "RowsLike",
    "as_dataset",
    "declared_features",
    "is_list",
    "is_read_again",
    "open_source",
    "plain_columns",
    "sampled",
]

RowsLike: TypeAlias = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""What rows may come from: data sets and `IterableDataset`s are iterables of mappings too."""

_DATASET_READ_ROWS = 128
"""Rows of a `datasets.Dataset` decoded at a time: one by one they cost fifteen times as much."""


_SAMPLE_ROWS = 100


class Rows(Protocol):
    """Rows with their place in the input, one at a time."""

    total: int | None
    """How many there are; None if that is not known."""

    async def take(self) -> tuple[int, InputRow] | None:
        """The next row and its place; None at the end."""
        ...


class RowSource:
    """Rows in the order of the input.

    Args:
        batches: lists of rows; no list is empty.
        total: how many rows there are; None if that is not known.
        columns: the rows' columns, if they are known before the first row is.
        can_look_ahead: rows may be read before they are needed: they are there, and not large.
    """

    def __init__(
        self,
        batches: AsyncGenerator[Sequence[Any]],
        *,
        total: int | None,
        columns: tuple[str, ...] | None,
        can_look_ahead: bool = False,
    ) -> None:
        self.total = total
        self.can_look_ahead = can_look_ahead
        self._columns = columns
        self._batches = batches
        self._ready: deque[Any] = deque()
        self._next_index = 0

    async def peek(self) -> InputRow | None:
        """The first row, which stays to be taken; None if there is none."""
        if not self._ready and not await self._read():
            return None
        return _checked(self._ready[0], self._next_index)

    @property
    def ready(self) -> int:
        """Rows that were read and not taken."""
        return len(self._ready)

    async def look(self, rows: int) -> list[InputRow]:
        """Up to so many of the next rows, which stay to be taken: of those that may be read."""
        while len(self._ready) < rows and (self.can_look_ahead or not self._ready):
            if not await self._read():
                break
        return [row for row in islice(self._ready, rows) if isinstance(row, Mapping)]

    async def columns(self) -> tuple[str, ...] | None:
        """The columns of the rows; None if there are no rows to tell."""
        if self._columns is None and (first := await self.peek()) is not None:
            self._columns = tuple(first)
        return self._columns

    async def take(self) -> tuple[int, InputRow] | None:
        """The next row and its place; None at the end."""
        if not self._ready and not await self._read():
            return None
        index, self._next_index = self._next_index, self._next_index + 1
        return index, _checked(self._ready.popleft(), index)

    async def aclose(self) -> None:
        """Read no more. Without it, the event loop would end the reading in a task of its own."""
        await self._batches.aclose()

    async def _read(self) -> bool:
        batch = await anext(self._batches, None)
        if batch is not None:
            self._ready.extend(batch)
        return batch is not None


def open_source(
    rows: RowsLike, *, batch_size: int, only_columns: Sequence[str] | None = None
) -> RowSource:
    """A source over whatever the user gave.

    Args:
        rows: a data set, an iterable or an async iterable of mappings.
        batch_size: how many rows are read at a time.
        only_columns: of a `datasets.Dataset`, read these alone (its other columns need not be
            decoded if nobody looks at them). None: all.

    Raises:
        ConfigurationError: it is none of those.
    """
    if (dataset := as_dataset(rows)) is not None:
        columns = tuple(dataset.column_names)
        read = dataset.with_format(None)
        if only_columns is not None:
            read = read.select_columns([name for name in columns if name in only_columns])
        batches = _in_place(_dataset_batches(read, max(batch_size, _DATASET_READ_ROWS)))
        is_light = set(read.column_names) <= set(plain_columns(rows))
        return RowSource(batches, total=len(dataset), columns=columns, can_look_ahead=is_light)
    if isinstance(rows, Mapping | str | bytes):
        raise ConfigurationError(_hint_for(rows))
    if _is_data_frame(rows):
        raise ConfigurationError(
            "rows must not be a data frame. Of pandas, give Dataset.from_pandas(rows, "
            "preserve_index=False); of polars, rows.to_dicts()."
        )
    if isinstance(rows, AsyncIterable):
        return RowSource(_async_batches(rows), total=None, columns=None)
    if isinstance(rows, Sequence):
        batches = _in_place(_list_batches(rows, batch_size))
        return RowSource(batches, total=len(rows), columns=None, can_look_ahead=True)
    if isinstance(rows, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        return RowSource(_thread_batches(rows, batch_size), total=None, columns=None)
    raise ConfigurationError(
        f"rows must be a datasets.Dataset, an IterableDataset, or an iterable of mappings, "
        f"not {type(rows).__name__}"
    )


def as_dataset(rows: object) -> datasets.Dataset | None:
    """`rows` if it is a `datasets.Dataset`; never imports datasets for those who do not use it."""
    if not _is_of_datasets(rows):
        return None
    import datasets  # the user has it loaded already

    return rows if isinstance(rows, datasets.Dataset) else None


def _is_of_datasets(rows: object) -> bool:
    return any(cls.__module__.startswith("datasets.") for cls in type(rows).__mro__)


def _is_data_frame(rows: object) -> bool:
    """Whether it iterates over columns and not over rows; known by its name, as nothing is loaded.

    Its names would be taken for its rows.
    """
    return any(
        cls.__name__ == "DataFrame" and cls.__module__.partition(".")[0] in {"pandas", "polars"}
        for cls in type(rows).__mro__
    )


def sampled(rows: RowsLike, first: InputRow | None, columns: Sequence[str]) -> list[Any]:
    """Rows to know the input by: the first and last of what lies in memory, else the first."""
    if (dataset := as_dataset(rows)) is not None:
        present = [name for name in columns if name in dataset.column_names]
        read = dataset.with_format(None).select_columns(present)
        places = _ends(len(read))
        return [read[place] for place in places] if present else []
    if isinstance(rows, Sequence):
        ends: list[Any] = [rows[place] for place in _ends(len(rows))]
        return [row for row in ends if isinstance(row, Mapping)]
    return [] if first is None else [first]


def _ends(total: int) -> list[int]:
    return sorted({*range(min(total, _SAMPLE_ROWS)), *range(max(0, total - _SAMPLE_ROWS), total)})


def declared_features(rows: RowsLike) -> Mapping[str, Any] | None:
    """The types that a `datasets.IterableDataset` declares for its columns, if it does."""
    if not _is_of_datasets(rows):
        return None
    features: Mapping[str, Any] | None = getattr(rows, "features", None)
    return features


def plain_columns(rows: RowsLike) -> tuple[str, ...]:
    """The columns of a `datasets.Dataset` that cost nothing to decode: no images, no audio."""
    dataset = as_dataset(rows)
    if dataset is None:
        return ()
    return tuple(n for n, kind in dataset.features.items() if not hasattr(kind, "decode_example"))


def is_list(rows: RowsLike) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether all rows lie in memory; another sequence may make each when it is asked for it."""
    return isinstance(rows, list | tuple)


def is_read_again(rows: RowsLike) -> bool:
    """Whether reading the rows once more gives them once more."""
    return as_dataset(rows) is not None or isinstance(rows, Sequence)


async def _in_place(batches: Iterator[Sequence[Any]]) -> AsyncGenerator[Sequence[Any]]:
    for batch in batches:
        yield batch


def _dataset_batches(dataset: datasets.Dataset, rows: int) -> Iterator[list[dict[str, Any]]]:
    names = dataset.column_names
    if not names:
        yield from _list_batches([{}] * len(dataset), rows)
        return
    batch: Any  # a dict of columns, though its type says otherwise
    for batch in dataset.iter(batch_size=rows):
        columns = [batch[name] for name in names]
        yield [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _list_batches(rows: Sequence[Any], batch_size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), batch_size):
        yield list(rows[start : start + batch_size])


async def _thread_batches(rows: Iterable[Any], batch_size: int) -> AsyncGenerator[list[Any]]:
    thread = ReadingThread(rows, batch_size)
    try:
        while batch := await thread.read():
            yield batch
    finally:
        thread.end()


async def _async_batches(rows: AsyncIterable[Any]) -> AsyncGenerator[list[Any]]:
    async for row in rows:
        yield [row]


def _checked(row: Any, index: int) -> InputRow:
    if isinstance(row, Mapping):
        return row
    raise ConfigurationError(
        f"row {index} is a {type(row).__name__}, not a mapping of column names to values. "
        f"Give rows such as {{'input': 'Say hello.'}}."
    )


def _hint_for(rows: Mapping[Any, Any] | str | bytes) -> str:
    if isinstance(rows, str | bytes):
        return "rows must not be a text. Give a list such as [{'input': 'Say hello.'}]."
    splits = [str(name) for name, value in rows.items() if as_dataset(value) is not None]
    if splits:
        return f"this is a DatasetDict; choose a split: {', '.join(splits)}."
    return "rows must not be one mapping. Give a list of them, or Dataset.from_dict(rows)."
