"""The clients that `efficiency.py` compares, one to a process.

All of them send the same prompts (the library's tasks render them), read the replies with the same
parser, and keep every row. What differs is who sends: this library, with checkpoints (its default)
or without, or a script over `AsyncOpenAI` with two semaphores, as anyone would write it by hand.

The clock starts when everything is imported and the data set is in memory; it stops when all rows
are in the caller's hands. Making the clients' objects and opening connections is inside.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import datasets
import msgspec
from openai import AsyncOpenAI

from _machine import rss_mb
from distilabel.events import Event, RowFinished
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["CLIENTS", "GENERATOR", "LABELLER", "Job", "Measured"]

GENERATOR, LABELLER = "writer", "judge"
_NUM_GENERATIONS = 2
_MAX_NEW_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Job:
    """What a client is to do."""

    client: str
    url: str
    rows: int
    permits: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What it took."""

    wall_s: float
    first_row_s: float
    """Until a row was complete, or, of a stream, in the consumer's hands."""
    cpu_s: float
    """Of this process, in user and kernel mode."""
    rss_before_mb: float
    """With everything imported, before the clock."""
    rss_peak_mb: float
    rows_rated: int
    """Rows with a rating for each generation: all of them, or the figures are void."""


class _Clock:
    """Runs from its making; notes when the first row came."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.first_row_s = 0.0

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def row(self) -> None:
        self.first_row_s = self.first_row_s or self.seconds()

    def on_event(self, event: Event) -> None:
        if isinstance(event, RowFinished):
            self.row()


def _pipeline(job: Job) -> Pipeline:
    shared: dict[str, Any] = {
        "base_url": job.url,
        "openai_api_key": "none",
        "max_new_tokens": _MAX_NEW_TOKENS,
        "num_threads": job.permits,
    }
    return Pipeline(
        generator=OpenAILLM(TextGenerationTask(), model=GENERATOR, **shared),
        labeller=OpenAILLM(UltraFeedbackTask.for_overall_quality(), model=LABELLER, **shared),
    )


async def _generate(
    job: Job, dataset: datasets.Dataset, clock: _Clock
) -> Iterable[Mapping[str, Any]]:
    return await _pipeline(job).agenerate(
        dataset, _NUM_GENERATIONS, verbose=False, on_event=clock.on_event
    )


async def _generate_without_checkpoints(
    job: Job, dataset: datasets.Dataset, clock: _Clock
) -> Iterable[Mapping[str, Any]]:
    return await _pipeline(job).agenerate(
        dataset,
        _NUM_GENERATIONS,
        enable_checkpoints=False,
        verbose=False,
        on_event=clock.on_event,
    )


async def _stream(
    job: Job, dataset: datasets.Dataset, clock: _Clock
) -> Iterable[Mapping[str, Any]]:
    kept: list[Mapping[str, Any]] = []
    async with _pipeline(job).stream(dataset, _NUM_GENERATIONS, verbose=False) as rows:
        async for row in rows:
            clock.row()
            kept.append(row)
    return kept


async def _by_hand(
    job: Job, dataset: datasets.Dataset, clock: _Clock
) -> Iterable[Mapping[str, Any]]:
    client = AsyncOpenAI(base_url=job.url, api_key="none")
    write, rate = TextGenerationTask(), UltraFeedbackTask.for_overall_quality()
    writing, rating = asyncio.Semaphore(job.permits), asyncio.Semaphore(job.permits)
    kept: list[Mapping[str, Any]] = []

    async def ask(model: str, messages: Any, n: int) -> Sequence[str]:
        completion = await client.chat.completions.create(
            model=model, messages=messages, n=n, max_tokens=_MAX_NEW_TOKENS
        )
        return [choice.message.content or "" for choice in completion.choices]

    async def make(row: dict[str, Any]) -> None:
        prompt = write.generate_prompt(row["input"]).format_as("openai")
        async with writing:
            texts = await ask(GENERATOR, prompt, _NUM_GENERATIONS)
        inputs = {"input": row["input"], "generations": texts}
        async with rating:
            reply = await ask(LABELLER, rate.generate_prompt(**inputs).format_as("openai"), 1)
        clock.row()
        kept.append({**row, "generations": texts, **rate.parse(reply[0], inputs).values})

    async with client, asyncio.TaskGroup() as group:
        for row in dataset:
            group.create_task(make(row))
    return kept


CLIENTS = {
    "generate": _generate,
    "no checkpoints": _generate_without_checkpoints,
    "stream": _stream,
    "by hand": _by_hand,
}


def measure(job: Job) -> Measured:
    """Run one client in this process."""
    texts = [
        f"Question {k}: why does the moon seem larger near the horizon?" for k in range(job.rows)
    ]
    dataset = datasets.Dataset.from_dict({"input": texts})
    rss_before_mb, cpu_before_s = rss_mb(), time.process_time()
    clock = _Clock()
    rows = asyncio.run(CLIENTS[job.client](job, dataset, clock))
    wall_s, cpu_s = clock.seconds(), time.process_time() - cpu_before_s
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Measured(
        wall_s=wall_s,
        first_row_s=clock.first_row_s,
        cpu_s=cpu_s,
        rss_before_mb=rss_before_mb,
        rss_peak_mb=peak_kb / 2**10,
        rows_rated=sum(_is_rated(row) for row in rows),
    )


def _is_rated(row: Mapping[str, Any]) -> bool:
    return len(row["rating"]) == _NUM_GENERATIONS and None not in row["rating"]


if __name__ == "__main__":
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(measure(job)))
