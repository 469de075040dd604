"""An environment for each peer, so that their pins meet neither ours nor each other's.

What a peer needs stands in ``clients/<program>.txt``, one requirement a line. An environment is
made once, with uv if it is there and else with venv and pip, and is made anew when that file or
the Python changes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["BuildError", "interpreter", "versions"]

_LOG_LINES = 3


class BuildError(Exception):
    """An environment could not be made; the text is what the installer said last."""


def interpreter(requirements: Path, root: Path) -> Path:
    """The Python of an environment with these requirements, made below `root` if it is not there.

    Raises:
        BuildError: it could not be made.
    """
    wanted = requirements.read_text(encoding="utf-8")
    digest = hashlib.sha256(f"{sys.version}\n{wanted}".encode()).hexdigest()[:12]
    place = root / f"{requirements.stem}-{digest}"
    python, done = place / "bin" / "python", place / "complete"
    if not done.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        for command in _commands(place, python, requirements):
            _run(command)
        done.touch()
    return python


def versions(python: Path, requirements: Path) -> str:
    """The package itself, as it is installed: ``name version``."""
    name = requirements.read_text(encoding="utf-8").split("\n")[0].split("==")[0].split("[")[0]
    script = f"from importlib.metadata import version; print({name!r}, version({name!r}))"
    return subprocess.run(
        [python, "-c", script], check=True, capture_output=True, text=True
    ).stdout.strip()


def _commands(place: Path, python: Path, requirements: Path) -> list[list[str]]:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        return [
            [sys.executable, "-m", "venv", str(place)],
            [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)],
        ]
    return [
        [uv, "venv", "--quiet", "--python", sys.executable, str(place)],
        [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)],
    ]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-_LOG_LINES:])
        raise BuildError(f"{' '.join(command[:3])} failed: {last}")
