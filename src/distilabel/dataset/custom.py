"""The result of a run: a `datasets.Dataset` that keeps its task and its summary.

How it keeps them is `with_origin`'s. Here is what can be done with it: save it and load it, make it
into data for training, send it to people in Argilla or to the hub, and have it back from there.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

import datasets

from distilabel.dataset.origin import Origin, read_origin, write_origin
from distilabel.dataset.with_origin import DatasetWithOrigin
from distilabel.types import RunSummary

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import Self

    from pydantic import SecretStr

    from distilabel.argilla import ArgillaDataset, Push, Vectors
    from distilabel.dataset.choosing import Strategy, Ties
    from distilabel.dataset.origin import StageOrigin
    from distilabel.dataset.training import PromptSource
    from distilabel.tasks.base import Task

__all__ = ["CustomDataset"]


class CustomDataset(DatasetWithOrigin):
    """A `datasets.Dataset` that stays one of these, with its `task` and its `run`.

    Through select, map, shuffle, sort, filter, train_test_split and every other method that makes
    a data set of this one, and through pickling, copying, saving and loading.

    >>> from datasets import Dataset
    >>> dataset = CustomDataset.from_dataset(
    ...     Dataset.from_dict({"input": ["a", "b"]}), run=RunSummary(rows=2)
    ... )
    >>> dataset.select([1]).run.rows
    2
    """

    @classmethod
    def from_dataset(
        cls,
        dataset: datasets.Dataset,
        *,
        task: Task | None = None,
        run: RunSummary | None = None,
        stages: Sequence[StageOrigin] = (),
    ) -> Self:
        """`dataset` with an origin. The data is shared, not copied."""
        origin = Origin(task, run or RunSummary(), stages=tuple(stages))
        return cls._restored(copy.deepcopy(vars(dataset)), origin)

    @property
    def task(self) -> Task | None:
        """The labeller's task if there was a labeller, else the generator's; None: not known.

        Raises:
            ConfigurationError: the data set was loaded, and the task's class is not imported yet.
        """
        return self._origin.task

    @property
    def run(self) -> RunSummary:
        """What the run did."""
        return self._origin.run

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many rows (of `to_kto`: texts) gave nothing to train on, by reason; see `REASONS`."""
        return self._origin.left_out

    def to_preference(
        self,
        strategy: Strategy = "random",
        *,
        seed: int = 0,
        ties: Ties = "drop",
        min_distance: float = 0.0,
        prompt: PromptSource = "seen",
    ) -> CustomDataset:
        """Pairs for DPO and its kin: the best-rated text of a row against another one.

        The columns are `prompt`, `chosen` and `rejected` (lists of messages), `rating_chosen`,
        `rating_rejected`, `model_chosen`, `model_rejected`, `rationale_chosen` and
        `rationale_rejected`. The two texts are never the same. Rows that give no pair are left out;
        `left_out` counts them by reason.

        Args:
            strategy: against one of the others, drawn ("random"), or against the worst ("worst").
            seed: another seed draws differently. A row's draw depends on nothing but its texts.
            ties: "keep": the two ratings may be equal; "drop": the chosen one's is higher.
            min_distance: by so much at least.
            prompt: "seen": what the generator was sent for the chosen text, where that was a chat,
                else `input` as the message of a user; "input": always the latter.

        Raises:
            ColumnError: the generations, their ratings or the prompts are missing.
            ConfigurationError: a setting is none of those above, or two contradict each other.
        """
        from distilabel.dataset.exports import preferences

        made, left_out = preferences(
            self, strategy=strategy, ties=ties, min_distance=min_distance, seed=seed, prompt=prompt
        )
        return self._derived(made, left_out)

    def to_sft(
        self, *, min_rating: float | None = None, seed: int = 0, prompt: PromptSource = "seen"
    ) -> CustomDataset:
        """Conversations to fine-tune on: the prompt and the best-rated text of each row.

        The columns are `messages`, `rating`, `model` and `rationale`. Of several best texts one is
        drawn. A data set without ratings will do if no row has more than one text.

        Args:
            min_rating: leave out rows whose best text is rated lower.
            seed: another seed draws differently.
            prompt: as for `to_preference`.

        Raises:
            ColumnError: the generations, the prompts, or the ratings for `min_rating` are missing.
        """
        from distilabel.dataset.exports import best

        return self._derived(*best(self, min_rating=min_rating, seed=seed, prompt=prompt))

    def to_kto(
        self, threshold: float | None = None, *, prompt: PromptSource = "seen"
    ) -> CustomDataset:
        """Texts with a label for KTO: True where the rating is at least `threshold`.

        The columns are `prompt` and `completion` (lists of messages), `label`, `rating`, `model`
        and `rationale`; there is a row for each rated text, and equal texts of a row count once.

        Args:
            threshold: the lowest rating that is good. None: the middle of the task's scale, which
                is 3 on a scale of 1 to 5.
            prompt: as for `to_preference`.

        Raises:
            ColumnError: the generations, their ratings or the prompts are missing.
            ConfigurationError: `threshold` is no finite number, or is left out and the task of the
                data set has no scale or is not known.
        """
        from distilabel.dataset.exports import labels

        made = labels(self, threshold=threshold, task=lambda: self.task, prompt=prompt)
        return self._derived(*made)

    def save_to_disk(  # pyright: ignore[reportIncompatibleMethodOverride]  # bytes are no path here
        self,
        dataset_path: str | os.PathLike[str],
        max_shard_size: str | int | None = None,
        num_shards: int | None = None,
        num_proc: int | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> None:
        """As `datasets.Dataset.save_to_disk`, with task and run in `distilabel.json` beside.

        Raises:
            ConfigurationError: the task's settings are not plain data. Nothing was written.
        """
        origin = self._origin.to_dict()
        if not len(self.data) and num_shards is None:
            max_shard_size, num_shards = None, 1  # without a file, datasets cannot load it again
        super().save_to_disk(dataset_path, max_shard_size, num_shards, num_proc, storage_options)
        write_origin(dataset_path, origin, fingerprint=self._fingerprint, options=storage_options)

    @classmethod
    def load_from_disk(  # pyright: ignore[reportIncompatibleMethodOverride]  # was a static method
        cls,
        dataset_path: str | os.PathLike[str],
        keep_in_memory: bool | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> Self:
        """As `datasets.Dataset.load_from_disk`, with task and run, as far as they were saved.

        Raises:
            ConfigurationError: the file that holds them is damaged.
        """
        dataset = datasets.Dataset.load_from_disk(dataset_path, keep_in_memory, storage_options)
        return cls._restored(vars(dataset), read_origin(dataset_path, options=storage_options))

    def to_argilla(self, *, vectors: Vectors | None = None) -> ArgillaDataset:
        """This data set as records for Argilla, where people rate and correct.

        Texts become fields; ratings and rationales become questions, with the labeller's answers
        as suggestions.

        Args:
            vectors: gives each record the vector of its input: the name of a model of
                `sentence-transformers`, or a function from texts to vectors.

        Raises:
            ColumnError: there are no texts to rate, or nothing that says what they answer.
            ConfigurationError: no row has a text.
        """
        from distilabel.argilla import ArgillaDataset

        return ArgillaDataset(self.with_format(None), self.task, vectors=vectors)

    def push_to_argilla(
        self,
        name: str,
        workspace: str,
        *,
        api_url: str | None = None,
        api_key: str | SecretStr | None = None,
        client: Any = None,
        vectors: Vectors | None = None,
    ) -> Push:
        """`to_argilla`, and its `push_to_argilla` with the same arguments.

        A second push under the same name adds or updates; it never doubles a record.
        """
        from distilabel.argilla import hidden

        api_key = hidden(api_key)  # before all that raises
        return self.to_argilla(vectors=vectors).push_to_argilla(
            name, workspace, api_url=api_url, api_key=api_key, client=client
        )

    @classmethod
    def from_argilla(
        cls,
        name: str,
        workspace: str,
        *,
        dataset: CustomDataset | None = None,
        api_url: str | None = None,
        api_key: str | SecretStr | None = None,
        client: Any = None,
    ) -> Self:
        """People's answers, as columns beside the model's.

        `human_rating` and `human_rationale` are those of submitted responses, `human_responses` is
        all that people did; see `distilabel.argilla.pulling`.

        Args:
            name: the data set's name in Argilla.
            workspace: the name of the workspace that it is in.
            dataset: what was pushed; its rows are matched by record id, and it is given back with
                people's columns. None: what Argilla holds of it.
            api_url: the server's address.
            api_key: your key there.
            client: an `argilla.Argilla`, in place of both.

        Raises:
            MissingDependencyError: the package `argilla` is not installed.
            MissingKeyError: there is no key.
            ConfigurationError: no row of `dataset` is there, or distilabel did not push this.
            ArgillaError: there is no such data set, or the server failed.
        """
        from distilabel.argilla import hidden, pull

        api_key = hidden(api_key)
        pulled = pull(name, workspace, api_url=api_url, api_key=api_key, client=client)
        if dataset is None:
            return cls.from_dataset(pulled.to_dataset())
        beside = pulled.beside(dataset.with_format(None), dataset.task)
        return cls._restored(vars(beside), dataset._origin)  # noqa: SLF001  # its own class

    @wraps(datasets.Dataset.push_to_hub)
    def push_to_hub(  # pyright: ignore[reportIncompatibleMethodOverride]  # takes the same
        self, *args: Any, **kwargs: Any
    ) -> Any:
        """As `datasets.Dataset.push_to_hub`, with a card of how the rows were made.

        Takes the same arguments. The card is a section of the repository's README; task and run
        are put beside the rows, and `from_hub` brings them back. A bucket gets the rows alone.

        Raises:
            ConfigurationError: the task's settings are not plain data. Nothing was pushed.
            DistilabelError: the rows are there, but card and origin could not be added.
        """
        from distilabel.dataset.hub import describe, subject_of

        given = signature(datasets.Dataset.push_to_hub).bind(self, *args, **kwargs)
        given.apply_defaults()
        options = given.arguments
        if options["repo_id"].startswith("buckets/"):
            return super().push_to_hub(*args, **kwargs)
        config_name = options["config_name"]
        split = options["split"] or str(self.split or "train")
        subject = subject_of(self, self._origin, config_name=config_name, split=split)
        pushed = super().push_to_hub(*args, **kwargs)
        described = describe(
            subject,
            pushed,
            data_dir=options["data_dir"] or ("data" if config_name == "default" else config_name),
            revision=options["revision"],
            token=options["token"],
        )
        return pushed if options["create_pr"] else described

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        config_name: str | None = None,
        *,
        split: str = "train",
        revision: str | None = None,
        token: str | None = None,
        **options: Any,
    ) -> Self:
        """The rows of `datasets.load_dataset`, with task and run, as far as they were pushed.

        Args:
            repo_id: the repository.
            config_name: a configuration; None: the default one.
            split: one split, or a slice of it, such as "train[:10%]".
            revision: a branch, tag or commit.
            token: for repositories that are not public.
            options: more of `datasets.load_dataset`.

        Raises:
            ConfigurationError: the file that holds task and run is damaged.
        """
        from distilabel.dataset.hub import load_origin, revision_of

        commit = revision_of(repo_id, revision, token)
        rows = datasets.load_dataset(
            repo_id, config_name, split=split, revision=commit, token=token, **options
        )
        origin = load_origin(
            repo_id,
            config_name=rows.info.config_name or config_name or "default",
            split=split.partition("[")[0],
            revision=commit,
            token=token,
        )
        return cls._restored(vars(rows), origin)

    def _derived(self, made: datasets.Dataset, left_out: Mapping[str, int]) -> CustomDataset:
        return self._restored(vars(made), replace(self._origin, left_out=dict(left_out)))
