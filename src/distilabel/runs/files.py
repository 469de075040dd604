"""A data set as a file or a directory, written whole or not at all.

Rules:

- What is written is first a file (or directory) of another name beside; it is on disk before it
  takes the name that was asked for. A run that is killed leaves what was there.
- What exists is replaced only if that is asked for. A directory is replaced only if it holds a
  saved data set, or nothing.
- JSON lines are text without control characters: those that JSON would let through, as a terminal
  obeys them, are written as escapes.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import shutil
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec

from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.naming import named

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    import datasets

__all__ = ["check_output", "json_line", "save", "write_json_lines"]

_ROWS_AT_A_TIME: Final = 200
_CONTROL: Final = re.compile("[\x7f-\x9f\u2028\u2029]")
_INSTEAD: Final = (
    "Choose another name, or have it replaced: " + named("replace", python="replace=True") + "."
)
_MARKS: Final = ("dataset_info.json", "state.json")
"""What `datasets` writes into every directory that it saves to."""


def save(dataset: datasets.Dataset, path: str | os.PathLike[str], *, replace: bool = False) -> None:
    """Write a data set to `….jsonl`, `….parquet`, `….csv`, or else a directory.

    In a CSV file, lists are JSON and None is an empty cell.

    Args:
        dataset: any data set.
        path: the ending says the format. A directory has no ending, or a separator at the end; it
            is written by `save_to_disk`.
        replace: replace what is there.

    Raises:
        ConfigurationError: something is there already, the ending is not known, or the place is
            none that can be written to.
        DistilabelError: it cannot be written.
    """
    write = check_output(path, replace=replace)
    target = Path(os.path.abspath(path))  # noqa: PTH100 - whose last part is a name
    try:
        if write is None:
            _save_directory(dataset, target, replace=replace)
        else:
            with _whole_file(target, replace=replace) as file:
                write(dataset, file)
    except OSError as error:
        raise DistilabelError(
            f"the data set cannot be written to {target}: {error.strerror or error}. What was "
            "there is unchanged."
        ) from error


def check_output(
    path: str | os.PathLike[str], *, replace: bool
) -> Callable[[datasets.Dataset, BinaryIO], None] | None:
    """What writes a file of this name; None: it is a directory.

    That the place can be written to is tried out: an empty file is made beside, and removed.

    Raises:
        ConfigurationError: nothing is to be written there, or nothing can be.
    """
    write = _writer_of(path, replace=replace)
    _try_place(Path(os.path.abspath(path)), is_file=write is not None)  # noqa: PTH100 - as in save
    return write


def _try_place(target: Path, *, is_file: bool) -> None:
    """Refuse a place where nothing can be made.

    The directories above a directory are made with it, as far as they are not there.
    """
    place = target.parent
    while not (is_file or os.path.lexists(place)):
        place = place.parent
    draft = _draft_of(place / target.name)
    try:
        draft.open("xb").close()
        draft.unlink()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not os.path.lexists(place):
            raise ConfigurationError(
                f"{target} cannot be written: there is no directory {place}. Make it, mkdir -p "
                f"{shlex.quote(str(place))}, or choose another place."
            ) from error
        raise ConfigurationError(
            f"{target} cannot be written: nothing can be made in {place} "
            f"({error.strerror or error}). Choose another place, or look at its owner and rights."
        ) from error


def _writer_of(
    path: str | os.PathLike[str], *, replace: bool
) -> Callable[[datasets.Dataset, BinaryIO], None] | None:
    target, is_directory = Path(path), os.fspath(path).endswith(os.sep)
    write = None if is_directory else _WRITERS.get(target.suffix.lower())
    if write is None and target.suffix and not is_directory and not target.is_dir():
        raise ConfigurationError(
            f"{target} ends with {target.suffix}, and what can be written is "
            f"{', '.join(_WRITERS)}, or a directory: its name has no ending, or {os.sep} after it."
        )
    if not os.path.lexists(target):
        return write
    if write is not None:
        if target.is_dir():
            raise ConfigurationError(f"{target} is a directory. Name a file.")
        if not replace:
            raise ConfigurationError(f"{target} exists. " + _INSTEAD)
    elif not _may_replace_directory(target, replace=replace):
        raise ConfigurationError(
            f"{target} exists. " + _INSTEAD
            if _is_saved_dataset(target)
            else f"{target} exists and is no saved data set, so it is left alone. Choose another."
        )
    return write


def _may_replace_directory(target: Path, *, replace: bool) -> bool:
    if target.is_symlink() or not target.is_dir():
        return False
    return not any(target.iterdir()) or (replace and _is_saved_dataset(target))


def _is_saved_dataset(directory: Path) -> bool:
    return not directory.is_symlink() and all((directory / name).is_file() for name in _MARKS)


def write_json_lines(dataset: datasets.Dataset, file: BinaryIO) -> None:
    """A line of JSON for each row; what is no text, number or list is written as text."""
    file.writelines(json_line(row).encode() + b"\n" for row in _rows(dataset))


def _write_csv(dataset: datasets.Dataset, file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    lines = csv.writer(text)
    lines.writerow(dataset.column_names)
    for row in _rows(dataset):
        lines.writerow([_cell(value) for value in row.values()])
    text.detach()


def _write_parquet(dataset: datasets.Dataset, file: BinaryIO) -> None:
    with _no_progress_bars():
        dataset.to_parquet(file)


_WRITERS: Final[Mapping[str, Callable[[Any, BinaryIO], None]]] = {
    ".jsonl": write_json_lines,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}


def _rows(dataset: datasets.Dataset) -> Iterator[dict[str, Any]]:
    names = dataset.column_names
    batch: Any  # a dict of columns, though its type says otherwise
    for batch in dataset.with_format(None).iter(batch_size=_ROWS_AT_A_TIME) if names else ():
        for values in zip(*(batch[name] for name in names), strict=True):
            yield dict(zip(names, values, strict=True))


def json_line(value: Any) -> str:
    """A value as JSON in one line, without control characters.

    Raises:
        ConfigurationError: it holds what is no text, number, list or mapping.
    """
    text = msgspec.json.encode(value, enc_hook=_refuse).decode()
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _refuse(value: object) -> object:
    raise ConfigurationError(
        f"a {type(value).__name__} cannot be written as text. Export to .parquet or a directory."
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    text = json_line(value)
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text


@contextmanager
def _no_progress_bars() -> Generator[None]:
    import datasets

    if datasets.utils.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


@contextmanager
def _whole_file(target: Path, *, replace: bool) -> Generator[BinaryIO]:
    """A file that is at `target` once the block has ended well."""
    draft = _draft_of(target)
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(target)
        else:
            _rename_to_nothing(draft, target)
        _sync(target.absolute().parent)
    finally:
        draft.unlink(missing_ok=True)


def _rename_to_nothing(draft: Path, target: Path) -> None:
    """Rename, but not over something that came there meanwhile."""
    try:
        target.hardlink_to(draft)
    except FileExistsError as error:
        raise ConfigurationError(f"{target} exists. " + _INSTEAD) from error
    except OSError:  # a file system without hard links
        draft.replace(target)


def _save_directory(dataset: datasets.Dataset, target: Path, *, replace: bool) -> None:
    draft, aside = _draft_of(target), _draft_of(target)
    try:
        with _no_progress_bars():
            dataset.save_to_disk(draft)
        for path in sorted(draft.rglob("*"), reverse=True):
            _sync(path)
        _sync(draft)
        if replace and target.is_dir() and _is_saved_dataset(target):
            target.rename(aside)
        try:
            draft.rename(target)  # an empty directory is replaced; the system refuses any other
        except OSError:
            if aside.exists():
                aside.rename(target)
            raise
        _sync(target.absolute().parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)


def _draft_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.{token_hex(4)}.tmp")


def _sync(path: Path) -> None:
    """Have it on disk; a directory, as far as it may be opened for that."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError) if path.is_dir() else nullcontext():
            os.fsync(fd)
    finally:
        os.close(fd)
