"""What people said in Argilla, as columns beside the model's.

- `human_responses` keeps everything: one entry for each person who answered, with their name, the
  status (`submitted`, `draft` or `discarded`), and their rating and rationale for each text.
- `human_rating` is the mean of the submitted ratings of each text, and `human_rationale` the list
  of submitted rationales of each text, in the order of `human_responses`. Drafts and what was
  discarded are in neither. A text that nobody rated is None; so is the column where nobody
  submitted anything.
- `argilla_id` and `argilla_status` (`pending` or `completed`) say which record it was.
- An answer that is no number, to a question that somebody changed in Argilla, is None.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distilabel.argilla.layout import (
    GENERATIONS,
    generation_name,
    layout_of,
    rating_name,
    rationale_name,
)
from distilabel.argilla.pushing import most_texts, rows_of
from distilabel.argilla.records import RecordIds, entries, id_of
from distilabel.argilla.server import hidden, log_in
from distilabel.errors import ArgillaError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import datasets
    from pydantic import SecretStr

    from distilabel.argilla.layout import Settings
    from distilabel.tasks import Task

__all__ = ["HUMAN_COLUMNS", "Pulled", "pull"]

HUMAN_COLUMNS: Final = (
    "argilla_id",
    "argilla_status",
    "human_rating",
    "human_rationale",
    "human_responses",
)
"""The columns that people's answers come home in."""
_NUMBERED: Final = re.compile(rf"{GENERATIONS}-[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Pulled:
    """The records of a data set on a server, with what people said."""

    records: Sequence[Mapping[str, Any]]
    """As the server gives them, oldest first."""
    settings: Settings
    people: Mapping[str, str]
    """Names of users by the server's names for them; may lack some."""

    @property
    def _inputs(self) -> list[str]:
        names = (field["name"] for field in self.settings.fields)
        return [name for name in names if not _NUMBERED.fullmatch(name)]

    @property
    def _generations(self) -> int:
        return sum(1 for field in self.settings.fields if _NUMBERED.fullmatch(field["name"]))

    def to_dataset(self) -> datasets.Dataset:
        """The whole data set: what was pushed, as far as Argilla holds it, and people's answers."""
        import datasets  # 0.8 s

        columns = self.columns()
        features = {name: _feature(name) for name in columns}
        return datasets.Dataset.from_dict(columns, features=datasets.Features(features))

    def beside(self, rows: datasets.Dataset, task: Task | None) -> datasets.Dataset:
        """The data set that was pushed, with people's answers; those it had are replaced."""
        columns = self.columns_beside(rows, task)
        rows = rows.remove_columns([name for name in columns if name in rows.column_names])
        for name, values in columns.items():
            rows = rows.add_column(name, values, feature=_feature(name))
        return rows

    def columns(self) -> dict[str, list[Any]]:
        """The whole data set by column: what was pushed, as far as Argilla holds it, and people's.

        Ratings and rationales are those that are suggested there, `labelling_model` is who
        suggested them.
        """
        questions = {str(q["id"]): q["name"] for q in self.settings.questions}
        rows = [self._row(record, questions) for record in self.records]
        names = [*self._inputs, GENERATIONS, "labelling_model", "rating", "rationale"]
        found = {name: [row[name] for row in rows] for name in names}
        if not any(record.get("suggestions") for record in self.records):
            for name in ("labelling_model", "rating", "rationale"):
                del found[name]  # nobody labelled it
        return found | self._people([_texts_of(row) for row in rows], self.records)

    def columns_beside(self, rows: datasets.Dataset, task: Task | None) -> dict[str, list[Any]]:
        """People's answers for the rows of a data set that was pushed, matched by record id."""
        layout = layout_of(task, columns=rows.column_names, generations=most_texts(rows))
        by_id = {record["external_id"]: record for record in self.records}
        ids, texts, found = RecordIds(), [], []
        for row in rows_of(rows.select_columns([*layout.inputs, GENERATIONS])):
            texts.append(len(entries(row[GENERATIONS])))
            found.append(by_id.get(id_of(row, layout, ids)))
        if self.records and not any(found):
            raise ConfigurationError(
                "no record in Argilla is one of this data set's rows. Give the data set that was "
                "pushed, with the same inputs and generations, or leave dataset= out."
            )
        return self._people(texts, found)

    def _row(self, record: Mapping[str, Any], questions: Mapping[str, str]) -> dict[str, Any]:
        numbers, fields = range(1, self._generations + 1), record["fields"]
        said = {
            questions[str(each["question_id"])]: each
            for each in record.get("suggestions") or ()
            if str(each["question_id"]) in questions
        }
        texts = [fields.get(generation_name(i)) for i in numbers]
        ratings = [_number(said.get(rating_name(i), {}).get("value")) for i in numbers]
        rationales = [said.get(rationale_name(i), {}).get("value") for i in numbers]
        metadata = record.get("metadata") or {}
        count = metadata.get("generations-count", self._generations)
        agents = (each.get("agent") for each in said.values())
        return {name: fields.get(name) for name in self._inputs} | {
            GENERATIONS: texts[:count],
            "labelling_model": metadata.get("labelling-model") or next(agents, None),
            "rating": ratings[:count],
            "rationale": rationales[:count],
        }

    def _people(
        self, texts: Sequence[int], records: Sequence[Mapping[str, Any] | None]
    ) -> dict[str, list[Any]]:
        """`HUMAN_COLUMNS` for records with so many texts each; None: there is no record."""
        found: dict[str, list[Any]] = {name: [] for name in HUMAN_COLUMNS}
        for count, record in zip(texts, records, strict=True):
            answers = [
                self._answer(response, count) for response in (record or {}).get("responses") or ()
            ]
            submitted = [each for each in answers if each["status"] == "submitted"]
            found["argilla_id"].append(record and record["external_id"])
            found["argilla_status"].append(record and record["status"])
            found["human_responses"].append(answers)
            found["human_rating"].append(_means(submitted, count) if submitted else None)
            found["human_rationale"].append(_rationales(submitted, count) if submitted else None)
        return found

    def _answer(self, response: Mapping[str, Any], count: int) -> dict[str, Any]:
        values = {name: each["value"] for name, each in (response.get("values") or {}).items()}
        user = str(response.get("user_id"))
        rationales = [values.get(rationale_name(i)) for i in range(1, count + 1)]
        return {
            "responder": self.people.get(user, user),
            "status": response["status"],
            "rating": [_number(values.get(rating_name(i))) for i in range(1, count + 1)],
            "rationale": [each if isinstance(each, str) else None for each in rationales],
        }


def pull(
    name: str,
    workspace: str,
    *,
    api_url: str | None = None,
    api_key: str | SecretStr | None = None,
    client: Any = None,
) -> Pulled:
    """Fetch a data set with people's answers.

    Raises:
        MissingDependencyError: the package `argilla` is not installed.
        MissingKeyError: there is no key.
        ArgillaError: there is no such data set, or the server failed.
    """
    api_key = hidden(api_key)
    with log_in(api_url=api_url, api_key=api_key, client=client) as server:
        workspace_id = server.workspace_id(workspace)
        dataset_id = server.find(name, workspace_id)
        if dataset_id is None:
            raise ArgillaError(
                f"the workspace {workspace!r} at {server.url} has no data set {name!r}. Push it "
                f"first, or correct the name.",
                status=404,
            )
        settings = server.settings(dataset_id)
        if not any(field["name"] == generation_name(1) for field in settings.fields):
            raise ConfigurationError(
                f"the data set {name!r} at {server.url} has no field {generation_name(1)!r}: "
                f"distilabel did not push it. Load it with the package argilla."
            )
        records = list(server.records(dataset_id))
        return Pulled(records, settings, server.usernames(workspace_id))


def _texts_of(row: Mapping[str, Any]) -> int:
    return len(row[GENERATIONS])


def _number(value: object) -> float | None:
    """An answer as a number: ratings are numbers, labels are numbers written out."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _means(answers: Sequence[Mapping[str, Any]], count: int) -> list[float | None]:
    ratings = [
        [a["rating"][i] for a in answers if a["rating"][i] is not None] for i in range(count)
    ]
    return [sum(each) / len(each) if each else None for each in ratings]


def _rationales(answers: Sequence[Mapping[str, Any]], count: int) -> list[list[str]]:
    return [[a["rationale"][i] for a in answers if a["rationale"][i]] for i in range(count)]


def _feature(column: str) -> Any:
    """The type of a column."""
    from datasets import List, Value  # 0.8 s

    text, number = Value("string"), Value("float64")
    answer = {"responder": text, "status": text, "rating": List(number), "rationale": List(text)}
    features: dict[str, Any] = {
        GENERATIONS: List(text),
        "rating": List(number),
        "rationale": List(text),
        "human_rating": List(number),
        "human_rationale": List(List(text)),
        "human_responses": List(answer),
    }
    return features.get(column, text)
