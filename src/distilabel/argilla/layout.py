"""What a data set looks like in Argilla: its fields, questions, metadata and vectors. Pure.

- Fields: what the task reads (`input`), and `generations-1` to `generations-n` as Markdown. None is
  required, so that a row in which something is missing is kept, with what it has.
- Questions: `generations-i-rating`, and with a labeller's rationales `generations-i-rationale`. The
  first rating is required, because Argilla wants one question that is; the others cannot be, for a
  row may have fewer texts.
- Ratings are on the scale of the labeller's task. Argilla's rating questions take whole numbers
  from 0 to 10: where the task's steps are such, every whole number from the lowest to the highest
  may be given, as the judge may give it. Any other scale is a choice between labels, which are the
  task's own steps, so that nothing is converted. Without a labeller the scale is 1 to 10, and so it
  is without its task, unless the data set is in Argilla already: then it is the one there.
- A data set that exists already is used if it has all of this, metadata properties aside: those
  that it lacks are added. What it has besides is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distilabel.errors import ColumnError, ConfigurationError
from distilabel.tasks import PreferenceTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from distilabel.tasks import Task

__all__ = [
    "GENERATIONS",
    "VECTOR",
    "Layout",
    "Scale",
    "Settings",
    "generation_name",
    "lacking",
    "layout_of",
    "metadata_to_add",
    "rating_name",
    "rationale_name",
]

GENERATIONS: Final = "generations"
"""The column of the texts that people rate."""
VECTOR: Final = "input-vector"
"""The vector of a record, if there are any."""
_RATING_MAX: Final = 10
_GUIDELINES_MAX_CHARACTERS: Final = 10_000


def generation_name(number: int) -> str:
    """The field of a text, counted from 1."""
    return f"{GENERATIONS}-{number}"


def rating_name(number: int) -> str:
    """The question for its rating."""
    return f"{GENERATIONS}-{number}-rating"


def rationale_name(number: int) -> str:
    """The question for its rationale."""
    return f"{GENERATIONS}-{number}-rationale"


@dataclass(frozen=True, slots=True)
class Scale:
    """The ratings that may be given, and how Argilla is told of them.

    >>> Scale((1, 2, 3)).answer(2.0), Scale((1, 2, 3)).answer(2.5), Scale((0, 0.5, 1)).answer(0.5)
    (2, None, '0.5')
    """

    values: tuple[float, ...]

    @classmethod
    def of(cls, steps: Iterable[float]) -> Scale:
        """The scale that a task describes by some of its steps.

        >>> Scale.of([3, 0]), Scale.of([1, 0.5, 0])
        (Scale(values=(0, 1, 2, 3)), Scale(values=(0, 0.5, 1)))
        """
        named = cls(tuple(sorted(steps)))
        if not named.is_whole:
            return named
        return cls(tuple(range(int(named.values[0]), int(named.values[-1]) + 1)))

    @classmethod
    def asked(cls, questions: Sequence[Mapping[str, Any]]) -> Scale | None:
        """The scale that a data set in Argilla asks on; None: its questions are not on any.

        Args:
            questions: as its API gives them.
        """
        found = next((each for each in questions if each["name"] == rating_name(1)), None)
        options = (found["settings"].get("options") or ()) if found else ()
        try:
            values = sorted(float(each["value"]) for each in options)
        except (TypeError, ValueError):  # labels of somebody's own
            return None
        return cls(tuple(values)) if values else None

    @property
    def is_whole(self) -> bool:
        """Whether a rating question of Argilla's can hold it."""
        return all(float(v).is_integer() and 0 <= v <= _RATING_MAX for v in self.values)

    def answer(self, rating: object) -> int | str | None:
        """A rating as Argilla's answer; None if it is not on the scale."""
        if not isinstance(rating, int | float) or rating not in self.values:
            return None
        return int(rating) if self.is_whole else _label(rating)

    def spans(self, rating: float) -> bool:
        """Whether a rating lies between the lowest and the highest, as a judge's does."""
        return min(self.values) <= rating <= max(self.values)

    def settings(self) -> dict[str, Any]:
        """The settings of a question for it."""
        if self.is_whole:
            return {"type": "rating", "options": [{"value": int(v)} for v in self.values]}
        options = [{"value": _label(v), "text": _label(v)} for v in self.values]
        shown = len(options) if len(options) > 2 else None
        return {"type": "label_selection", "options": options, "visible_options": shown}


