"""What trainers read, made of the rows of a run: pairs, conversations, labelled texts. Pure.

- The columns are those of TRL's conversational formats: `prompt`, `chosen` and `rejected`;
  `messages`; `prompt`, `completion` and `label`. A prompt is a list of messages, a completion a
  list with the assistant's one message. https://huggingface.co/docs/trl/dataset_formats
- The prompt is the chat that the generator was sent, its system prompt with it. A generator that
  was sent a text was sent it in one model's own format, which a trainer's chat template would wrap
  a second time: there, and where no prompt is known, the prompt is the row's `input` as the one
  message of a user.
- Texts do not pass through Python to be written: rows are read batch by batch, what is to be taken
  is chosen on the ratings and texts, and Arrow copies it. Beside each text stand the model, rating
  and rationale of the same place in the row.
"""

# pyarrow ships no types, so what crosses is annotated and pyright cannot look it up
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from distilabel.dataset.choosing import label_texts
from distilabel.dataset.messages import Places, joined, one_message, read_messages
from distilabel.errors import ColumnError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import datasets
    import pyarrow as pa

    from distilabel.dataset.choosing import BestRule, PairRule
    from distilabel.dataset.messages import Numbers

__all__ = ["Made", "PromptSource", "columns_read", "conversations", "labelled", "pairs"]

PromptSource: TypeAlias = Literal["seen", "input"]
"""Whether the prompt is what the generator saw, or the row's `input` alone."""

_BATCH_ROWS: Final = 2_000
_TEXTS, _RATINGS, _INPUT, _PROMPTS = "generations", "rating", "input", "generation_prompt"
_TOLD: Final = {"rating": _RATINGS, "model": "generation_model", "rationale": "rationale"}
"""What is told of a text, and the column that has it."""

_Texts: TypeAlias = "Sequence[str | None] | None"
_Ratings: TypeAlias = "Sequence[float | None] | None"
_Chosen: TypeAlias = tuple[int, ...] | str
"""The places of what is taken from a row, or why nothing is."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was made."""

    table: pa.Table
    """In the columns of the format."""
    features: datasets.Features
    left_out: Counter[str] = field(default_factory=Counter[str])
    """How many rows (`labelled`: texts) gave nothing, by a key of `REASONS`."""


def pairs(dataset: datasets.Dataset, rule: PairRule, *, prompt: PromptSource = "seen") -> Made:
    """One row for each row that gives a pair: the best text against another.

    Raises:
        ColumnError: the generations, their ratings or the prompts are missing.
    """

    def choose(texts: _Texts, ratings: _Ratings) -> list[_Chosen]:
        return [rule.pair(texts, ratings)]

    def take(batch: _Batch) -> dict[str, pa.Array]:
        rows, (chosen, rejected) = batch.choose(choose, places=2)
        return (
            {"prompt": batch.prompts(rows, chosen)}
            | {"chosen": batch.completions(rows, chosen)}
            | {"rejected": batch.completions(rows, rejected)}
            | batch.told(rows, chosen, "_chosen")
            | batch.told(rows, rejected, "_rejected")
        )

    names = columns_read(dataset, "to_preference", prompt)
    told = tuple(f"{name}_{side}" for name in _TOLD for side in ("chosen", "rejected"))
    return _make(dataset, names, prompt, take, ("prompt", "chosen", "rejected", *told))


def conversations(
    dataset: datasets.Dataset, rule: BestRule, *, prompt: PromptSource = "seen"
) -> Made:
    """One row for each row with a best text: the prompt and that text as one conversation.

    Raises:
        ColumnError: the generations, the prompts, or the ratings that `rule` needs are missing.
    """
    is_rated = _RATINGS in dataset.column_names

    def choose(texts: _Texts, ratings: _Ratings) -> list[_Chosen]:
        best = rule.best(texts, ratings) if is_rated else rule.only(texts)
        return [best if isinstance(best, str) else (best,)]

    def take(batch: _Batch) -> dict[str, pa.Array]:
        rows, (best,) = batch.choose(choose, places=1)
        messages = joined(batch.prompts(rows, best), batch.completions(rows, best))
        return {"messages": messages} | batch.told(rows, best)

    needs_rating = is_rated or rule.min_rating is not None
    names = columns_read(dataset, "to_sft", prompt, needs_rating=needs_rating)
    return _make(dataset, names, prompt, take, ("messages", *_TOLD))


