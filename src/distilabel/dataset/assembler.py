"""Folds the results of stages into rows, and rows into a data set. Pure.

- Every per-generation list of a row has one entry for each generation, and index i means the same
  generation in all of them. What failed is None at its index, in every list that depends on it:
  raw reply and outputs. Model and prompt are known even so.
- The user's own columns come first. Those of a `datasets.Dataset` are carried over as they lie in
  Arrow; nothing in them is decoded, and its selection and order are honoured. Those of any other
  source come from the rows.
- Rows may be added in any order and may leave gaps: the data set has those added, by index.
- A data set without rows has its columns all the same.
"""

# pyarrow ships no types, so what crosses is annotated and pyright cannot look it up
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from distilabel.dataset.columns import ColumnStore
from distilabel.errors import ColumnError, DistilabelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import datasets
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from datasets.table import Table

    from distilabel.dataset.custom import CustomDataset
    from distilabel.dataset.origin import StageOrigin
    from distilabel.dataset.schema import ResultSchema, StageColumns
    from distilabel.tasks.base import Task
    from distilabel.types import Message, PromptText, Row, RunSummary

__all__ = ["DatasetAssembler", "Generation", "Label", "fold_generations", "fold_label"]

_ITER_ROWS = 1_000
_MEND = (
    "Make them alike, leave the column out, or give the input as a `datasets.Dataset` with "
    "declared features."
)


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of a row, whether it went well or failed."""

    model: str
    prompt: PromptText | None
    """What was sent; None if no prompt could be made."""
    raw: str | None
    """The reply as it came; None if the call failed."""
    values: Mapping[str, Any] | None
    """The task's outputs; None if the call failed or its reply was of no use."""


@dataclass(frozen=True, slots=True)
class Label:
    """What the labeller gave for a row."""

    model: str | None
    """None if there was nothing to label."""
    prompt: PromptText | None
    raw: str | None
    values: Mapping[str, Any]
    """The task's outputs, one entry a generation where they are lists; missing ones are None."""


def fold_generations(
    stage: StageColumns, generations: Sequence[Generation]
) -> dict[str, list[Any]]:
    """The generator's columns for one row: lists with one entry a generation.

    Raises:
        ConfigurationError: the task gave a value that is not of the type it declares.
    """
    for generation in generations:
        stage.check(generation.values or {})
    model, prompt, raw, *_ = stage.names
    columns: dict[str, list[Any]] = {
        model: [generation.model for generation in generations],
        prompt: [_prompt(generation.prompt, stage) for generation in generations],
        raw: [generation.raw for generation in generations],
    }
    for name in stage.outputs:
        columns[name] = [(generation.values or {}).get(name) for generation in generations]
    return columns


def fold_label(stage: StageColumns, label: Label) -> dict[str, Any]:
    """The labeller's columns for one row.

    Raises:
        ConfigurationError: the task gave a value that is not of the type it declares.
    """
    stage.check(label.values)
    model, prompt, raw, *_ = stage.names
    return {model: label.model, prompt: _prompt(label.prompt, stage), raw: label.raw} | {
        name: label.values.get(name) for name in stage.outputs
    }


def _prompt(prompt: PromptText | None, stage: StageColumns) -> PromptText | None:
    """A prompt as its column holds it; a task may write a text for one row, a chat for another."""
    if prompt is None:
        return None
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}] if stage.prompt_is_chat else prompt
    chat = [_message(message) for message in prompt]
    return chat if stage.prompt_is_chat else json.dumps(chat, ensure_ascii=False)


def _message(message: Mapping[str, Any]) -> Message:
    """A message with its content as text; content in parts (text, images) as JSON."""
    content = message["content"]
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return {"role": message["role"], "content": text}


