"""Data sets to train on, made of a data set of generations; `prepare_dataset` of release 0.x.

Each names what it made and what it left out in the log, and has a fingerprint that says what it was
made from and how, so that what trainers cache of it is found again.
"""

from __future__ import annotations

import json
import logging
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from distilabel.dataset.choosing import REASONS, BestRule, PairRule, checked_threshold
from distilabel.dataset.training import columns_read, conversations, labelled, pairs
from distilabel.errors import ConfigurationError
from distilabel.tasks import PreferenceTask

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    import datasets

    from distilabel.dataset.choosing import Strategy, Ties
    from distilabel.dataset.custom import CustomDataset
    from distilabel.dataset.training import Made, PromptSource
    from distilabel.tasks import Task

__all__ = ["best", "labels", "preferences", "prepare_dataset"]

_log = logging.getLogger("distilabel")


def preferences(
    dataset: datasets.Dataset,
    *,
    strategy: Strategy,
    ties: Ties,
    min_distance: float,
    seed: int,
    prompt: PromptSource,
) -> tuple[datasets.Dataset, Counter[str]]:
    """The pairs, and why rows gave none; see `CustomDataset.to_preference`."""
    rule = PairRule(strategy, ties, min_distance, seed)
    made = pairs(dataset, rule, prompt=prompt)
    settings = ["preference", strategy, ties, min_distance, seed, prompt]
    return _dataset(dataset, made, settings), made.left_out


def best(
    dataset: datasets.Dataset, *, min_rating: float | None, seed: int, prompt: PromptSource
) -> tuple[datasets.Dataset, Counter[str]]:
    """The conversations, and why rows gave none; see `CustomDataset.to_sft`."""
    made = conversations(dataset, BestRule(min_rating, seed), prompt=prompt)
    return _dataset(dataset, made, ["sft", min_rating, seed, prompt]), made.left_out


def labels(
    dataset: datasets.Dataset,
    *,
    threshold: float | None,
    task: Callable[[], Task | None],
    prompt: PromptSource,
) -> tuple[datasets.Dataset, Counter[str]]:
    """The labelled texts, and why others are left out; see `CustomDataset.to_kto`.

    `task` is asked only where the threshold is left out: its class may not be imported.
    """
    if threshold is None:
        columns_read(dataset, "to_kto", prompt)  # what is missing is told first
        threshold = _middle(task())
    limit = checked_threshold(threshold)
    made = labelled(dataset, threshold=limit, prompt=prompt)
    return _dataset(dataset, made, ["kto", limit, prompt]), made.left_out


def _middle(task: Task | None) -> float:
    """Of the task's scale.

    Raises:
        ConfigurationError: it has none.
    """
    if isinstance(task, PreferenceTask):
        lowest, highest = task.scale
        return (lowest + highest) / 2
    which = "task is not known" if task is None else f"{type(task).__name__} has no scale"
    raise ConfigurationError(
        f"to_kto cannot tell which ratings are good: the data set's {which}. Give the lowest "
        f"rating that is good: to_kto(threshold=...)."
    )


def prepare_dataset(
    dataset: datasets.Dataset,
    strategy: Strategy = "random",
    sft: bool = False,
    seed: int | None = None,
    keep_ties: bool = False,
) -> CustomDataset:
    """Pairs to train on, by the name and with the arguments of release 0.x.

    `CustomDataset.to_preference`, with a column `messages` (the prompt and the chosen text) if
    `sft`. `seed=None` is the seed 0: the same data set gives the same pairs.

    Raises:
        ColumnError: the generations, their ratings or the prompts are missing.
        ConfigurationError: there is no such strategy.
    """
    from distilabel.dataset.custom import CustomDataset

    own = dataset if isinstance(dataset, CustomDataset) else CustomDataset.from_dataset(dataset)
    ties: Ties = "keep" if keep_ties else "drop"
    made = own.to_preference(strategy, seed=seed or 0, ties=ties)
    if not sft:
        return made
    features = made.features | {"messages": made.features["prompt"]}
    return made.map(_with_messages, batched=True, features=type(made.features)(features))


def _with_messages(batch: dict[str, list[list[Any]]]) -> dict[str, list[list[Any]]]:
    both = zip(batch["prompt"], batch["chosen"], strict=True)
    return {"messages": [prompt + chosen for prompt, chosen in both]}


def _dataset(source: datasets.Dataset, made: Made, settings: list[Any]) -> datasets.Dataset:
    from datasets import Dataset, DatasetInfo

    base: str = source._fingerprint  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    digest = blake2b(json.dumps([base, *settings]).encode(), digest_size=8).hexdigest()
    info = DatasetInfo(features=made.features)
    _tell(source, made, str(settings[0]))
    return Dataset(made.table, info=info, split=source.split, fingerprint=digest)


def _tell(source: datasets.Dataset, made: Made, what: str) -> None:
    causes = "; ".join(
        f"{count} because {REASONS[reason]}" for reason, count in made.left_out.most_common()
    )
    level = logging.INFO if len(made.table) or not len(source) else logging.WARNING
    _log.log(
        level,
        "%s: %d rows made of %d; left out: %s",
        what,
        len(made.table),
        len(source),
        causes or "none",
    )
