"""What can be counted in a data set's rows: models, prompts, reasons to stop, ratings. Pure.

Rows are read batch by batch and counted in Arrow, so that a large data set costs seconds. A column
that is not there gives empty counts.
"""

# pyarrow ships no types, so what crosses is annotated and pyright cannot look it up
# pyright: reportUnknownParameterType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from distilabel.dataset.schema import CALL_METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    import datasets
    import pyarrow as pa

    from distilabel.types import StageName

__all__ = ["Figures", "StageFigures", "count"]

_BATCH_ROWS: Final = 2_000
_COLUMNS: Final[dict[StageName, tuple[str, str]]] = {
    "generator": ("generation_model", "generation_prompt"),
    "labeller": ("labelling_model", "labelling_prompt"),
}


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What one stage did in these rows."""

    asked: Counter[str] = field(default_factory=Counter[str])
    """Values by the model that was asked for."""
    served: Counter[str] = field(default_factory=Counter[str])
    """Calls by the model that the provider says it served; empty without call metadata."""
    finish_reasons: Counter[str] = field(default_factory=Counter[str])
    """Texts by the reason for which they ended; empty without call metadata."""
    system_prompts: Counter[str] = field(default_factory=Counter[str])
    """Prompts by their system message, where prompts are chats."""
    example: list[str] = field(default_factory=list[str])
    """The first prompt: its messages' texts, or the one text."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is in these rows."""

    rows: int
    stages: dict[StageName, StageFigures]
    """Those that left columns."""
    ratings: Counter[float]
    """Texts by rating."""
    unrated: int
    """Entries of `rating` that are None."""
    has_metadata: bool
    """Whether the rows say how their calls went (`include_metadata=True`)."""


def count(dataset: datasets.Dataset) -> Figures:
    """Count what is in the rows of a data set."""
    names = dataset.column_names
    stages: dict[StageName, StageFigures] = {
        stage: StageFigures() for stage, columns in _COLUMNS.items() if set(columns) & set(names)
    }
    ratings, unrated = Counter[float](), 0
    for table in _tables(dataset, [*_wanted(names)]):
        for stage, figures in stages.items():
            model, prompt = _COLUMNS[stage]
            if model in names:
                figures.asked.update(_words(_flat(table[model])))
            if prompt in names:
                _count_prompts(figures, _flat(table[prompt], depth=int(stage == "generator")))
            if CALL_METADATA in names:
                _count_calls(figures, table[CALL_METADATA], stage)
        if "rating" in names:
            flat = _flat(table["rating"])
            ratings.update(_numbers(flat))
            unrated += flat.null_count
    return Figures(len(dataset), stages, ratings, unrated, CALL_METADATA in names)


def _wanted(names: list[str]) -> Iterator[str]:
    wanted = {name for columns in _COLUMNS.values() for name in columns}
    return (name for name in names if name in wanted | {"rating", CALL_METADATA})


def _tables(dataset: datasets.Dataset, names: list[str]) -> Iterator[pa.Table]:
    if names:
        yield from dataset.select_columns(names).with_format("arrow").iter(_BATCH_ROWS)


def _flat(column: pa.ChunkedArray, *, depth: int = 99) -> pa.Array:
    """The entries of lists, taken out of `depth` lists at most."""
    array = column.combine_chunks()
    while depth and _is_list(array.type):
        array, depth = array.flatten(), depth - 1
    return array


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _words(array: pa.Array) -> dict[str, int]:
    """How often each text is there; nothing if these are no texts."""
    import pyarrow as pa

    is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    return _values(array) if is_text else {}


def _numbers(array: pa.Array) -> dict[float, int]:
    import pyarrow as pa

    is_number = pa.types.is_floating(array.type) or pa.types.is_integer(array.type)
    return _values(array) if is_number else {}


def _values(array: pa.Array) -> dict[Any, int]:
    return {
        entry["values"]: entry["counts"]
        for entry in array.value_counts().to_pylist()
        if entry["values"] is not None
    }


def _count_prompts(figures: StageFigures, prompts: pa.Array) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    messages = prompts.flatten() if _is_list(prompts.type) else prompts
    is_chat = pa.types.is_struct(messages.type)
    if is_chat and {"role", "content"} <= {each.name for each in messages.type}:
        is_system = pc.equal(pc.struct_field(messages, "role"), "system")
        figures.system_prompts.update(
            _words(pc.struct_field(messages.filter(is_system), "content"))
        )
        example: list[dict[str, Any]] = next((each.as_py() for each in prompts.drop_null()), [])
        texts = [str(message["content"]) for message in example]
    else:
        texts = [*_words(prompts.drop_null()[:1])]
    figures.example.extend([] if figures.example else texts)


def _count_calls(figures: StageFigures, column: pa.ChunkedArray, stage: StageName) -> None:
    import pyarrow.compute as pc

    calls = _flat(column, depth=1)
    calls = calls.filter(pc.equal(pc.struct_field(calls, "stage"), stage))
    figures.served.update(_words(pc.struct_field(calls, "model")))
    figures.finish_reasons.update(_words(pc.struct_field(calls, "finish_reasons").flatten()))
