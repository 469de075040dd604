"""What our own code costs: CPU per call at zero latency, against a bare aiohttp loop.

The endpoint runs in a process of its own and answers at once, so a client does nothing but work.
"bare aiohttp" is the floor: N tasks that post a body encoded beforehand and decode the reply. The
rest is this library: one stage (a call a row), and two (two calls a row; the figure is per call),
without checkpoints except in the last line.
CPU is that of the client's process, user and kernel mode; the best of `--repeat` rounds
counts, as whatever else runs on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import aiohttp
import datasets
import msgspec
from rich.console import Console
from rich.table import Table

from _machine import describe
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import SimulatedEndpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import TypeAlias

    Way: TypeAlias = Callable[[str, int, int], Awaitable[int]]
    """Makes calls to a URL, so many, so many at once; the number of calls made."""

_IN_FLIGHT = (16, 64, 512)
_MODEL = "simulated-model"
_decode = msgspec.json.Decoder().decode


def _texts(rows: int) -> list[str]:
    return [f"Question {k}: why does the moon seem larger near the horizon?" for k in range(rows)]


async def _bare(url: str, rows: int, in_flight: int) -> int:
    """The floor: nothing but requests and replies."""
    fixed = {"model": _MODEL, "max_tokens": 128, "temperature": 1.0, "n": 1}
    bodies = iter(
        msgspec.json.encode(fixed | {"messages": [{"role": "user", "content": text}]})
        for text in _texts(rows)
    )
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}

    async def work(session: aiohttp.ClientSession) -> None:
        for body in bodies:
            async with session.post(
                f"{url}/chat/completions", data=body, headers=headers
            ) as response:
                _decode(await response.read())["choices"][0]["message"]["content"]

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work(session))
    return rows


def _settings(url: str, in_flight: int) -> dict[str, Any]:
    return {
        "model": _MODEL,
        "base_url": url,
        "openai_api_key": "none",
        "num_threads": in_flight,
    }


def _one_stage(url: str, in_flight: int) -> Pipeline:
    return Pipeline(OpenAILLM(TextGenerationTask(), **_settings(url, in_flight)))


async def _agenerate_llm(url: str, rows: int, in_flight: int) -> int:
    llm = OpenAILLM(TextGenerationTask(), **_settings(url, in_flight))
    await llm.agenerate([{"input": text} for text in _texts(rows)])
    return rows


async def _drain(pipe: Pipeline, rows: Iterable[dict[str, str]], batch_size: int) -> int:
    count = 0
    async with pipe.stream(
        rows, batch_size=batch_size, enable_checkpoints=False, verbose=False
    ) as finished:
        async for _ in finished:
            count += 1
    return count


async def _stream(url: str, rows: int, in_flight: int) -> int:
    texts = [{"input": text} for text in _texts(rows)]
    return await _drain(_one_stage(url, in_flight), texts, 1)


async def _stream_lazily(url: str, rows: int, in_flight: int) -> int:
    texts = ({"input": text} for text in _texts(rows))
    return await _drain(_one_stage(url, in_flight), texts, 1)


async def _stream_lazily_by_32(url: str, rows: int, in_flight: int) -> int:
    texts = ({"input": text} for text in _texts(rows))
    return await _drain(_one_stage(url, in_flight), texts, 32)


async def _generate(url: str, rows: int, in_flight: int) -> int:
    dataset = datasets.Dataset.from_dict({"input": _texts(rows)})
    pipe = _one_stage(url, in_flight)
    return len(await pipe.agenerate(dataset, enable_checkpoints=False, verbose=False))


async def _generate_kept(url: str, rows: int, in_flight: int) -> int:
    dataset = datasets.Dataset.from_dict({"input": _texts(rows)})
    with TemporaryDirectory() as directory:
        pipe = _one_stage(url, in_flight)
        return len(await pipe.agenerate(dataset, checkpoint_dir=directory, verbose=False))


async def _generate_twice(url: str, rows: int, in_flight: int) -> int:
    settings = _settings(url, max(1, in_flight // 2))
    pipe = Pipeline(
        OpenAILLM(TextGenerationTask(), **settings),
        OpenAILLM(UltraFeedbackTask.for_overall_quality(), **settings),
    )
    dataset = datasets.Dataset.from_dict({"input": _texts(rows // 2)})
    return 2 * len(await pipe.agenerate(dataset, enable_checkpoints=False, verbose=False))


WAYS: dict[str, Way] = {
    "bare aiohttp": _bare,
    "llm.agenerate": _agenerate_llm,
    "stream of a list": _stream,
    "stream of a generator": _stream_lazily,
    "the same, batch_size=32": _stream_lazily_by_32,
    "generate": _generate,
    "generate, two stages": _generate_twice,
    "generate with checkpoints": _generate_kept,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=4000, help="calls in each round (4000)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the best counts (3)")
    parser.add_argument("--in-flight", type=int, nargs="+", default=list(_IN_FLIGHT))
    parser.add_argument("--only", help="ways whose name holds this")
    options = parser.parse_args()
    console = Console()
    console.print(describe(), highlight=False)
    table = Table(title="Microseconds of CPU per call at zero latency")
    table.add_column("client")
    for in_flight in options.in_flight:
        table.add_column(f"{in_flight} in flight", justify="right")
    with SimulatedEndpoint.process(ledger="counters") as endpoint:
        for name, way in WAYS.items():
            if options.only is None or options.only in name:
                figures = [_best(way, endpoint.openai_url, options, n) for n in options.in_flight]
                table.add_row(name, *(f"{figure:.0f}" for figure in figures))
    console.print(table)


def _best(way: Way, url: str, options: argparse.Namespace, in_flight: int) -> float:
    asyncio.run(way(url, max(in_flight, 200), in_flight))  # imports and caches
    return min(_cpu_us(way, url, options.calls, in_flight) for _ in range(options.repeat))


def _cpu_us(way: Way, url: str, calls: int, in_flight: int) -> float:
    started = time.process_time()
    done = asyncio.run(way(url, calls, in_flight))
    return (time.process_time() - started) / done * 1e6


if __name__ == "__main__":
    main()
