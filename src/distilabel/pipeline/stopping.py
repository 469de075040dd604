"""How a run is stopped from outside: the first, the second and the third time.

Rules:

- First: nothing more is sent; what is in flight may land, for at most 30 s, and is kept.
- Second: what is in flight is dropped; what was kept is written to disk.
- Third: the process exits at once.
- A switch may be pressed in a signal handler: pressing only notes, and tells whoever listens.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from distilabel.errors import RunStoppedError

__all__ = ["StopSwitch", "Stoppable"]


class Stoppable(Protocol):
    """What a switch is connected to."""

    def stop_gently(self) -> None:
        """Send nothing more, and let what is in flight land."""

    def stop_now(self) -> None:
        """Drop what is in flight."""


class StopSwitch:
    """Connects signals to a run that may not have begun yet."""

    def __init__(self) -> None:
        self._presses = 0
        self._signal_number = int(signal.SIGINT)
        self._run: Stoppable | None = None

    def connect(self, run: Stoppable) -> None:
        """From now on pressing acts on `run`; what was pressed before counts."""
        self._run = run
        self._act()

    def press(self, signal_number: int) -> None:
        """Stop; the second and third time, more firmly."""
        self._presses += 1
        self._signal_number = signal_number
        if self._presses >= 3:
            os._exit(128 + signal_number)
        self._act()

    def as_exit(self, stopped: RunStoppedError) -> BaseException:
        """What ends a script after the run has stopped, as the signal itself would have.

        Exactly these types: Python gives a subclass of `KeyboardInterrupt` the exit status 1.
        """
        if self._signal_number == signal.SIGTERM:
            return SystemExit(128 + signal.SIGTERM)
        return KeyboardInterrupt(str(stopped))

    def _act(self) -> None:
        if self._run is None:
            return
        if self._presses == 1:
            self._run.stop_gently()
        elif self._presses == 2:
            self._run.stop_now()
