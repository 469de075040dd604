"""Where the command line's rows come from: files, directories and standard input.

Rules:

- A file is checked to its end before the first call: a mistake in its last line costs nothing.
- Of JSON lines a file is never held whole: the places of its lines are. Standard input is read line
  by line, when a row is wanted. CSV and Parquet are held in memory.
- The column with the prompts becomes `input`, in its place.
"""

from __future__ import annotations

import csv
import os
import sys
from array import array
from collections.abc import Sequence
from errno import ENOENT
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, overload

import msgspec

from distilabel.cli.pipes import read_lines
from distilabel.errors import ColumnError, ConfigurationError
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import datasets

    from distilabel.cli.recipe import Recipe
    from distilabel.pipeline.source import RowsLike

__all__ = ["JsonLines", "open_rows"]

_COLUMN: Final = "input"
_CELL_CHARACTERS_MAX: Final = 16 * 2**20
_BOM: Final = b"\xef\xbb\xbf"
_READ: Final = "a file that ends with .jsonl, .csv or .parquet, a directory, or - for JSON lines"
_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def open_rows(recipe: Recipe) -> RowsLike:
    """The rows of a recipe.

    Raises:
        ConfigurationError: there are none, or they cannot be read.
    """
    source, column = recipe.input, recipe.input_column
    if recipe.limit is not None and recipe.limit < 1:
        raise ConfigurationError(f"limit must be at least 1, not {recipe.limit}")
    if source is None:
        raise ConfigurationError(f"there is no input. Name {_READ}")
    if isinstance(source, list):
        return [
            _renamed(row, column, f"row {place}")
            for place, row in enumerate(source[: recipe.limit])
        ]
    if source == "-":
        if sys.stdin is None:
            raise ConfigurationError("standard input is closed. Name a file in place of -.")
        return _stream(sys.stdin.fileno(), "standard input", column, recipe.limit)
    path = Path(source)
    try:
        if path.is_dir():
            return _of_dataset(_load_directory(path), column, recipe.limit)
        if path.exists() and not path.is_file():  # a pipe with a name, as shells make them
            return _stream(os.open(path, os.O_RDONLY), source, column, recipe.limit)
        return _of_file(path, column, recipe.limit)
    except FileNotFoundError as error:  # Arrow's says nothing but the name
        raise ConfigurationError(f"{path} cannot be read: {os.strerror(ENOENT)}") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error


def _of_file(path: Path, column: str, limit: int | None) -> RowsLike:
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return JsonLines(path, column, limit)
        case ".csv":
            return _read_csv(path, column, limit)
        case ".parquet":
            return _of_dataset(_read_parquet(path), column, limit)
        case _:
            problem = "cannot be read as rows" if path.exists() else "does not exist"
            raise ConfigurationError(f"{path} {problem}. What can be read is {_READ}.")


class JsonLines(Sequence[dict[str, Any]]):
    """The rows of a file of JSON lines, read where they lie.

    Args:
        path: the file; empty lines are passed over.
        column: the column that becomes `input`.
        limit: the first so many rows; None: all.

    Raises:
        ConfigurationError: a line is no JSON object, or lacks the column.
    """

    def __init__(self, path: Path, column: str = _COLUMN, limit: int | None = None) -> None:
        self._path = path
        self._column = column
        self._places = array("q")
        place = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                place, start = place + len(line), place
                if not line.strip():
                    continue
                if limit is not None and len(self._places) == limit:
                    place = start
                    break
                self._row(line, f"line {number} of {path}")
                self._places.append(start)
        self._end = place

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return self._read(start, stop)[::step] if start < stop and step > 0 else []
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        return self._read(place, place + 1)[0]

    def _read(self, start: int, stop: int) -> list[dict[str, Any]]:
        end = self._places[stop] if stop < len(self) else self._end
        with self._path.open("rb") as file:
            file.seek(self._places[start])
            lines = file.read(end - self._places[start]).split(b"\n")
        rows = [self._row(line, f"a line of {self._path}") for line in lines if line.strip()]
        if len(rows) != stop - start:
            raise ConfigurationError(f"{self._path} was changed while it was read. Start again.")
        return rows

    def _row(self, line: bytes, where: str) -> dict[str, Any]:
        return _renamed(_decoded(line, where), self._column, where)


