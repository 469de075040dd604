"""Which columns a run adds, in which order, and of which types. Pure.

- After the user's own columns come the generator's, then the labeller's: model, prompt, raw reply,
  then the outputs of the stage's task in the order in which the task names them.
- Every column of the generator is a list with one entry for each generation, so the types of its
  outputs are wrapped in a list. The labeller has one entry a row, and its outputs keep their types.
- Types are declared, never inferred: no value of any row can change one.
- What cannot be stored is found here, when a schema is made, before any call is paid for.
- `datasets` takes 0.8 s to import, and is imported only where features are asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

from distilabel.errors import ColumnError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import datasets

    from distilabel.tasks.base import ColumnType
    from distilabel.types import StageName

__all__ = ["CALL_METADATA", "ResultSchema", "StageColumns"]

CALL_METADATA = "call_metadata"
"""The column of `include_metadata=True`: for each call of the row, where its values come from."""

_OWN_COLUMNS: Final[Mapping[StageName, tuple[str, str, str]]] = {
    "generator": ("generation_model", "generation_prompt", "raw_generation_responses"),
    "labeller": ("labelling_model", "labelling_prompt", "raw_labelling_response"),
}
_DTYPES: Final[Mapping[Any, str]] = {str: "string", int: "int64", float: "float64", bool: "bool"}
_SCALARS: Final[Mapping[str, type]] = {kind.__name__: kind for kind in (str, int, float, bool)}
_TYPE_NAME: Final = re.compile(r"((?:list\[){0,8})(str|int|float|bool)(\]{0,8})")
_ACCEPTED: Final[Mapping[type, type]] = {str: str, int: Integral, float: Real, bool: bool}


@dataclass(frozen=True, slots=True)
class _Storage:
    """How one output is stored: values of `scalar`, inside `depth` lists."""

    scalar: type
    depth: int

    def accepts(self, value: object) -> bool:
        """Whether Arrow would store `value` as it is. Arrow itself cuts 4.5 to the int 4."""
        if type(value) is self.scalar and not self.depth:  # as nearly always
            return True
        if self.depth:
            inner = _Storage(self.scalar, self.depth - 1)
            return isinstance(value, list | tuple) and all(
                entry is None or inner.accepts(entry) for entry in value
            )
        if isinstance(value, bool):
            return self.scalar is bool
        return isinstance(value, _ACCEPTED[self.scalar])

    @property
    def name(self) -> str:
        """As Python writes it, for instance `list[float]`."""
        return "list[" * self.depth + self.scalar.__name__ + "]" * self.depth


def _named_type(name: object) -> ColumnType:
    """The type that `_Storage.name` names."""
    match = _TYPE_NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None or len(match[1]) // len("list[") != len(match[3]):
        raise ConfigurationError(f"{name!r} is no type of a column")
    column_type: Any = _SCALARS[match[2]]
    for _ in match[3]:
        column_type = list[column_type]
    return column_type


def _storage(column_type: ColumnType, *, column: str) -> _Storage:
    """How a column of this type is stored; `X | None` is an X, as every value may be None."""
    depth, inner = 0, _without_none(column_type)
    while get_origin(inner) is list:
        (inner,) = get_args(inner)
        depth, inner = depth + 1, _without_none(inner)
    if inner not in _DTYPES:
        raise ConfigurationError(
            f"the task's column {column!r} is declared as {column_type!r}, which cannot be stored. "
            "Declare it in `output_columns` as str, int, float, bool, or a list[...] of one."
        )
    return _Storage(inner, depth)


def _without_none(column_type: ColumnType) -> ColumnType:
    if get_origin(column_type) not in {Union, UnionType}:
        return column_type
    kept = [member for member in get_args(column_type) if member is not NoneType]
    return kept[0] if len(kept) == 1 else column_type


@dataclass(frozen=True, slots=True)
class StageColumns:
    """The columns that one stage adds.

    Raises:
        ConfigurationError: an output has a type that cannot be stored.

    >>> StageColumns("labeller", prompt_is_chat=True, outputs={"rating": list[float]}).names
    ('labelling_model', 'labelling_prompt', 'raw_labelling_response', 'rating')
    """

    stage: StageName
    prompt_is_chat: bool
    """The prompt is a list of messages, and not a text."""
    outputs: Mapping[str, ColumnType]
    """The task's `output_columns`."""
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The columns, in order."""
    _storages: Mapping[str, _Storage] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        storages = {name: _storage(kind, column=name) for name, kind in self.outputs.items()}
        object.__setattr__(self, "_storages", storages)
        object.__setattr__(self, "names", (*_OWN_COLUMNS[self.stage], *self.outputs))

    def features(self) -> dict[str, Any]:
        """The feature of each column, in order."""
        from datasets import List, Value

        text = Value("string")
        prompt = List({"role": text, "content": text}) if self.prompt_is_chat else text
        outputs = [self._output_feature(column) for column in self.outputs]
        columns = dict(zip(self.names, [text, prompt, text, *outputs], strict=True))
        if self.stage == "labeller":
            return columns
        return {name: List(feature) for name, feature in columns.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        outputs = {column: storage.name for column, storage in self._storages.items()}
        return {"stage": self.stage, "prompt_is_chat": self.prompt_is_chat, "outputs": outputs}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StageColumns:
        """The columns that `to_dict` wrote.

        Raises:
            ConfigurationError: it is something else.
        """
        match data:
            case {
                "stage": "generator" | "labeller" as stage,
                "prompt_is_chat": bool(is_chat),
                "outputs": dict() as outputs,
            }:
                types = {str(column): _named_type(name) for column, name in outputs.items()}
                return cls(stage, prompt_is_chat=is_chat, outputs=types)
            case _:
                raise ConfigurationError("these are no saved columns of a stage")

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise for a value that is not of its output's declared type, as Arrow might bend it.

        Raises:
            ConfigurationError: says which output, what was declared, and what came.
        """
        for column, storage in self._storages.items():
            value = values.get(column)
            if value is None or storage.accepts(value):
                continue
            raise ConfigurationError(
                f"the {self.stage}'s task declares its column {column!r} as "
                f"{self.outputs[column]!r} and gave {value!r:.200}. Correct its "
                f"`output_columns`, or what it parses."
            )

    def _output_feature(self, column: str) -> Any:
        from datasets import List, Value

        storage = self._storages[column]
        feature: Any = Value(_DTYPES[storage.scalar])
        for _ in range(storage.depth):
            feature = List(feature)
        return feature


