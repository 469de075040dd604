"""The program that the crash campaigns kill: a run of two stages whose rows it acknowledges.

It is told a `Job` as JSON and writes a line of 41 bytes for each row that it was handed: the row's
index and the digest of all that it holds. A line is one write to a pipe: what was written stays
readable when this process is gone. What the library says goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from distilabel.pipeline import Pipeline

__all__ = ["LINE_BYTES", "Job", "digest_of", "lines", "pipeline_of", "rows_of"]

LINE_BYTES = 41


@dataclass(frozen=True, slots=True)
class Job:
    """What the program is to do."""

    url: str
    """The `base_url` of the endpoint."""
    rows: int
    directory: str | None = None
    """The run directory; None: one under `DISTILABEL_RUNS`."""
    mode: Literal["stream", "generate"] = "stream"
    threads: int = 16
    """Permits of each stage."""
    resume: Literal["auto", "always", "never"] = "auto"
    judged_as: str = "judge"
    """The labeller's model."""
    save_to: str = ""
    """Where the data set is saved; only with "generate"."""
    closing_s: float = 0.0
    """How long it takes to close the journal, beside what that takes."""
    building_s: float = 0.0
    """How long it takes to build the data set, beside what that takes."""
    counts_points: bool = False
    """Say at the end, on standard error, how often each failpoint was passed."""

    def to_argument(self) -> str:
        """The argument that `main` reads."""
        return json.dumps(asdict(self))


def rows_of(number: int) -> list[dict[str, str]]:
    """So many rows, no two alike."""
    return [
        {"input": f"Question {k}: how is the bridge over river {k} built?"} for k in range(number)
    ]


def digest_of(values: Mapping[str, Any]) -> str:
    """The digest of a row's columns."""
    text = json.dumps(dict(values), sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def pipeline_of(job: Job) -> Pipeline:
    """A writer of two texts, and a judge."""
    from distilabel.llm import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.tasks import TextGenerationTask, UltraFeedbackTask

    settings: dict[str, Any] = {"base_url": job.url, "num_threads": job.threads}
    settings |= {"openai_api_key": "sk-canary", "max_new_tokens": 64}
    return Pipeline(
        OpenAILLM(TextGenerationTask(), "writer", **settings),
        OpenAILLM(UltraFeedbackTask.for_helpfulness(), job.judged_as, **settings),
    )


def acknowledge(index: int, values: Mapping[str, Any]) -> None:
    """Say that a row was received."""
    os.write(1, f"{index:07d} {digest_of(values)}\n".encode())


async def stream(job: Job) -> None:
    """Acknowledge the rows as they complete."""
    pipe = pipeline_of(job)
    stream = pipe.stream(
        rows_of(job.rows), num_generations=2, checkpoint_dir=job.directory, resume=job.resume
    )
    async with stream as rows:
        async for row in rows:
            assert not row.errors, row.errors
            acknowledge(row.index, row)


def generate(job: Job) -> None:
    """Acknowledge the rows of the data set; its first line says that the call is about to begin."""
    pipe = pipeline_of(job)
    os.write(1, f"{os.getpid():040d}\n".encode())
    dataset = pipe.generate(
        rows_of(job.rows), num_generations=2, checkpoint_dir=job.directory, resume=job.resume
    )
    if job.save_to:
        dataset.save_to_disk(job.save_to)
    for index, row in enumerate(dataset):
        acknowledge(index, row)


def slow(owner: type, name: str, by_s: float) -> None:
    """Have a method take longer, from now on, and say on standard error when it begins."""
    method = getattr(owner, name)

    def slowly(*arguments: Any) -> Any:
        sys.stderr.write(f"slow: {name}\n")
        time.sleep(by_s)
        return method(*arguments)

    setattr(owner, name, slowly)


def slow_down(job: Job) -> None:
    """Have what the job says take longer."""
    from distilabel.journal.database import Database
    from distilabel.pipeline.stream import RowStream

    slow(Database, "close", job.closing_s)
    slow(RowStream, "build", job.building_s)


def counted() -> Counter[str]:
    """Counts how often each failpoint is passed, from now on."""
    from distilabel import failpoints

    passed: Counter[str] = Counter()

    def reached(point: str) -> None:
        passed[point] += 1

    failpoints.reached = reached
    return passed


def main(argument: str) -> None:
    """Do the job."""
    import anyio

    job = Job(**json.loads(argument))
    if job.closing_s or job.building_s:
        slow_down(job)
    passed = counted() if job.counts_points else None
    if job.mode == "stream":
        anyio.run(stream, job)
    else:
        generate(job)
    if passed is not None:
        sys.stderr.write(f"passed {json.dumps(passed)}\n")


def lines(content: bytes) -> Iterator[tuple[int, str]]:
    """The rows that were acknowledged: index and digest."""
    for start in range(0, len(content) - LINE_BYTES + 1, LINE_BYTES):
        index, digest = content[start : start + LINE_BYTES].decode().split()
        yield int(index), digest


if __name__ == "__main__":
    main(sys.argv[1])
