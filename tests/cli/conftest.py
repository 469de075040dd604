"""What tests of the command line share: the command as a real process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("distilabel")


@pytest.fixture
def start(tmp_path, monkeypatch) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts `distilabel` in an empty directory, with pipes unless told otherwise."""
    started = []
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def begin(*arguments: str, **further) -> subprocess.Popen:
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path}
        environment = {**os.environ, "TERM": "xterm-256color", **further.pop("env", {})}
        process = subprocess.Popen(
            [COMMAND, *arguments], env=environment, start_new_session=True, **settings | further
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start) -> Callable[..., tuple[int, str, str]]:
    """Runs `distilabel` to its end: exit code, standard output, standard error."""

    def to_the_end(*arguments: str, **further) -> tuple[int, str, str]:
        process = start(*arguments, **further)
        out, err = process.communicate(timeout=60)
        return process.returncode, out.decode(), err.decode()

    return to_the_end
