"""What `scaling.py` measures, in a process of its own: one figure for one job on stdin."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, replace
from itertools import islice
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from clients._protocol import peak_mb
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Figure", "Job"]

_MODEL = "simulated-model"
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Job:
    """What to do."""

    way: str
    """``stream``, ``bare`` or ``burst``."""
    url: str
    rows: int
    permits: int
    waiting: int = 0
    """Of a burst: how many rows are asked for at once, however few the permits."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What it took."""

    cpu_s: float
    wall_s: float
    memory_mb: float


def _texts(rows: int) -> Iterator[dict[str, str]]:
    """A source without a length: a row is made when it is asked for."""
    return ({"input": f"Question {k}: why does the moon seem larger?"} for k in range(rows))


def _llm(job: Job) -> OpenAILLM:
    return OpenAILLM(
        TextGenerationTask(),
        model=_MODEL,
        base_url=job.url,
        openai_api_key="none",
        num_threads=job.permits,
    )


async def _stream(job: Job) -> int:
    """Rows of a lazy source, checkpoints on, taken and let go one by one."""
    made = 0
    with TemporaryDirectory(prefix="bench-") as directory:
        async with Pipeline(_llm(job)).stream(
            _texts(job.rows), batch_size=32, checkpoint_dir=directory, verbose=False
        ) as rows:
            async for row in rows:
                made += row["generations"] != [None]
    return made


async def _burst(job: Job) -> int:
    """Bursts of calls to one backend, all but a few of which wait for a permit."""
    llm = _llm(job)
    texts = _texts(job.rows)
    made = 0
    while burst := list(islice(texts, job.waiting)):
        made += len(await llm.agenerate(burst))
    return made


async def _bare(job: Job) -> int:
    """A worker for each permit over aiohttp: what the sockets alone cost."""
    texts = _texts(job.rows)
    made = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal made
        for text in texts:
            messages = [{"role": "user", "content": text["input"]}]
            body = {"model": _MODEL, "messages": messages, "max_tokens": 128, "n": 1}
            data = msgspec.json.encode(body)
            async with session.post(f"{job.url}/chat/completions", data=data) as response:
                reply: Any = _decode(await response.read())
            made += bool(reply["choices"][0]["message"]["content"])

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(job.permits):
            group.create_task(work(session))
    return made


_WAYS = {"stream": _stream, "burst": _burst, "bare": _bare}


def measure(job: Job) -> Figure:
    """Do the job, after a few rows that fetch what is imported on first use."""
    way = _WAYS[job.way]
    asyncio.run(way(replace(job, rows=16)))
    started_s, cpu_before_s = time.perf_counter(), time.process_time()
    made = asyncio.run(way(job))
    cpu_s, wall_s = time.process_time() - cpu_before_s, time.perf_counter() - started_s
    if made != job.rows:
        sys.exit(f"{made} of {job.rows} rows were made: the figure would be void")
    return Figure(cpu_s, wall_s, peak_mb())


if __name__ == "__main__":
    done = measure(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
    sys.stdout.buffer.write(msgspec.json.encode(done))
