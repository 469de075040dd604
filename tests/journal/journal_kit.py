"""What the journal's tests share: records, and programs that run (and die) in processes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distilabel.journal import CallMeta, CallRecord, RowRecord, RunIdentity, row_identity
from distilabel.types import Reply, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
RUN = RunIdentity(b"settings", b"inputs", "gpt-4 + Llama-3")
OTHER_RUN = RunIdentity(b"other settings", b"inputs", "gpt-4 + Llama-3")


def key(number: int) -> bytes:
    """A key of its own for each number."""
    return row_identity({"key": number})


def call(number: int, text: str = "Hi") -> CallRecord:
    """A call of the row of that number."""
    reply = Reply((text, "…"), ("stop", None), Usage(3, 2, 1), "gpt-4-0613", "req_1")
    return CallRecord(key(number), number, "generator", reply, CallMeta(2, 1, 0.25))


def row(number: int, text: str = "Hi") -> RowRecord:
    """The row of that number."""
    return RowRecord(number, key(number), {"generations": [text, None], "rating": [1.5, None]})


def environment(**more: str) -> dict[str, str]:
    """What a program of a test sees."""
    return {**os.environ, "PYTHONPATH": str(HERE), **more}


def run_program(text: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running(text: str, *arguments: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A program under way; killed at the end of the block if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def files(directory: Path) -> list[str]:
    """The names of what lies in a directory."""
    return sorted(path.name for path in directory.iterdir())
