"""The result of a run: a `datasets.Dataset` that keeps its task and its summary.

`datasets.Dataset` builds most of its results as a plain `Dataset`, whatever class it was asked
through. So one rule covers all its methods, those of later releases included: what comes out of a
public method of a `CustomDataset` as a plain `Dataset`, or as a dict of them, takes over the class
and the origin of the data set it was asked of. The methods themselves are the inherited ones, and
so are fingerprints and caches.

An origin is a value: it is shared by all data sets made from one another and never copied.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any

import datasets

from distilabel.types import RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from distilabel.tasks.base import Task

__all__ = ["CustomDataset"]


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a data set came from."""

    task: Task | None = None
    run: RunSummary = field(default_factory=RunSummary)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Origin:
        return self


def _keeping_origin(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, with what it returns taken over by the data set it was asked of."""

    @wraps(method)
    def kept(self: CustomDataset, *args: Any, **kwargs: Any) -> Any:
        return self._take_over(method(self, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return kept


def _keeps_origin(cls: type[CustomDataset]) -> type[CustomDataset]:
    for name, method in vars(datasets.Dataset).items():
        if isinstance(method, FunctionType) and not name.startswith("_") and name not in vars(cls):
            setattr(cls, name, _keeping_origin(method))
    return cls


@_keeps_origin
class CustomDataset(datasets.Dataset):  # type: ignore[misc]  # datasets ships no types
    """A `datasets.Dataset` that remembers the task and the run that made it."""

    _origin: _Origin = _Origin()

    @classmethod
    def from_dataset(
        cls, dataset: datasets.Dataset, *, task: Task | None = None, run: RunSummary | None = None
    ) -> Self:
        """`dataset`, with an origin. Its data is shared, not copied."""
        return cls._restored(copy.deepcopy(vars(dataset)), _Origin(task, run or RunSummary()))

    @property
    def task(self) -> Task | None:
        """The labeller's task if there was a labeller, else the generator's."""
        return self._origin.task

    @property
    def run(self) -> RunSummary:
        """What the run did."""
        return self._origin.run

    @classmethod
    def _restored(cls, state: Mapping[str, Any], origin: _Origin) -> Self:
        new = cls.__new__(cls)
        new.__setstate__({**state, "_origin": origin})  # registers its temporary files, too
        return new

    def _take_over(self, result: Any) -> Any:
        if isinstance(result, dict):
            for name, split in result.items():
                result[name] = self._take_over(split)
            return result
        if type(result) is not datasets.Dataset:
            return result
        return self._restored(vars(result), self._origin)
