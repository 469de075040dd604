"""This library: `generate` (checkpoints and all, a data set at the end), without, and `stream`.

Making the clients' objects, the data set at the beginning and the one at the end are in the clock,
and so is the journal, synced to the disk.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import datasets
from _protocol import GENERATOR, JUDGE, Clock, Job, run

from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _pipeline(job: Job) -> Pipeline:
    shared: dict[str, Any] = {
        "base_url": job.url,
        "openai_api_key": "none",
        "max_new_tokens": job.max_tokens,
        "num_threads": job.in_flight,
    }
    generator = OpenAILLM(TextGenerationTask(), model=GENERATOR, **shared)
    if job.stages == 1:
        return Pipeline(generator)
    judge = OpenAILLM(UltraFeedbackTask.for_overall_quality(), model=JUDGE, **shared)
    return Pipeline(generator, judge)


def _work(job: Job, clock: Clock) -> Sequence[Mapping[str, Any]]:
    dataset = datasets.Dataset.from_dict({"input": job.instructions()})
    return asyncio.run(_WAYS[job.client](job, clock, dataset))


async def _generate(
    job: Job, _clock: Clock, dataset: datasets.Dataset
) -> Sequence[Mapping[str, Any]]:
    return await _pipeline(job).agenerate(
        dataset, job.num_generations, checkpoint_dir=job.directory, verbose=False
    )


async def _generate_without_checkpoints(
    job: Job, _clock: Clock, dataset: datasets.Dataset
) -> Sequence[Mapping[str, Any]]:
    return await _pipeline(job).agenerate(
        dataset, job.num_generations, enable_checkpoints=False, verbose=False
    )


async def _stream(job: Job, clock: Clock, dataset: datasets.Dataset) -> Sequence[Mapping[str, Any]]:
    kept: list[Mapping[str, Any]] = []
    async with _pipeline(job).stream(
        dataset, job.num_generations, checkpoint_dir=job.directory, verbose=False
    ) as rows:
        async for row in rows:
            clock.row()
            kept.append(row)
    return kept


_WAYS = {
    "generate": _generate,
    "generate, no checkpoints": _generate_without_checkpoints,
    "stream": _stream,
}

if __name__ == "__main__":
    run(_work)