def labelled(dataset: datasets.Dataset, *, threshold: float, prompt: PromptSource = "seen") -> Made:
    """One row for each rated text: whether its rating reaches the threshold.

    Raises:
        ColumnError: the generations, their ratings or the prompts are missing.
    """

    def choose(texts: _Texts, ratings: _Ratings) -> list[_Chosen]:
        labels = enumerate(label_texts(texts, ratings, threshold=threshold))
        return [label if isinstance(label, str) else (place, label) for place, label in labels]

    def take(batch: _Batch) -> dict[str, pa.Array]:
        import pyarrow as pa

        rows, (places, labels) = batch.choose(choose, places=2)
        return {
            "prompt": batch.prompts(rows, places),
            "completion": batch.completions(rows, places),
            "label": pa.array(labels.astype(bool)),
        } | batch.told(rows, places)

    names = columns_read(dataset, "to_kto", prompt)
    return _make(dataset, names, prompt, take, ("prompt", "completion", "label", *_TOLD))


class _Batch:
    """Some rows, and what is taken from them."""

    def __init__(self, table: pa.Table, prompt: PromptSource) -> None:
        self._table = table
        self._lists = {
            name: Places(table[name])
            for name in (_TEXTS, _PROMPTS, *_TOLD.values())
            if name in table.column_names
        }
        self._prompt: PromptSource = prompt
        self.left_out = Counter[str]()

    def choose(
        self, rule: Callable[[_Texts, _Ratings], list[_Chosen]], *, places: int
    ) -> tuple[Numbers, list[Numbers]]:
        """The rows that something is taken from, and each of its places; counts the others."""
        import numpy as np

        texts = self._table[_TEXTS].to_pylist()
        ratings = (
            self._table[_RATINGS].to_pylist() if _RATINGS in self._lists else [None] * len(texts)
        )
        found: list[tuple[int, ...]] = []
        for row, (row_texts, row_ratings) in enumerate(zip(texts, ratings, strict=True)):
            for chosen in rule(row_texts, row_ratings):
                if isinstance(chosen, str):
                    self.left_out[chosen] += 1
                else:
                    found.append((row, *chosen))
        columns = np.array(found, dtype=np.int64).reshape(len(found), places + 1).T
        return columns[0], list(columns[1:])

    def completions(self, rows: Numbers, places: Numbers) -> pa.Array:
        """The texts, each as the one message of an assistant."""
        return one_message("assistant", self._lists[_TEXTS].take(rows, places))

    def prompts(self, rows: Numbers, places: Numbers) -> pa.Array:
        """The prompts as messages; None where there is none."""
        if _is_chat(self._table, self._prompt):
            return read_messages(self._lists[_PROMPTS].take(rows, places))
        return one_message("user", self._table[_INPUT].combine_chunks().take(rows))

    def told(self, rows: Numbers, places: Numbers, suffix: str = "") -> dict[str, pa.Array]:
        """What stands in the row beside these texts; None where there is no such column."""
        import pyarrow as pa

        return {
            name + suffix: (
                self._lists[column].take(rows, places)
                if column in self._lists
                else pa.nulls(len(rows))
            )
            for name, column in _TOLD.items()
        }