@dataclass(frozen=True, slots=True)
class ResultSchema:
    """The columns that a run adds, over all its stages.

    Raises:
        ColumnError: two of the columns have the same name.
    """

    stages: tuple[StageColumns, ...]
    """In the order in which they run."""
    has_call_metadata: bool = False
    """Whether the column `CALL_METADATA` comes last."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name in self.names:
            if name in seen:
                raise ColumnError(
                    f"the run would add the column {name!r} twice. Rename it in the "
                    "`output_columns` of one of the tasks.",
                    column=name,
                    available=self.names,
                )
            seen.add(name)

    @property
    def names(self) -> tuple[str, ...]:
        """All added columns, in order."""
        extra = (CALL_METADATA,) if self.has_call_metadata else ()
        return (*chain.from_iterable(stage.names for stage in self.stages), *extra)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back.

        >>> rating = StageColumns("labeller", prompt_is_chat=True, outputs={"rating": list[float]})
        >>> ResultSchema.from_dict(ResultSchema((rating,)).to_dict()) == ResultSchema((rating,))
        True
        """
        stages = [stage.to_dict() for stage in self.stages]
        return {"stages": stages, "has_call_metadata": self.has_call_metadata}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ResultSchema:
        """The columns that `to_dict` wrote.

        Raises:
            ConfigurationError: it is something else.
        """
        match data:
            case {"stages": [*stages], "has_call_metadata": bool(has_call_metadata)} if all(
                isinstance(stage, dict) for stage in stages
            ):
                return cls(tuple(map(StageColumns.from_dict, stages)), has_call_metadata)
            case _:
                raise ConfigurationError("these are no saved columns of a run")

    def features(self) -> datasets.Features:
        """The features of the added columns, in order."""
        from datasets import Features

        features = {
            name: feature for stage in self.stages for name, feature in stage.features().items()
        }
        if self.has_call_metadata:
            features[CALL_METADATA] = _call_metadata_feature()
        return Features(features)


def _call_metadata_feature() -> Any:
    from datasets import List, Value  # 0.8 s

    text, number = Value("string"), Value("int64")
    return List(
        {
            "stage": text,
            "generations": List(number),
            "model": text,
            "request_id": text,
            "attempts": number,
            "finish_reasons": List(text),
            "prompt_tokens": number,
            "completion_tokens": number,
            "cached_tokens": number,
            "seconds": Value("float64"),
            "cause": text,
        }
    )
