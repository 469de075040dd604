"""A `datasets.Dataset` whose results know where they came from, as it does itself.

`datasets.Dataset` builds most of its results as a plain `Dataset`, whatever class it was asked
through. So one rule covers all its methods, those of later releases included: what comes out of a
public method of a `DatasetWithOrigin` as a plain `Dataset`, or as a dict of them, takes over the
class and the origin of the data set it was asked of. The methods themselves are the inherited
ones, and so are fingerprints and caches.
"""

from __future__ import annotations

from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import datasets

from distilabel.dataset.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

__all__ = ["DatasetWithOrigin"]

_T = TypeVar("_T", bound="type[DatasetWithOrigin]")


def _kept(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, with what it returns taken over by the data set it was asked of."""

    @wraps(method)
    def kept(self: DatasetWithOrigin, *args: Any, **kwargs: Any) -> Any:
        return self._take_over(method(self, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return kept


def _keeps_origin(cls: _T) -> _T:
    for name, method in vars(datasets.Dataset).items():
        if isinstance(method, FunctionType) and not name.startswith("_") and name not in vars(cls):
            setattr(cls, name, _kept(method))
    return cls


@_keeps_origin
class DatasetWithOrigin(datasets.Dataset):  # type: ignore[misc]  # datasets ships no types
    """A `datasets.Dataset` that makes its own kind, with its own origin.

    Through select, map, shuffle, sort, filter, train_test_split and every other method that makes
    a data set of this one, and through pickling and copying.
    """

    _origin: Origin = Origin()

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
        add_column: ClassVar[Callable[..., Self]]
        add_item: ClassVar[Callable[..., Self]]
        align_labels_with_mapping: ClassVar[Callable[..., Self]]
        batch: ClassVar[Callable[..., Self]]
        cast: ClassVar[Callable[..., Self]]
        cast_column: ClassVar[Callable[..., Self]]
        class_encode_column: ClassVar[Callable[..., Self]]
        filter: ClassVar[Callable[..., Self]]
        flatten: ClassVar[Callable[..., Self]]
        flatten_indices: ClassVar[Callable[..., Self]]
        map: ClassVar[Callable[..., Self]]
        remove_columns: ClassVar[Callable[..., Self]]
        rename_column: ClassVar[Callable[..., Self]]
        rename_columns: ClassVar[Callable[..., Self]]
        repeat: ClassVar[Callable[..., Self]]
        select: ClassVar[Callable[..., Self]]
        select_columns: ClassVar[Callable[..., Self]]
        shard: ClassVar[Callable[..., Self]]
        shuffle: ClassVar[Callable[..., Self]]
        skip: ClassVar[Callable[..., Self]]
        sort: ClassVar[Callable[..., Self]]
        take: ClassVar[Callable[..., Self]]
        with_format: ClassVar[Callable[..., Self]]
        with_transform: ClassVar[Callable[..., Self]]