def _make(
    dataset: datasets.Dataset,
    names: Sequence[str],
    prompt: PromptSource,
    take: Callable[[_Batch], dict[str, pa.Array]],
    columns: Sequence[str],
) -> Made:
    import pyarrow as pa

    features = _features(columns)
    schema, left_out, tables = features.arrow_schema, Counter[str](), list[pa.Table]()
    for batch in _batches(dataset, names, prompt):
        taken = take(batch)
        has_prompt = taken[columns[0]].is_valid()
        arrays = [taken[each.name].cast(each.type) for each in schema]
        table = pa.Table.from_arrays(arrays, schema=schema)
        tables.append(table.filter(has_prompt))
        left_out.update(batch.left_out)
        left_out["no_prompt"] += len(table) - len(tables[-1])
    return Made(pa.concat_tables([schema.empty_table(), *tables]), features, +left_out)


def _batches(
    dataset: datasets.Dataset, names: Sequence[str], prompt: PromptSource
) -> Iterator[_Batch]:
    needed = dataset.select_columns(list(names)).with_format("arrow")
    for table in needed.iter(batch_size=_BATCH_ROWS):
        yield _Batch(table, prompt)


def columns_read(
    dataset: datasets.Dataset, verb: str, prompt: PromptSource, *, needs_rating: bool = True
) -> list[str]:
    """The columns that are read to make one of the formats.

    Args:
        dataset: the generations.
        verb: the method that was called, for what an error says.
        prompt: where the prompt is taken from.
        needs_rating: whether there is nothing to make without ratings.

    Raises:
        ColumnError: one that is needed is not there, or holds something else.
        ConfigurationError: there is no such `prompt`.
    """
    if prompt not in get_args(PromptSource):
        raise ConfigurationError(
            f"no prompt {prompt!r}; there are: {', '.join(get_args(PromptSource))}"
        )
    needed = {_TEXTS: "the texts, which a generator makes"}
    if needs_rating:
        needed[_RATINGS] = "a rating for each text, which a labeller makes: Pipeline(labeller=...)"
    schema = dataset.features.arrow_schema
    if not _is_chat(schema, prompt):
        needed[_INPUT] = "the prompt, as the generator was sent no chat; rename the column it is in"
    for name, what in needed.items():
        if name not in dataset.column_names:
            raise ColumnError(
                f"{verb} needs a column {name!r}: {what}. This data set has: "
                f"{', '.join(dataset.column_names) or 'none'}.",
                column=name,
                available=dataset.column_names,
            )
    lists = [name for name in (_TEXTS, *_TOLD.values()) if name in dataset.column_names]
    _check_types(schema, verb, lists)
    prompts = () if _INPUT in needed else (_PROMPTS,)
    return [*dict.fromkeys((*needed, *lists, *prompts))]


def _check_types(schema: pa.Schema, verb: str, lists: Sequence[str]) -> None:
    import pyarrow as pa

    for name in lists:
        kind = schema.field(name).type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise ColumnError(
                f"{verb} reads the column {name!r} as a list with one entry for each text, and "
                f"this data set has {kind} there. Rename it if it is something else.",
                column=name,
                available=schema.names,
            )


def _is_chat(table: pa.Table | pa.Schema, prompt: PromptSource) -> bool:
    """Whether the prompts to be taken are lists of messages."""
    import pyarrow as pa

    schema = table if isinstance(table, pa.Schema) else table.schema
    if prompt == "input" or _PROMPTS not in schema.names:
        return False
    kind = schema.field(_PROMPTS).type
    for _ in range(2):  # one for each generation, and one for each message
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            return False
        kind = kind.value_type
    return bool(pa.types.is_struct(kind))


def _features(columns: Sequence[str]) -> datasets.Features:
    from datasets import Features, List, Value

    text, number = Value("string"), Value("float64")
    messages = List({"role": text, "content": text})
    types: dict[str, Any] = {"label": Value("bool"), "rating": number, "model": text}
    types |= {"rationale": text}
    return Features({name: types.get(name.partition("_")[0], messages) for name in columns})
