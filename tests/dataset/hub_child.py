"""Pushes to a hub and loads from it, in a process that knows no other hub; prints what it found.

`HF_ENDPOINT` is read when `huggingface_hub` is imported, hence a process of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import datasets
from huggingface_hub import DatasetCard

from distilabel.dataset import CustomDataset
from distilabel.errors import DistilabelError
from distilabel.llm import LLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.types import Reply, Usage

datasets.disable_progress_bars()
REPO = "someone/rated"


class Writer(LLM):
    """Writes two texts; the second one is cut."""

    model_name = "/srv/models/writer-small"
    temperature = 0.7

    async def complete(self, call):
        """As a provider with usage and reasons would answer."""
        texts = tuple(f"text {n}" for n in range(call.num_generations))
        return Reply(texts, ("stop", "length"), Usage(10, 20), model="writer-small-0613")

    def settings(self):
        """With an address that nobody needs to know."""
        return {"model": self.model_name, "temperature": 0.7, "base_url": "http://10.0.0.7/v1"}


class Judge(LLM):
    """Rates the first text 2, and leaves the second one out."""

    model_name = "judge"

    async def complete(self, call):
        """One section of two."""
        del call
        return ["#### Output for Text 1\nRating: 2\nRationale: R."]


def made() -> CustomDataset:
    """Four rows of a run with metadata."""
    pipe = Pipeline(
        generator=Writer(TextGenerationTask(system_prompt="Be brief."), prompt_format="openai"),
        labeller=Judge(
            UltraFeedbackTask.for_honesty(system_prompt="Judge well."), prompt_format="openai"
        ),
    )
    rows = [{"input": f"question {n}"} for n in range(4)]
    return pipe.generate(
        rows, num_generations=2, include_metadata=True, enable_checkpoints=False, verbose=False
    )


def round_trip() -> dict:
    """Push, and load by each way that there is."""
    dataset = made()
    commit = dataset.push_to_hub(REPO, num_shards=2, private=True, token="hf_canary1234567890")
    back = CustomDataset.from_hub(REPO)
    plain = datasets.load_dataset(REPO, split="train")
    back.save_to_disk("saved")
    again = CustomDataset.load_from_disk("saved")
    part = CustomDataset.from_hub(REPO, split="train[:1]", revision=commit.oid)
    return {
        "rows": back.to_list() == dataset.to_list() == plain.to_list(),
        "features": back.features == dataset.features,
        "task": back.task == dataset.task == again.task == part.task is not None,
        "run": back.run == dataset.run == again.run == part.run,
        "stages": back._origin.stages == dataset._origin.stages == again._origin.stages,
        "part": len(part),
        "type": type(back).__name__,
    }


def splits_and_configs() -> dict:
    """Two splits and a configuration; then somebody pushes other rows without this library."""
    dataset = made()
    dataset.push_to_hub(REPO)
    dataset.select([0]).push_to_hub(REPO, split="test")
    dataset.to_kto(threshold=2).push_to_hub(REPO, "kto")
    before = CustomDataset.from_hub(REPO, split="test").run
    labelled = CustomDataset.from_hub(REPO, "kto")
    other = datasets.Dataset.from_list(dataset.to_list(), features=dataset.features).select([1, 2])
    other.push_to_hub(REPO, split="test")
    after = CustomDataset.from_hub(REPO, split="test", download_mode="force_redownload")
    dataset.push_to_hub(REPO)
    return {
        "before": before.rows,
        "after": [len(after), after.run.rows, after.task is None],
        "kto": [len(labelled), dict(labelled.left_out), labelled.run.rows],
    }


def sizes() -> dict:
    """A large split, a small one after it, and a configuration that has no more than one row."""
    rows = datasets.Dataset.from_dict({"input": ["a"] * 999, "generations": [["x"]] * 999})
    large = CustomDataset.from_dataset(rows)
    found = []
    for push in (
        lambda: large.push_to_hub(REPO),
        lambda: large.select([0]).push_to_hub(REPO, split="test"),
        lambda: large.push_to_hub(REPO),
        lambda: large.select([0]).push_to_hub(REPO, "more"),
    ):
        push()
        found.append(DatasetCard.load(REPO).data["size_categories"])
    return {"found": found}


def refused() -> dict:
    """Push where the hub does not take the card."""
    try:
        made().push_to_hub(REPO)
    except DistilabelError as error:
        return {"error": str(error), "rows": len(datasets.load_dataset(REPO, split="train"))}
    return {}


if __name__ == "__main__":
    scenarios = {each.__name__: each for each in (round_trip, splits_and_configs, sizes, refused)}
    Path("found.json").write_text(json.dumps(scenarios[sys.argv[1]]()), encoding="utf-8")
