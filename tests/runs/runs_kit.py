"""What tests of runs share: pipelines that leave runs behind, here and in other processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distilabel.errors import RowFatalError
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM
from distilabel.types import Reply, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from distilabel.types import Call

HERE = Path(__file__).parent
ACCOUNT = Usage(10, 5, 4)


class Writer(ScriptedLLM):
    """Writes an answer that names the prompt.

    Rows from `hangs_from` on are never answered; those in `fails` fail.
    """

    def __init__(
        self, *, hangs_from: int | None = None, fails: Sequence[int] = (), at_once=4, price=None
    ):
        super().__init__(
            TextGenerationTask(), (), model_name="writer", num_threads=at_once, price=price
        )
        self._hangs_from = hangs_from
        self._fails = fails

    async def complete(self, call: Call) -> Reply:
        """An answer, or what was asked for instead."""
        number = int(str(call.prompt).rsplit("q", 1)[1])
        if self._hangs_from is not None and number >= self._hangs_from:
            await asyncio.Event().wait()
        if number in self._fails:
            raise RowFatalError("too long", cause="context_length")
        texts = tuple(f"answer {number}" for _ in range(call.num_generations))
        return Reply(texts, ("stop",), ACCOUNT)


def questions(total: int, *, first: int = 0) -> list[dict]:
    """Rows."""
    return [{"input": f"q{number}", "number": number} for number in range(first, total)]


def leave_early(rows: Iterable, *, after: int, **settings) -> list[int]:
    """A run that is left after so many rows; their indices."""
    writer = Writer(hangs_from=settings.pop("hangs_from", None), at_once=1)
    with Pipeline(generator=writer).iterate(rows, verbose=False, **settings) as made:
        return [next(made).index for _ in range(after)]


def finish(rows: Iterable, *, fails: Sequence[int] = (), price=None, **settings):
    """A run to its end; its data set."""
    pipe = Pipeline(generator=Writer(fails=fails, price=price))
    return pipe.generate(rows, verbose=False, **settings)


HANGING = """
import sys
from runs_kit import *
from distilabel.events import RowFinished
total, answered = int(sys.argv[1]), int(sys.argv[2])
def tell(event):
    if isinstance(event, RowFinished):
        print(event.row_index, flush=True)
pipe = Pipeline(generator=Writer(hangs_from=answered))
pipe.generate(questions(total), verbose=False, on_event=tell)
"""
"""Finishes the first rows, telling of each once it is on disk, and hangs in the others."""


def read_indices(process: subprocess.Popen[str], count: int) -> list[int]:
    """The next rows that a process tells of."""
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


@contextmanager
def running(text: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program under way; killed at the end of the block if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()
