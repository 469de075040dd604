"""Rows of both stages, and data sets made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import datasets
import pytest
from two_stages import GENERATOR, LABELLER, SCHEMA

from distilabel.dataset.assembler import (
    DatasetAssembler,
    Generation,
    Label,
    fold_generations,
    fold_label,
)
from distilabel.types import Row, RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from distilabel.dataset import CustomDataset
    from distilabel.dataset.schema import ResultSchema


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> Iterator[None]:
    """Caches and progress bars of `datasets` stay inside the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def make_row() -> Callable[..., Row]:
    """Makes a finished row of two generations, with the user's columns given."""

    def make(index: int, **user: Any) -> Row:
        chat = [{"role": "system", "content": "Rate."}, {"role": "user", "content": f"{index}"}]
        texts = [f"{index}a", f"{index}b"]
        values = {"rating": [float(index), None], "rationale": [f"why {index}", None]}
        columns = {
            **user,
            **fold_generations(
                GENERATOR, [Generation("gen", f"p{index}", t, {"generations": t}) for t in texts]
            ),
            **fold_label(LABELLER, Label("judge", chat, f"raw {index}", values)),
        }
        return Row(columns, index=index)

    return make


@pytest.fixture
def assemble() -> Callable[..., CustomDataset]:
    """Makes a data set of rows, with the columns of both stages."""

    def make(
        rows: Iterable[Row], source: datasets.Dataset | None = None, schema: ResultSchema = SCHEMA
    ) -> CustomDataset:
        assembler = DatasetAssembler(schema, keeps_user_columns=source is None)
        for row in rows:
            assembler.add(row)
        return assembler.build(source, task=None, run=RunSummary())

    return make