async def _stream(
    descriptor: int, name: str, column: str, limit: int | None
) -> AsyncGenerator[dict[str, Any]]:
    rows = number = 0
    async for line in read_lines(descriptor, name):
        number += 1
        if not line.strip():
            continue
        where = f"line {number} of {name}"
        yield _renamed(_decoded(line, where), column, where)
        rows += 1
        if rows == limit:
            return


def _decoded(line: bytes, where: str) -> dict[str, Any]:
    try:
        return _decoder.decode(line.removeprefix(_BOM))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f'{where} is no JSON object such as {{"input": "Say hello."}}: '
            f"{one_line(str(error), characters_max=120)}"
        ) from None


def _read_csv(path: Path, column: str, limit: int | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    csv.field_size_limit(_CELL_CHARACTERS_MAX)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            _check_header(header, path)
            for cells in reader:
                if limit is not None and len(rows) == limit:
                    break
                where = f"line {reader.line_num} of {path}"
                if cells and len(cells) != len(header):
                    raise ConfigurationError(
                        f"{where} has {len(cells)} cells, and the first line names {len(header)} "
                        "columns"
                    )
                if cells:
                    row = dict(zip(header, cells, strict=True))
                    rows.append(_renamed(_with_lists(row, where), column, where))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no CSV in UTF-8: {one_line(str(error))}") from None
    return rows


def _check_header(header: Sequence[str], path: Path) -> None:
    double = sorted({one_line(name) for name in header if header.count(name) > 1})
    if double or not header:
        problem = f"names twice: {', '.join(double)}" if double else "is empty"
        raise ConfigurationError(f"the first line of {path}, which names the columns, {problem}")


def _with_lists(row: dict[str, Any], where: str) -> dict[str, Any]:
    """`generations`, which this library writes into a cell as JSON, as the list that it is."""
    if (text := row.get("generations")) is not None:
        try:
            row["generations"] = msgspec.json.decode(text, type=list[str | None])
        except msgspec.DecodeError:
            raise ConfigurationError(
                f"{where}: the cell of `generations` is no JSON list of texts"
            ) from None
    return row


def _read_parquet(path: Path) -> datasets.Dataset:
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ConfigurationError(f"{path} is no Parquet: {one_line(str(error))}") from None
    return datasets.Dataset(table)


def _load_directory(path: Path) -> datasets.Dataset:
    from distilabel.dataset import CustomDataset

    if (path / "dataset_dict.json").is_file():
        splits = sorted(each.name for each in path.iterdir() if each.is_dir())
        raise ConfigurationError(f"{path} holds several splits; name one: {', '.join(splits)}")
    if not (path / "dataset_info.json").is_file():
        raise ConfigurationError(f"{path} holds no data set of save_to_disk. Name {_READ}.")
    return CustomDataset.load_from_disk(path)


def _of_dataset(dataset: datasets.Dataset, column: str, limit: int | None) -> RowsLike:
    if column != _COLUMN:
        _check_columns(dataset.column_names, column, "the data set")
        dataset = dataset.rename_column(column, _COLUMN)
    rows = dataset if limit is None else dataset.select(range(min(limit, len(dataset))))
    return cast("RowsLike", rows)


def _renamed(row: dict[str, Any], column: str, where: str) -> dict[str, Any]:
    _check_columns(row, column, where)
    if column == _COLUMN:
        return row
    return {(_COLUMN if name == column else name): value for name, value in row.items()}


def _check_columns(names: Sequence[str] | dict[str, Any], column: str, where: str) -> None:
    shown = ", ".join(one_line(name, characters_max=40) for name in list(names)[:20])
    if column not in names:
        raise ColumnError(
            f"{where} has no column {column!r}; it has: {shown}. Name the one that holds the "
            "prompts with --input-column.",
            column=column,
            available=tuple(names),
        )
    if column != _COLUMN and _COLUMN in names:
        raise ColumnError(
            f"{where} has a column {_COLUMN!r} beside {column!r}, which would take its name. "
            "Rename one of them.",
            column=_COLUMN,
            available=tuple(names),
        )
