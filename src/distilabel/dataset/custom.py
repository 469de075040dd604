"""The result of a run: a `datasets.Dataset` that keeps its task and its summary.

`datasets.Dataset` builds most of its results as a plain `Dataset`, whatever class it was asked
through. So one rule covers all its methods, those of later releases included: what comes out of a
public method of a `CustomDataset` as a plain `Dataset`, or as a dict of them, takes over the class
and the origin of the data set it was asked of. The methods themselves are the inherited ones, and
so are fingerprints and caches.
"""

from __future__ import annotations

import copy
from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import datasets

from distilabel.dataset.origin import Origin, read_origin, write_origin
from distilabel.types import RunSummary

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Self

    from distilabel.tasks.base import Task

__all__ = ["CustomDataset"]

_T = TypeVar("_T", bound="type[CustomDataset]")
_Kept: TypeAlias = "Callable[..., CustomDataset]"


def _kept(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, with what it returns taken over by the data set it was asked of."""

    @wraps(method)
    def kept(self: CustomDataset, *args: Any, **kwargs: Any) -> Any:
        return self._take_over(method(self, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return kept


def _keeps_origin(cls: _T) -> _T:
    for name, method in vars(datasets.Dataset).items():
        if isinstance(method, FunctionType) and not name.startswith("_") and name not in vars(cls):
            setattr(cls, name, _kept(method))
    return cls


@_keeps_origin
class CustomDataset(datasets.Dataset):  # type: ignore[misc]  # datasets ships no types
    """A `datasets.Dataset` that stays one of these, with its `task` and its `run`.

    Through select, map, shuffle, sort, filter, train_test_split and every other method that makes
    a data set of this one, and through pickling, copying, saving and loading.

    >>> from datasets import Dataset
    >>> dataset = CustomDataset.from_dataset(
    ...     Dataset.from_dict({"input": ["a", "b"]}), run=RunSummary(rows=2)
    ... )
    >>> dataset.select([1]).run.rows
    2
    """

    _origin: Origin = Origin()

    @classmethod
    def from_dataset(
        cls, dataset: datasets.Dataset, *, task: Task | None = None, run: RunSummary | None = None
    ) -> Self:
        """`dataset` with an origin. The data is shared, not copied."""
        return cls._restored(copy.deepcopy(vars(dataset)), Origin(task, run or RunSummary()))

    @property
    def task(self) -> Task | None:
        """The labeller's task if there was a labeller, else the generator's; None: not known.

        Raises:
            ConfigurationError: the data set was loaded, and the task's class is not imported yet.
        """
        return self._origin.task

    @property
    def run(self) -> RunSummary:
        """What the run did."""
        return self._origin.run

    def save_to_disk(  # pyright: ignore[reportIncompatibleMethodOverride]  # bytes are no path here
        self,
        dataset_path: str | os.PathLike[str],
        max_shard_size: str | int | None = None,
        num_shards: int | None = None,
        num_proc: int | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> None:
        """As `datasets.Dataset.save_to_disk`, with task and run in `distilabel.json` beside.

        Raises:
            ConfigurationError: the task's settings are not plain data. Nothing was written.
        """
        origin = self._origin.to_dict()
        if not len(self.data) and num_shards is None:
            max_shard_size, num_shards = None, 1  # without a file, datasets cannot load it again
        super().save_to_disk(dataset_path, max_shard_size, num_shards, num_proc, storage_options)
        write_origin(dataset_path, origin, fingerprint=self._fingerprint, options=storage_options)

    @classmethod
    def load_from_disk(  # pyright: ignore[reportIncompatibleMethodOverride]  # was a static method
        cls,
        dataset_path: str | os.PathLike[str],
        keep_in_memory: bool | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> Self:
        """As `datasets.Dataset.load_from_disk`, with task and run, as far as they were saved.

        Raises:
            ConfigurationError: the file that holds them is damaged.
        """
        dataset = datasets.Dataset.load_from_disk(dataset_path, keep_in_memory, storage_options)
        return cls._restored(vars(dataset), read_origin(dataset_path, options=storage_options))

    @classmethod
    def _restored(cls, state: Mapping[str, Any], origin: Origin) -> Self:
        new = cls.__new__(cls)
        new.__setstate__({**state, "_origin": origin})  # registers its temporary files, too
        return new

    def _take_over(self, result: Any) -> Any:
        if isinstance(result, datasets.DatasetDict):
            for name, split in result.items():
                result[name] = self._take_over(split)
        elif type(result) is datasets.Dataset:
            return self._restored(vars(result), self._origin)
        return result

    if TYPE_CHECKING:  # in the checkers' words, what `_keeps_origin` does to every method
        add_column: ClassVar[_Kept]
        add_item: ClassVar[_Kept]
        align_labels_with_mapping: ClassVar[_Kept]
        batch: ClassVar[_Kept]
        cast: ClassVar[_Kept]
        cast_column: ClassVar[_Kept]
        class_encode_column: ClassVar[_Kept]
        filter: ClassVar[_Kept]
        flatten: ClassVar[_Kept]
        flatten_indices: ClassVar[_Kept]
        map: ClassVar[_Kept]
        remove_columns: ClassVar[_Kept]
        rename_column: ClassVar[_Kept]
        rename_columns: ClassVar[_Kept]
        repeat: ClassVar[_Kept]
        select: ClassVar[_Kept]
        select_columns: ClassVar[_Kept]
        shard: ClassVar[_Kept]
        shuffle: ClassVar[_Kept]
        skip: ClassVar[_Kept]
        sort: ClassVar[_Kept]
        take: ClassVar[_Kept]
        with_format: ClassVar[_Kept]
        with_transform: ClassVar[_Kept]
