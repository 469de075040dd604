"""OpenAI's own client with a semaphore for each stage, as anyone would write it by hand."""

from __future__ import annotations

import asyncio
from typing import Any

from _protocol import GENERATOR, JUDGE, PARAMETERS, Clock, Job, ratings, run
from openai import AsyncOpenAI


async def _work(job: Job, clock: Clock) -> list[dict[str, Any]]:
    client = AsyncOpenAI(base_url=job.url, api_key="none")
    writing, judging = asyncio.Semaphore(job.in_flight), asyncio.Semaphore(job.in_flight)
    rows: list[dict[str, Any]] = []

    async def ask(model: str, messages: Any, n: int) -> list[str]:
        completion = await client.chat.completions.create(
            model=model, messages=messages, n=n, max_tokens=job.max_tokens, **PARAMETERS
        )
        return [choice.message.content or "" for choice in completion.choices]

    async def make(instruction: str) -> None:
        async with writing:
            texts = await ask(GENERATOR, job.messages(instruction), job.num_generations)
        row: dict[str, Any] = {"instruction": instruction, "generations": texts}
        if job.stages == 2:
            async with judging:
                (reply,) = await ask(JUDGE, job.judge_messages(instruction, texts), 1)
            row["rating"] = ratings(reply)
        clock.row()
        rows.append(row)

    async with client, asyncio.TaskGroup() as group:
        for instruction in job.instructions():
            group.create_task(make(instruction))
    return rows


if __name__ == "__main__":
    run(lambda job, clock: asyncio.run(_work(job, clock)))
