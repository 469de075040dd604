"""Where a report's rows and calls come from: a data set, one that was saved, or a run's directory.

Rules:

- Nothing is decoded but text, numbers and lists of them: no image, no audio.
- Of a run's directory, its lock is held while it is read; one that is under way is refused.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from distilabel.dataset.schema import CALL_METADATA
from distilabel.errors import ColumnError, ConfigurationError
from distilabel.journal.database import read_all_rows
from distilabel.runs.details import opened_run
from distilabel.runs.listing import find_directory
from distilabel.types import RowError, RunSummary, Usage
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    import datasets

    from distilabel.journal.database import Database
    from distilabel.runs.details import OpenedRun

__all__ = ["TEXT_COLUMNS", "CallFact", "ReportRow", "ReportSource", "opened_source"]

TEXT_COLUMNS: Final = ("generations", "raw_generation_responses")
"""Where the texts are: what the task made of the replies, or else the replies."""

_ROWS_AT_A_TIME: Final = 256
_SAVED_MARK: Final = "dataset_info.json"
_SPLITS_MARK: Final = "dataset_dict.json"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A row, with what went wrong in it as far as that is known."""

    index: int
    values: Mapping[str, Any]
    errors: tuple[RowError, ...] = ()


@dataclass(frozen=True, slots=True)
class CallFact:
    """What is told of one call."""

    stage: str
    seconds: float | None = None
    """From the first attempt's start to the reply, waits included; None: it failed."""
    finish_reasons: tuple[str | None, ...] = ()
    cause: str | None = None
    """Why it was given up; None: it was not."""


@dataclass(frozen=True, slots=True)
class ReportSource:
    """All that a report is made from."""

    name: str
    total: int
    """How many rows there are."""
    rows: Iterable[ReportRow]
    """To be read once, in order."""
    columns: tuple[str, ...]
    summary: RunSummary | None
    """None: nothing is known of a run."""
    calls: Iterable[CallFact] | None = None
    """To be read once; None: they are in the rows, or not known."""
    has_errors: bool = False
    """Whether the rows know what went wrong in them."""
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """What else is known: state, begin, directory."""

    @property
    def has_calls(self) -> bool:
        """Whether anything is known of single calls."""
        return self.calls is not None or CALL_METADATA in self.columns


@contextmanager
def opened_source(
    source: datasets.Dataset | str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> Generator[ReportSource]:
    """The rows and calls of a data set or run, to be read within the block.

    Args:
        source: a data set, the directory of one, a run directory, or a run's name under the root.
        root: where names of runs are looked for; None: `DISTILABEL_RUNS`, else `./distilabel-runs`.

    Raises:
        ConfigurationError: there is no such thing, or it is a dict of data sets.
        ColumnError: there are no texts in it.
        RunLockedError: the run is under way.
        JournalError: the run cannot be read.
    """
    if not isinstance(source, str | os.PathLike):
        yield _of_dataset(source, "Data set")
        return
    saved = _saved_dataset(Path(source))
    if saved is not None:
        yield _of_dataset(saved, Path(os.path.abspath(source)).name)  # noqa: PTH100 - a link's name
        return
    with opened_run(find_directory(source, root)) as opened:
        yield _of_run(opened)


def _saved_dataset(path: Path) -> datasets.Dataset | None:
    if (path / _SPLITS_MARK).is_file():
        raise ConfigurationError(
            f"{path} holds several data sets. Name one of them: the directory of a split in it."
        )
    if path.suffix and path.is_file():
        raise ConfigurationError(
            f"{path} is a file. A report is made of the directory of a saved data set or of a run; "
            "`distilabel runs` lists runs."
        )
    if not (path / _SAVED_MARK).is_file():
        return None
    from distilabel.dataset import CustomDataset

    try:
        return CustomDataset.load_from_disk(path)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"{path} holds no data set that can be loaded: {one_line(str(error))}"
        ) from error


def _of_dataset(dataset: datasets.Dataset, name: str) -> ReportSource:
    from distilabel.dataset import CustomDataset

    columns = [each for each in dataset.column_names if _is_plain(dataset.features[each])]
    _check_columns(columns)
    summary = dataset.run if isinstance(dataset, CustomDataset) else None
    return ReportSource(
        name,
        len(dataset),
        _dataset_rows(dataset.with_format(None).select_columns(columns)),
        tuple(columns),
        None if summary == RunSummary() else summary,
    )


def _is_plain(feature: Any) -> bool:
    """Whether a column is text, numbers, or lists and dicts of them."""
    from datasets import LargeList, List, Value

    if isinstance(feature, dict):
        return all(map(_is_plain, feature.values()))
    if isinstance(feature, List | LargeList):
        return _is_plain(feature.feature)
    if isinstance(feature, list):
        return all(map(_is_plain, feature))
    return isinstance(feature, Value) and feature.dtype not in {"binary", "large_binary"}


def _check_columns(columns: list[str]) -> None:
    if not any(name in columns for name in TEXT_COLUMNS):
        raise ColumnError(
            f"a report needs a column {TEXT_COLUMNS[0]!r}, the texts that a generator makes. This "
            f"data set has: {', '.join(columns) or 'none'}.",
            column=TEXT_COLUMNS[0],
            available=columns,
        )


def _dataset_rows(dataset: datasets.Dataset) -> Iterator[ReportRow]:
    index = 0
    batch: Any  # a dict of columns, though its type says otherwise
    for batch in dataset.iter(batch_size=_ROWS_AT_A_TIME):
        names = list(batch)
        for values in zip(*batch.values(), strict=True):
            yield ReportRow(index, dict(zip(names, values, strict=True)))
            index += 1


def _of_run(opened: OpenedRun) -> ReportSource:
    run, details = opened.run, opened.details()
    facts = {"state": run.state, "version": run.version}
    if run.total_rows is not None and run.rows < run.total_rows:
        facts["rows finished"] = f"{run.rows:,} of {run.total_rows:,}"
    if run.created is not None:
        facts["begun"] = f"{run.created:%Y-%m-%d %H:%M:%S %Z}"
    if run.updated is not None:
        facts["last written"] = f"{run.updated:%Y-%m-%d %H:%M:%S %Z}"
    columns = {name: None for record in opened.database.rows(limit=1) for name in record.values}
    return ReportSource(
        run.name,
        run.rows if run.total_rows is None else min(run.rows, run.total_rows),
        _run_rows(opened.database, run.total_rows),
        tuple(columns),
        details.summary(),
        opened.database.each_call(_read_call),
        has_errors=True,
        facts=facts,
    )


def _run_rows(database: Database, total: int | None) -> Iterator[ReportRow]:
    for record in read_all_rows(database, _ROWS_AT_A_TIME):
        if total is not None and record.index >= total:
            return  # of an earlier start, when the source was longer
        yield ReportRow(record.index, record.values, record.errors)


class _Reply(msgspec.Struct):
    finish_reasons: tuple[str | None, ...] = ()
    usage: Usage | None = None


class _Meta(msgspec.Struct):
    seconds: float = 0.0


class _StoredCall(msgspec.Struct):
    reply: _Reply
    meta: _Meta


_call_decoder = msgspec.json.Decoder(_StoredCall)


def _read_call(stage: object, blob: bytes) -> CallFact:
    call = _call_decoder.decode(blob)
    return CallFact(str(stage), call.meta.seconds, call.reply.finish_reasons)
