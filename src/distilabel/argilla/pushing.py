"""A data set as Argilla's records, and its way to the server.

Everything is checked before anything is written: the key, the workspace, and whether a data set of
this name that exists already has the fields and questions that the records need. Then records go in
batches, by id: one that is there is updated, one that is not is added, and none is ever deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from distilabel.argilla.layout import (
    GENERATIONS,
    Scale,
    lacking,
    layout_of,
    metadata_to_add,
)
from distilabel.argilla.records import COLUMNS_READ, RecordIds, entries, input_text, record_of
from distilabel.argilla.server import BATCH_RECORDS, hidden, log_in
from distilabel.argilla.vectors import embedder
from distilabel.errors import ArgillaError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import datasets
    from pydantic import SecretStr

    from distilabel.argilla.layout import Layout
    from distilabel.argilla.records import ArgillaRecord
    from distilabel.argilla.server import ArgillaServer
    from distilabel.argilla.vectors import Vectors
    from distilabel.tasks import Task
    from distilabel.types import InputRow

__all__ = ["ArgillaDataset", "Push", "Target", "most_texts", "open_target", "rows_of"]


@dataclass(frozen=True, slots=True)
class Push:
    """What a push did."""

    records: int
    """Records that were added, or updated by their ids."""
    url: str
    """The data set's page in Argilla."""


class ArgillaDataset:
    """A data set on its way to Argilla; `CustomDataset.to_argilla()` makes one.

    Args:
        rows: the data set.
        task: the labeller's task if there was a labeller, else the generator's; None: not known.
        vectors: gives each record the vector of its input: the name of a model of
            `sentence-transformers`, or a function from texts to vectors.

    Raises:
        ColumnError: there are no texts to rate, or nothing that says what they answer.
        ConfigurationError: no row has a text.
    """

    def __init__(
        self, rows: datasets.Dataset, task: Task | None, *, vectors: Vectors | None = None
    ) -> None:
        self._embed = None if vectors is None else embedder(vectors)
        layout = layout_of(task, columns=rows.column_names, generations=most_texts(rows))
        read = {*layout.inputs, *COLUMNS_READ}
        self._rows = rows.select_columns([c for c in rows.column_names if c in read])
        if self._embed is not None:
            first = next(rows_of(self._rows))
            (vector,) = self._embed(["\n".join(input_text(first, layout))])
            layout = replace(layout, vector_dimensions=len(vector))
        self.layout = layout
        """Fields, questions, metadata and vectors."""

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        fields = [field["name"] for field in self.layout.settings().fields]
        return f"{type(self).__name__}({len(self)} records, fields: {', '.join(fields)})"

    def records(self) -> Iterator[ArgillaRecord]:
        """The records, in the order of the rows."""
        return self._records(self.layout)

    def _records(self, layout: Layout) -> Iterator[ArgillaRecord]:
        ids, rows = RecordIds(), rows_of(self._rows)
        while batch := list(islice(rows, BATCH_RECORDS)):
            vectors: Sequence[Sequence[float] | None] = [None] * len(batch)
            if self._embed is not None:
                vectors = self._embed(["\n".join(input_text(row, layout)) for row in batch])
            for row, vector in zip(batch, vectors, strict=True):
                yield record_of(row, layout, ids, vector)

    def push_to_argilla(
        self,
        name: str,
        workspace: str,
        *,
        api_url: str | None = None,
        api_key: str | SecretStr | None = None,
        client: Any = None,
    ) -> Push:
        """Add these records to a data set on an Argilla server, or update them there.

        Without a client or an address and a key, the client that the program logged in with before
        is used (`argilla.Argilla(…)`), else `ARGILLA_API_URL` and `ARGILLA_API_KEY`.

        Args:
            name: the data set's name; it is made if it is not there.
            workspace: the name of a workspace that is there.
            api_url: the server's address.
            api_key: your key there.
            client: an `argilla.Argilla`, in place of both.

        Raises:
            MissingDependencyError: the package `argilla` is not installed.
            MissingKeyError: there is no key.
            ConfigurationError: a data set of this name exists, with other fields or questions.
                Nothing was written.
            ArgillaError: the server did not do what it was asked; `records_pushed` says how many
                records it had taken. Push again: what is there is updated.
        """
        api_key = hidden(api_key)
        with log_in(api_url=api_url, api_key=api_key, client=client) as server:
            layout = _as_there(server, name, workspace, self.layout)
            target = open_target(server, name, workspace, layout)
            records, done = self._records(layout), 0
            while batch := list(islice(records, BATCH_RECORDS)):
                try:
                    target.put(batch)
                except ArgillaError as error:
                    error.records_pushed = done
                    raise
                done += len(batch)
            return Push(done, target.url)


@dataclass(frozen=True, slots=True)
class Target:
    """A data set on a server that takes records of one layout."""

    server: ArgillaServer
    dataset_id: str
    question_ids: dict[str, str]
    """The server's names for the questions."""

    @property
    def url(self) -> str:
        """Its page in Argilla."""
        return f"{self.server.url}/dataset/{self.dataset_id}/annotation-mode"

    def put(self, records: Sequence[ArgillaRecord]) -> None:
        """Add or update records."""
        items = [record.to_dict(self.question_ids) for record in records]
        self.server.put(self.dataset_id, items)


def _as_there(server: ArgillaServer, name: str, workspace: str, layout: Layout) -> Layout:
    """The layout; without a task on the scale of the data set of this name, if there is one."""
    if layout.task is not None:
        return layout
    dataset_id = server.find(name, server.workspace_id(workspace))
    scale = None if dataset_id is None else Scale.asked(server.settings(dataset_id).questions)
    return layout if scale is None else replace(layout, scale=scale)


def open_target(server: ArgillaServer, name: str, workspace: str, layout: Layout) -> Target:
    """The data set of this name, made if it is not there.

    Raises:
        ConfigurationError: it is there, and has other fields or questions. Nothing was written.
        ArgillaError: there is no such workspace, or the server failed.
    """
    wanted = layout.settings()
    workspace_id = server.workspace_id(workspace)
    dataset_id = server.find(name, workspace_id)
    if dataset_id is None:
        dataset_id = server.create(name, workspace_id, wanted)
    found = server.settings(dataset_id)
    if lacks := lacking(wanted, found):
        raise ConfigurationError(
            f"the data set {name!r} in the workspace {workspace!r} at {server.url} is there with "
            f"other settings: {'; '.join(lacks[:5])}. Nothing was written. Push under another "
            f"name, or delete that data set in Argilla."
        )
    server.add_metadata(dataset_id, metadata_to_add(wanted, found))
    ids = {each["name"]: str(each["id"]) for each in found.questions}
    return Target(server, dataset_id, ids)


def most_texts(rows: datasets.Dataset) -> int:
    """The most texts that a row has."""
    if GENERATIONS not in rows.column_names:
        return 0  # `layout_of` says so
    batches: Any = rows.iter(batch_size=1_000)
    return max((len(entries(row)) for batch in batches for row in batch[GENERATIONS]), default=0)


def rows_of(rows: datasets.Dataset) -> Iterator[InputRow]:
    """The rows, one at a time."""
    batches: Any = rows.iter(batch_size=1_000)
    for batch in batches:
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