def _label(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


_ONE_TO_TEN: Final = Scale(tuple(range(1, _RATING_MAX + 1)))


@dataclass(frozen=True, slots=True)
class Settings:
    """Fields, questions and the rest, as Argilla's API takes and gives them."""

    fields: Sequence[Mapping[str, Any]]
    questions: Sequence[Mapping[str, Any]]
    metadata: Sequence[Mapping[str, Any]]
    vectors: Sequence[Mapping[str, Any]]
    guidelines: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the records of a data set hold."""

    inputs: tuple[str, ...]
    """Columns that are shown above the texts."""
    generations: int
    """The most texts that a row has."""
    scale: Scale
    columns: frozenset[str]
    """The columns of the data set."""
    task: Task | None = None
    vector_dimensions: int | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether a labeller's ratings are there to be suggested."""
        return "rating" in self.columns

    @property
    def has_rationales(self) -> bool:
        """Whether there are a labeller's rationales."""
        return self.is_labelled and "rationale" in self.columns

    @property
    def numbers(self) -> range:
        """The texts' numbers, from 1."""
        return range(1, self.generations + 1)

    def metadata(self) -> dict[str, str]:
        """The properties of a record by name, with their types."""
        found = {f"{name}-length": "integer" for name in self.inputs}
        found |= {f"{generation_name(i)}-length": "integer" for i in self.numbers}
        found["generations-count"] = "integer"
        if "generation_model" in self.columns:
            found["generation-models"] = "terms"
        if "labelling_model" in self.columns:
            found["labelling-model"] = "terms"
        if self.is_labelled:
            found["rating-distance"] = "float"
        if "call_metadata" in self.columns:
            found |= {"prompt-tokens": "integer", "completion-tokens": "integer"}
        return found

    def settings(self) -> Settings:
        """What to ask the server for."""
        fields = [_field(name, name, is_markdown=False) for name in self.inputs]
        fields += [
            _field(generation_name(i), f"Generation {i}", is_markdown=True) for i in self.numbers
        ]
        questions = [question for i in self.numbers for question in self._questions(i)]
        metadata = [
            {"name": name, "title": name.replace("-", " "), "settings": {"type": kind}}
            for name, kind in self.metadata().items()
        ]
        dimensions = self.vector_dimensions
        vectors = (
            [{"name": VECTOR, "title": VECTOR, "dimensions": dimensions}] if dimensions else []
        )
        return Settings(fields, questions, metadata, vectors, self._guidelines())

    def _questions(self, number: int) -> list[dict[str, Any]]:
        rating = {
            "name": rating_name(number),
            "title": f"How good is generation {number}?",
            "required": number == 1,
            "settings": self.scale.settings(),
        }
        if not self.has_rationales:
            return [rating]
        rationale = {
            "name": rationale_name(number),
            "title": f"Why, for generation {number}?",
            "required": False,
            "settings": {"type": "text", "use_markdown": False},
        }
        return [rating, rationale]

    def _guidelines(self) -> str:
        if not isinstance(self.task, PreferenceTask) or not self.is_labelled:
            return "Rate each generation from 1 to 10. Leave out those that are missing."
        steps = [f"- {_label(each.value)}: {each.description}" for each in self.task.ratings]
        text = "\n".join([self.task.task_description, "", *steps])
        return text[:_GUIDELINES_MAX_CHARACTERS]


def _field(name: str, title: str, *, is_markdown: bool) -> dict[str, Any]:
    settings = {"type": "text", "use_markdown": is_markdown}
    return {"name": name, "title": title, "required": False, "settings": settings}


def layout_of(task: Task | None, *, columns: Sequence[str], generations: int) -> Layout:
    """The layout for rows with these columns.

    Args:
        task: the labeller's task if there was a labeller, else the generator's; None: not known.
        columns: the columns of the data set.
        generations: the most texts that a row has.

    Raises:
        ColumnError: there are no texts to rate, or nothing that says what they answer.
        ConfigurationError: no row has a text.
    """
    _check_column(GENERATIONS, columns)
    inputs = tuple(
        name
        for name in (task.input_columns if task else ())
        if name != GENERATIONS and name in columns
    )
    if not inputs:
        _check_column("input", columns)
    if generations < 1:
        raise ConfigurationError(
            "there is nothing to push to Argilla: the data set has no row with a generation. Push "
            "the data set of a run that made some."
        )
    scale = _ONE_TO_TEN
    if isinstance(task, PreferenceTask) and "rating" in columns:
        scale = Scale.of(step.value for step in task.ratings)
    return Layout(inputs or ("input",), generations, scale, frozenset(columns), task)


def _check_column(name: str, columns: Sequence[str]) -> None:
    if name not in columns:
        raise ColumnError(
            f"a data set for Argilla needs the column {name!r}, and this one has "
            f"{', '.join(columns) or 'none'}. Rename the column that is meant, with "
            f"rename_column(…, {name!r}).",
            column=name,
            available=columns,
        )


def metadata_to_add(wanted: Settings, found: Settings) -> list[Mapping[str, Any]]:
    """The metadata properties that a data set that exists has not; Argilla takes them later on."""
    names = {each["name"] for each in found.metadata}
    return [each for each in wanted.metadata if each["name"] not in names]


def lacking(wanted: Settings, found: Settings) -> list[str]:
    """What a data set that exists has not, or has otherwise; empty: it can be pushed to.

    A metadata property that it has not is none of it; see `metadata_to_add`.
    """
    lacks: list[str] = []
    kinds: list[tuple[str, Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]] = [
        ("field", wanted.fields, found.fields),
        ("question", wanted.questions, found.questions),
        ("metadata property", wanted.metadata, found.metadata),
        ("vector", wanted.vectors, found.vectors),
    ]
    for kind, ours, theirs in kinds:
        by_name = {each["name"]: each for each in theirs}
        for each in ours:
            there = by_name.get(each["name"])
            if there is None and ours is wanted.metadata:
                continue
            if there is None:
                lacks.append(f"it has no {kind} {each['name']!r}")
            elif _shape(there) != _shape(each):
                lacks.append(f"its {kind} {each['name']!r} is {_told(there)}, not {_told(each)}")
        names = {each["name"] for each in ours}
        lacks += [
            f"its {kind} {each['name']!r} is required, and the rows have none"
            for each in theirs
            if kind == "field" and each.get("required") and each["name"] not in names
        ]
    return lacks


def _shape(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """What must be the same for records to be taken and read as they are meant."""
    if "dimensions" in item:
        return ("vector", item["dimensions"])
    options = item["settings"].get("options") or ()
    return (item["settings"]["type"], *sorted(str(each["value"]) for each in options))


def _told(item: Mapping[str, Any]) -> str:
    kind, *values = _shape(item)
    return f"{kind} ({', '.join(map(str, values))})" if values else str(kind)
