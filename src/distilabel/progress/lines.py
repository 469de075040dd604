"""Progress as plain lines, for what is no terminal: a pipe, a file, the log of a CI."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Final

from distilabel.progress.wording import as_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distilabel.progress.figures import StageFigures

__all__ = ["LogLines"]

_EVERY_S: Final = 10.0


class LogLines:
    """Writes one line for each stage every ten seconds, and at the end.

    Args:
        file: where to; None: standard error.
    """

    refresh_every_s = _EVERY_S

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file or sys.stderr
        self._is_first = True

    def show(self, stages: Sequence[StageFigures]) -> None:
        """Write the figures, but for the first time: at once there is nothing to say."""
        if not self._is_first:
            self._write(stages)
        self._is_first = False

    def finish(self, stages: Sequence[StageFigures]) -> None:
        """Write the figures."""
        self._write(stages)

    def _write(self, stages: Sequence[StageFigures]) -> None:
        self._file.write("".join(f"{as_line(stage)}\n" for stage in stages))
        self._file.flush()
