"""The floor: what is left when a client does nothing but send and read.

A fixed number of workers in each stage, a body encoded for each call, the reply decoded, its texts
kept in a list. No retries, no checks, no order, nothing on disk.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from _protocol import GENERATOR, JUDGE, PARAMETERS, Clock, Job, ratings, run

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer none"}
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Loop:
    """Two kinds of workers, with a queue between them."""

    def __init__(self, job: Job, clock: Clock, session: aiohttp.ClientSession) -> None:
        self._job, self._clock, self._session = job, clock, session
        self._url = f"{job.url}/chat/completions"
        self._to_judge: asyncio.Queue[tuple[str, list[str]] | None] = asyncio.Queue()
        self.rows: list[dict[str, Any]] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_all())
            for _ in range(self._job.in_flight if self._job.stages == 2 else 0):
                group.create_task(self._judge())

    async def _write_all(self) -> None:
        instructions = iter(self._job.instructions())
        async with asyncio.TaskGroup() as group:
            for _ in range(self._job.in_flight):
                group.create_task(self._write(instructions))
        for _ in range(self._job.in_flight):
            self._to_judge.put_nowait(None)

    async def _write(self, instructions: Iterator[str]) -> None:
        for instruction in instructions:
            messages = self._job.messages(instruction)
            texts = await self._ask(GENERATOR, messages, self._job.num_generations)
            if self._job.stages == 2:
                self._to_judge.put_nowait((instruction, texts))
            else:
                self._keep({"instruction": instruction, "generations": texts})

    async def _judge(self) -> None:
        while written := await self._to_judge.get():
            instruction, texts = written
            (reply,) = await self._ask(JUDGE, self._job.judge_messages(instruction, texts), 1)
            self._keep({"instruction": instruction, "generations": texts, "rating": ratings(reply)})

    async def _ask(self, model: str, messages: list[dict[str, str]], n: int) -> list[str]:
        body = {
            "model": model,
            "messages": messages,
            "max_tokens": self._job.max_tokens,
            "n": n,
            **PARAMETERS,
        }
        data = _encode(body)
        async with self._session.post(self._url, data=data, headers=_HEADERS) as response:
            reply = _decode(await response.read())
        return [choice["message"]["content"] for choice in reply["choices"]]

    def _keep(self, row: dict[str, Any]) -> None:
        self._clock.row()
        self.rows.append(row)


async def _work(job: Job, clock: Clock) -> list[dict[str, Any]]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        loop = _Loop(job, clock, session)
        await loop.run()
    return loop.rows


if __name__ == "__main__":
    run(lambda job, clock: asyncio.run(_work(job, clock)))
