"""Pipes get plain text from the help and from usage errors, and may be closed by who reads them.

Rules:

- The help and usage errors are drawn by rich, which calls a pipe a terminal where the environment
  wants colours. Here, what is no terminal gets no escape codes, whatever the environment says.
- rich and typer end a process with 1 when nobody reads any more. Here, that is no failure.
"""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["has_lost_its_reader", "keep_pipes_plain"]

_FORCING: Final = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE")


def keep_pipes_plain() -> None:
    """Have no colours in the help and in usage errors, unless both outputs are terminals.

    Nothing is done, and nothing imported, where the environment does not ask for colours.
    """
    if not any(os.environ.get(name) for name in _FORCING):
        return
    if all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr)):
        return
    from typer import rich_utils

    rich_utils.COLOR_SYSTEM = None


def has_lost_its_reader(ended: SystemExit) -> bool:
    """Whether a process ends because nobody reads its output any more, and for nothing else.

    rich and typer raise `SystemExit(1)` while they handle the `BrokenPipeError`. One that is raised
    while something else is told of, such as a usage error, is still that.
    """
    cause = ended.__context__
    return ended.code == 1 and isinstance(cause, BrokenPipeError) and cause.__context__ is None
