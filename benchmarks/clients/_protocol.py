"""What every client of `compare.py` shares: the job on stdin, the clock, and the line on stdout.

The standard library alone, for this runs in each client's own environment.

Rules:

- A client is a program. It calls `run` with a function that takes a `Job` and a `Clock` and returns
  the rows, each a mapping with ``generations`` (a list of texts) and, with two stages, ``rating``
  (a list of numbers, one for each generation).
- Imports are done, and a few rows were made once (so that what is imported on first use is there),
  before the clock starts. It stops when the rows are in the caller's hands.
- CPU is that of this process and of the children that it waited for, in user and kernel mode.
- Memory is the peak resident set of this process (`VmHWM`) plus that of its largest child, whatever
  it holds, imports and shared pages included.
- Whatever a library prints goes to stderr; stdout gets one line of JSON.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    Rows: TypeAlias = Sequence[Mapping[str, Any]]

__all__ = [
    "GENERATOR",
    "INSTRUCTION",
    "JUDGE",
    "PARAMETERS",
    "TEXTS",
    "Clock",
    "Job",
    "Report",
    "peak_mb",
    "ratings",
    "run",
]

GENERATOR, JUDGE = "gpt-4o-mini", "gpt-4o"
"""Two models, as an endpoint would have them; both are known to every client's price list."""
PARAMETERS = {"temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
"""What this library sends by default, so that a body by hand is as long as one of ours."""
INSTRUCTION, TEXTS = "<<instruction>>", ("<<text 1>>", "<<text 2>>")
"""What stands in a judge's prompt for the row's own words."""
_WARM_UP_ROWS = 16
_RATING = re.compile(r"Rating: (\d)")


@dataclass(frozen=True, slots=True)
class Job:
    """What a client is to do.

    Attributes:
        client: its name; one program may be several clients.
        url: the ``base_url`` of an OpenAI-compatible endpoint.
        rows: how many.
        in_flight: the most requests under way at once, in each stage.
        stages: 1: a text for each row. 2: two texts, then a rating for each.
        directory: an empty one, to write to.
        system_prompt: of the generator.
        judge_system_prompt: of the judge.
        judge_prompt: of the judge, with `INSTRUCTION` and `TEXTS` where the row's words go.
        max_tokens: of a reply; enough for every one.
        label: what the instructions begin with.
    """

    client: str
    url: str
    rows: int
    in_flight: int
    stages: int
    directory: str
    system_prompt: str
    judge_system_prompt: str
    judge_prompt: str
    max_tokens: int = 512
    label: str = "Question"

    @property
    def num_generations(self) -> int:
        """Texts for each row."""
        return self.stages

    def instructions(self) -> list[str]:
        """The rows' own words; no two are equal."""
        return [
            f"{self.label} {k}: why does the moon seem larger near the horizon?"
            for k in range(self.rows)
        ]

    def messages(self, instruction: str) -> list[dict[str, str]]:
        """What the generator is sent."""
        return _messages(self.system_prompt, instruction)

    def judge_messages(self, instruction: str, texts: Sequence[str]) -> list[dict[str, str]]:
        """What the judge is sent."""
        prompt = self.judge_prompt.replace(INSTRUCTION, instruction)
        for mark, text in zip(TEXTS, texts, strict=True):
            prompt = prompt.replace(mark, text)
        return _messages(self.judge_system_prompt, prompt)


@dataclass(frozen=True, slots=True)
class Report:
    """What it took; seconds and MB."""

    wall_s: float
    first_row_s: float
    cpu_s: float
    memory_mb: float
    complete_rows: int
    """Rows with all texts and ratings: all of them, or the figures are void."""


class Clock:
    """Runs from its making; notes when the first row was handed over."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.first_row_s: float | None = None

    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._started

    def row(self) -> None:
        """The caller has a finished row; only the first time counts."""
        if self.first_row_s is None:
            self.first_row_s = self.seconds()


def ratings(reply: str) -> list[float]:
    """The ratings in a judge's reply, for clients that have no parser of their own."""
    return [float(digit) for digit in _RATING.findall(reply)]


def run(work: Callable[[Job, Clock], Rows]) -> None:
    """Do the job that stdin holds, and print the report."""
    job = Job(**json.loads(sys.stdin.read()))
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints is not the answer
    warm_up, measured = (Path(job.directory) / name for name in ("warm-up", "measured"))
    for directory in (warm_up, measured):
        directory.mkdir()
    few = replace(job, rows=_WARM_UP_ROWS, label="Warm-up", directory=str(warm_up))
    _check(few, work(few, Clock()))
    _reset(job.url)
    report = _measure(replace(job, directory=str(measured)), work)
    os.write(answer, json.dumps(asdict(report)).encode() + b"\n")


def _measure(job: Job, work: Callable[[Job, Clock], Rows]) -> Report:
    cpu_before_s = _cpu_s()
    clock = Clock()
    rows = work(job, clock)
    wall_s, cpu_s = clock.seconds(), _cpu_s() - cpu_before_s
    return Report(
        wall_s=wall_s,
        first_row_s=clock.first_row_s or wall_s,
        cpu_s=cpu_s,
        memory_mb=peak_mb(),
        complete_rows=_complete(job, rows),
    )


def _messages(system: str, user: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _check(job: Job, rows: Rows) -> None:
    if _complete(job, rows) != job.rows:
        sample = dict(rows[0]) if len(rows) else "no row"
        sys.exit(f"{_complete(job, rows)} of {job.rows} rows were complete: {sample}")


def _complete(job: Job, rows: Rows) -> int:
    return sum(_is_complete(row, job) for row in rows)


def _is_complete(row: Mapping[str, Any], job: Job) -> bool:
    lists = [row["generations"]] + ([row["rating"]] if job.stages == 2 else [])
    return all(len(found) == job.num_generations and None not in found for found in lists)


def _reset(url: str) -> None:
    """Let the endpoint begin anew, with its first draw and an empty ledger."""
    connection = HTTPConnection(urlsplit(url).netloc)
    connection.request("POST", "/_sim/reset")
    connection.getresponse().read()
    connection.close()


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_mb() -> float:
    """What this process held at most, plus its largest child."""
    children_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return (int(line.split()[1]) + children_kb) / 2**10
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + children_kb) / 2**10