class DatasetAssembler:
    """Gathers finished rows and makes the data set of them.

    Args:
        schema: the columns that the run adds.
        keeps_user_columns: keep the user's columns of each row, too. Needed where `build` is given
            no `source` to carry them over from.
        user_features: the types of the user's columns, as far as the input declares them.
        mend: what to do if the user's columns cannot be stored, in a sentence or two.
    """

    def __init__(
        self,
        schema: ResultSchema,
        *,
        keeps_user_columns: bool,
        user_features: Mapping[str, Any] | None = None,
        mend: str = _MEND,
    ) -> None:
        self._schema = schema
        self._mend = mend
        self._user_features = dict(user_features or {})
        self._rows = ColumnStore(
            self._declared_types,
            names=schema.names,
            keeps_others=keeps_user_columns,
            mend=mend,
        )

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Row) -> None:
        """Take a finished row, in any order.

        Raises:
            DistilabelError: values of a column cannot be stored together. It may also be
                `build` that finds it.
        """
        self._rows.add(row)

    def build(
        self,
        source: datasets.Dataset | None,
        *,
        task: Task | None,
        run: RunSummary,
        stages: Sequence[StageOrigin] = (),
    ) -> CustomDataset:
        """The data set of the rows added so far, in the order of their indices.

        Args:
            source: where the rows came from, and their indices point to; None: an iterable.
            task: the labeller's task if there is a labeller, else the generator's.
            run: what the run did.
            stages: who did it.

        Raises:
            ColumnError: the source has a column that the run adds.
            DistilabelError: a column holds values without a common type.
            ValueError: a row was added twice.
        """
        import pyarrow as pa
        from datasets import Dataset, DatasetInfo, Features

        from distilabel.dataset.custom import CustomDataset

        indices, added = self._rows.order(), self._rows.declared()
        if source is None:
            others = self._as_declared(self._rows.others(), len(indices))
            own = Features.from_arrow_schema(pa.table(others).schema) | self._user_features
            table, info, split = pa.table(others | added), DatasetInfo(), None
            fingerprint = _fingerprint("", others | added)
        else:
            source = self._rows_of(source, indices)
            own, table = source.features, _beside(_as_stored(source), added)
            info, split = source.info.copy(), source.split
            fingerprint = _fingerprint(source._fingerprint, added)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        info.features = Features({**own, **self._schema.features()})
        dataset = Dataset(table, info=info, split=split, fingerprint=fingerprint)
        return CustomDataset.from_dataset(dataset, task=task, run=run, stages=stages)

    def _as_declared(
        self, inferred: dict[str, pa.ChunkedArray], rows: int
    ) -> dict[str, pa.ChunkedArray]:
        """The user's columns with the types that the input declares for them.

        Raises:
            DistilabelError: the values are not of that type.
        """
        import pyarrow as pa
        from datasets import Features

        declared = Features(self._user_features).arrow_schema
        columns = {
            name: pa.chunked_array([pa.nulls(rows, declared.field(name).type)])
            for name in declared.names
        } | inferred
        for name in declared.names:
            try:
                columns[name] = columns[name].cast(declared.field(name).type)
            except pa.ArrowInvalid as error:
                raise DistilabelError(
                    f"the input declares its column {name!r} as {declared.field(name).type} and "
                    f"holds something else: {error}. {self._mend}",
                ) from error
        return columns

    def _declared_types(self) -> dict[str, pa.DataType]:
        schema = self._schema.features().arrow_schema
        return {name: schema.field(name).type for name in schema.names}

    def _rows_of(
        self, source: datasets.Dataset, indices: npt.NDArray[np.int64]
    ) -> datasets.Dataset:
        """The rows of the source that were added, all of them as a rule."""
        for name in source.column_names:
            if name in self._schema.names:
                raise ColumnError(
                    f"the input has a column {name!r}, and the run adds one of that name. "
                    "Rename the input's, or remove it.",
                    column=name,
                    available=source.column_names,
                )
        is_whole = len(indices) == len(source) and (not len(indices) or indices[0] == 0)
        if is_whole and (not len(indices) or indices[-1] == len(source) - 1):
            return source
        return source.select(indices)


def _as_stored(source: datasets.Dataset) -> Table:
    """The source's columns as they lie in Arrow, on disk if they are there, in its own order."""
    import pyarrow as pa
    from datasets.table import InMemoryTable

    if source._indices is None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return source.data
    batches = cast("Iterator[pa.Table]", source.with_format("arrow").iter(batch_size=_ITER_ROWS))
    return InMemoryTable(pa.concat_tables([batch.combine_chunks() for batch in batches]))


def _beside(table: Table, added: dict[str, pa.ChunkedArray]) -> Table:
    import pyarrow as pa
    from datasets.table import InMemoryTable, concat_tables

    right = InMemoryTable(pa.table(added))
    return concat_tables([table, right], axis=1) if table.num_columns else right


def _fingerprint(source: str, columns: Mapping[str, pa.ChunkedArray]) -> str:
    """What `datasets` names caches by: the source's own, and the bytes of what was added.

    Left to itself, `datasets` would pickle the whole table to hash it.
    """
    from datasets.fingerprint import Hasher

    parts: list[Any] = [source.encode()]
    for name, column in columns.items():
        parts.append(ascii((name, str(column.type))).encode())
        for chunk in column.chunks:
            parts.append(ascii((chunk.offset, len(chunk))).encode())
            parts += [b"-" if buffer is None else buffer for buffer in chunk.buffers()]
    return str(Hasher.hash_bytes(parts))
