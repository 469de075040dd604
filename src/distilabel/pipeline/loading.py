"""`datasets` is imported beside the first calls: it takes 0.8 s, and no row waits for it.

Rules:

- Who ends meanwhile waits for it: Python notes that SIGINT is to end the program, and forgets it at
  any `exec` of a text, as imports have them. The exit status would be 1 then, and not 130.
- SIGINT during that wait ends nothing, for the run is over already: it is noted. The third exits.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from importlib import import_module
from threading import Event, Thread, current_thread, main_thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from distilabel.pipeline.stopping import StopSwitch

__all__ = ["Loading"]


class Loading:
    """An import of `datasets` in a thread of its own."""

    def __init__(self) -> None:
        self._is_started = False
        self._is_over = Event()

    def start(self) -> None:
        """Begin."""
        self._is_started = True
        Thread(target=self._load, daemon=True).start()

    def _load(self) -> None:
        try:
            import_module("datasets")
        finally:
            self._is_over.set()

    def wait(self, switch: StopSwitch) -> None:
        """Return when nothing is being imported.

        Args:
            switch: notes signals meanwhile.

        Raises:
            KeyboardInterrupt: the first SIGINT came meanwhile.
        """
        if not self._is_started or self._is_over.is_set():
            return
        was_pressed = switch.is_pressed
        with _interrupts_press(switch):
            self._is_over.wait()
        if switch.is_pressed and not was_pressed:
            raise KeyboardInterrupt


@contextmanager
def _interrupts_press(switch: StopSwitch) -> Generator[None]:
    """Have SIGINT press the switch, where it would raise KeyboardInterrupt."""
    default = signal.default_int_handler
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGINT) is not default:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, _frame: switch.press(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, default)
