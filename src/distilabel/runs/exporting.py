"""The data set of what a run has finished so far, read from its journal.

Rules:

- The rows are those that were acknowledged, in the order of the input. Those that are missing leave
  no gap.
- Types are those that the run declared when it began: of the columns that it adds, and of the
  user's as far as the input declared them. The others are inferred from the values.
- It is the same whether the run was finished, stopped or killed; one under way is refused.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from distilabel.dataset.assembler import DatasetAssembler
from distilabel.dataset.schema import ResultSchema
from distilabel.errors import ConfigurationError
from distilabel.journal.database import read_all_rows
from distilabel.runs.details import opened_run
from distilabel.runs.listing import find_directory
from distilabel.tasks.saving import from_dict
from distilabel.types import Row

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from distilabel.dataset.custom import CustomDataset
    from distilabel.journal import RunDescription
    from distilabel.runs.details import OpenedRun
    from distilabel.runs.listing import NameLike
    from distilabel.tasks.base import Task

__all__ = ["export"]

_ROWS_AT_A_TIME = 256


def export(
    name_or_directory: NameLike, root: str | os.PathLike[str] | None = None
) -> CustomDataset:
    """The rows that a run has finished, as a data set.

    Columns are the user's that the run kept (images and audio are not kept), then the run's.

    Args:
        name_or_directory: a name under the root, or the path of a run directory.
        root: None: `DISTILABEL_RUNS`, else `./distilabel-runs`.

    Raises:
        ConfigurationError: there is no such run.
        RunLockedError: it is under way.
        JournalError: it cannot be read.
    """
    with opened_run(find_directory(name_or_directory, root)) as opened:
        features = _user_features(opened.description)
        assembler = DatasetAssembler(
            _schema(opened.description), keeps_user_columns=True, user_features=features
        )
        seen: set[str] = set()
        for row in _rows(opened):
            seen.update(row)
            assembler.add(row)
        summary = opened.details().summary()
        task = _task(opened.description)
    dataset = assembler.build(None, task=task, run=summary)
    never_kept = [name for name in features if name not in seen] if len(dataset) else []
    return dataset.remove_columns(never_kept) if never_kept else dataset


def _rows(opened: OpenedRun) -> Iterator[Row]:
    total = opened.run.total_rows
    for record in read_all_rows(opened.database, _ROWS_AT_A_TIME):
        if total is not None and record.index >= total:
            return  # of an earlier start, when the source was longer
        yield Row(record.values, index=record.index, errors=record.errors)


def _schema(description: RunDescription) -> ResultSchema:
    with suppress(ConfigurationError):
        return ResultSchema.from_dict(description.columns or {})
    return ResultSchema(())


def _user_features(description: RunDescription) -> Mapping[str, Any]:
    from datasets import Features

    try:
        features: Mapping[str, Any] = Features.from_dict(description.user_features)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return features


def _task(description: RunDescription) -> Task | None:
    if description.task is not None:
        with suppress(ConfigurationError):  # a class of the user's, which is not imported here
            return from_dict(description.task)
    return None
