"""What one HTTP request costs: CPU at zero latency, through our lanes and a bare aiohttp loop.

The endpoint runs in a process of its own and answers at once. N tasks post bodies that were encoded
beforehand and decode the replies; connections are made within the time that counts. CPU is that of
the client's process, user and kernel mode. The ways take turns, and the best of `--repeat` rounds
counts, as whatever else runs on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from rich.console import Console
from rich.table import Table

from _machine import describe
from distilabel.testing import SimulatedEndpoint
from distilabel.transport import Timeouts
from distilabel.transport.aiohttp_lane import AiohttpLane
from distilabel.transport.wire_lane import WireLane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import TypeAlias

    from distilabel.transport import Lane

    Post: TypeAlias = Callable[[bytes], Awaitable[bytes]]
    Way: TypeAlias = Callable[[str, Iterator[bytes], int], Awaitable[None]]

_HEADERS = {"Content-Type": "application/json"}
_KEY = {"User-Agent": "distilabel", "Authorization": "Bearer none"}
_FIXED = {"model": "simulated-model", "max_tokens": 128, "temperature": 1.0, "n": 1}
_decode = msgspec.json.Decoder().decode


def _bodies(calls: int) -> Iterator[bytes]:
    texts = (f"Question {k}: why does the moon seem larger?" for k in range(calls))
    messages = ([{"role": "user", "content": text}] for text in texts)
    return iter([msgspec.json.encode(_FIXED | {"messages": each}) for each in messages])


async def _work(post: Post, bodies: Iterator[bytes], in_flight: int) -> None:
    async def ask() -> None:
        for body in bodies:
            _decode(await post(body))["choices"][0]["message"]["content"]

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(ask())


async def _bare(url: str, bodies: Iterator[bytes], in_flight: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=_KEY) as session:

        async def post(body: bytes) -> bytes:
            async with session.post(url, data=body, headers=_HEADERS) as response:
                return await response.read()

        await _work(post, bodies, in_flight)


async def _through(lane: Lane, url: str, bodies: Iterator[bytes], in_flight: int) -> None:
    async def post(body: bytes) -> bytes:
        return (await lane.post(url, _HEADERS, body)).body

    await _work(post, bodies, in_flight)
    await lane.aclose()


async def _aiohttp_lane(url: str, bodies: Iterator[bytes], in_flight: int) -> None:
    await _through(AiohttpLane(url, Timeouts(), _KEY), url, bodies, in_flight)


async def _wire_lane(url: str, bodies: Iterator[bytes], in_flight: int) -> None:
    await _through(WireLane(Timeouts(), _KEY), url, bodies, in_flight)


WAYS: dict[str, Way] = {
    "bare aiohttp": _bare,
    "aiohttp lane": _aiohttp_lane,
    "wire lane": _wire_lane,
}


def _cpu_us(way: Way, url: str, calls: int, in_flight: int) -> float:
    bodies = _bodies(calls)
    started = time.process_time()
    asyncio.run(way(url, bodies, in_flight))
    return (time.process_time() - started) / calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=10_000, help="calls in each round (10000)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; the best counts (5)")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[16, 64, 512, 1000])
    options = parser.parse_args()
    best: dict[tuple[str, int], float] = {}
    with SimulatedEndpoint.process(ledger="counters") as endpoint:
        url = f"{endpoint.openai_url}/chat/completions"
        for way in WAYS.values():
            _cpu_us(way, url, 1000, 64)  # imports and caches
        for _ in range(options.repeat):
            for in_flight in options.in_flight:
                for name, way in WAYS.items():
                    figure = _cpu_us(way, url, options.calls, in_flight)
                    key = (name, in_flight)
                    best[key] = min(best.get(key, figure), figure)
    console = Console()
    console.print(describe(), highlight=False)
    table = Table(title="Microseconds of CPU per request at zero latency")
    table.add_column("client")
    for in_flight in options.in_flight:
        table.add_column(f"{in_flight} in flight", justify="right")
    for name in WAYS:
        table.add_row(name, *(f"{best[name, n]:.0f}" for n in options.in_flight))
    console.print(table)


if __name__ == "__main__":
    main()
