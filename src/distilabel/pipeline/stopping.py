"""How a run is stopped from outside: the first, the second and the third time.

Rules:

- First: nothing more is sent; what is in flight may land, for at most 30 s, and is kept.
- Second: what is in flight is dropped; what was kept is written to disk.
- Third: the process exits at once.
- Before the first call, once is enough.
- A switch may be pressed in a signal handler: pressing only takes note, and has nothing more sent.
  What else follows is done in the event loop.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import anyio

from distilabel.errors import RunStoppedError
from distilabel.types import RunSummary

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["StopSwitch", "Stoppable"]


class Stoppable(Protocol):
    """What a switch is connected to."""

    def hold(self) -> None:
        """Send nothing from now on. Called in a signal handler: one assignment."""

    def stop_gently(self) -> None:
        """Send nothing more, and let what is in flight land."""

    def stop_now(self) -> None:
        """Drop what is in flight."""


@contextmanager
def stops_opening(switch: StopSwitch | None) -> Generator[None]:
    """Let the switch end what comes before the first call, which may take long: a cold endpoint.

    Nothing that is entered inside may hold a cancel scope of its own open.

    Raises:
        RunStoppedError: it was pressed.
    """
    with anyio.CancelScope() as scope:
        if switch is not None:
            switch.connect(_Opening(scope))
        yield
    if scope.cancelled_caught:
        raise RunStoppedError(
            "The run was stopped before its first call; nothing was spent.", summary=RunSummary()
        )


class _Opening:
    """A run that has not begun: stopping it, gently or not, is leaving it."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope

    def hold(self) -> None:
        """Nothing is sent yet."""

    def stop_gently(self) -> None:
        self._scope.cancel()

    def stop_now(self) -> None:
        self._scope.cancel()


class StopSwitch:
    """Connects signals to a run that may not have begun yet."""

    def __init__(self) -> None:
        self._presses = self._acted = 0
        self._signal_number = int(signal.SIGINT)
        self._run: Stoppable | None = None

    @property
    def is_pressed(self) -> bool:
        """Whether it was pressed."""
        return self._presses > 0

    def connect(self, run: Stoppable) -> None:
        """From now on pressing acts on `run`; what was pressed before counts."""
        self._run, self._acted = run, 0
        self.act()

    def press(self, signal_number: int) -> None:
        """Have nothing more sent; the third time, exit. Call `act` after that, in the loop."""
        self._presses += 1
        self._signal_number = signal_number
        if self._presses >= 3:
            os._exit(128 + signal_number)
        if self._run is not None:
            self._run.hold()

    def as_exit(self, stopped: RunStoppedError) -> BaseException:
        """What ends a script after the run has stopped, as the signal itself would have.

        Exactly these types: Python gives a subclass of `KeyboardInterrupt` the exit status 1.
        """
        if self._signal_number == signal.SIGTERM:
            return SystemExit(128 + signal.SIGTERM)
        return KeyboardInterrupt(str(stopped))

    def act(self) -> None:
        """Do what pressing asks for: stop, and the second time more firmly."""
        if self._run is None or self._acted == self._presses:
            return
        self._acted = self._presses
        if self._presses == 1:
            self._run.stop_gently()
        else:
            self._run.stop_now()
