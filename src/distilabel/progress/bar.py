"""`ProgressBar`: shows how a run gets on. Its observer folds; a thread of its own shows.

Rules:

- `observe` folds the event and returns. It draws nothing, writes nothing and waits for nothing, so
  a terminal that does not keep up holds no event loop back.
- The thread reads the fold about ten times a second on a terminal, every ten seconds elsewhere, and
  does all that is slow: importing rich, drawing, writing.
- Each run that is observed is shown to its end, one after another; leaving the block waits for the
  last line. An error while showing ends the showing and never the run.
"""

from __future__ import annotations

import logging
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

import anyio
import anyio.to_thread

from distilabel.events import RunFinished, RunStarted
from distilabel.progress.figures import apply, begin, figures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from rich.console import Console

    from distilabel.events import Event
    from distilabel.progress.figures import Progress, StageFigures

__all__ = ["ProgressBar", "Screen"]

_log = logging.getLogger("distilabel")


class Screen(Protocol):
    """Where figures are shown. Used by one thread."""

    refresh_every_s: float
    """How often figures are wanted."""

    def show(self, stages: Sequence[StageFigures]) -> None:
        """Show the figures of a run that goes on."""
        ...

    def finish(self, stages: Sequence[StageFigures]) -> None:
        """Show the figures of a run that has ended, and leave them there."""
        ...


class ProgressBar:
    """Shows one line for each stage of a run: rows, rows a second, tokens, retries, time left.

    ::

        with ProgressBar() as bar:
            pipe.generate(prompts, on_event=bar.observe)

    `display_progress_bar=True` does the same. On a terminal or in a notebook the lines are redrawn
    in place; elsewhere they are plain log lines on standard error, without escape codes. In async
    code, `async with`. One bar shows one run at a time.

    Args:
        console: where to draw; None: standard error. What is printed to it by `console.print`
            meanwhile stands above the bar.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._run: _ObservedRun | None = None
        self._news: SimpleQueue[_News] = SimpleQueue()  # two for each run, and one at the end
        self._thread = threading.Thread(target=self._show_all, name="progress-bar", daemon=True)

    def observe(self, event: Event) -> None:
        """Take an event in; give this to `on_event`. Takes microseconds."""
        now_s = time.monotonic()
        if isinstance(event, RunStarted):
            self._run = _ObservedRun(begin(event, now_s))
            self._news.put(self._run)
        elif self._run is not None:
            self._run.progress = apply(self._run.progress, event, now_s)
            if isinstance(event, RunFinished):
                self._news.put("run over")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._news.put("left")
        self._thread.join()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, kind, error, traceback)

    def _show_all(self) -> None:
        try:
            news = self._news.get()
            while news != "left":
                news = self._show(news) if isinstance(news, _ObservedRun) else self._news.get()
        except Exception:  # noqa: BLE001 - a broken terminal must not cost a run
            _log.warning("the progress bar failed; the run goes on without it", exc_info=True)

    def _show(self, run: _ObservedRun) -> _News:
        """Show a run until there is news: it is over, another began, or the bar was left."""
        screen = _open_screen(self._console)
        news: _News | None = None
        while news is None:
            screen.show(figures(run.progress, time.monotonic()))
            try:
                news = self._news.get(timeout=screen.refresh_every_s)
            except Empty:
                continue
        screen.finish(figures(run.progress, time.monotonic()))
        return news


class _ObservedRun:
    """A run that events are folded into by one thread and read from by another."""

    __slots__ = ("progress",)

    def __init__(self, progress: Progress) -> None:
        self.progress = progress


_News: TypeAlias = _ObservedRun | Literal["run over", "left"]


def _open_screen(console: Console | None) -> Screen:
    from rich.console import Console

    from distilabel.progress.lines import LogLines
    from distilabel.progress.live import LiveBars, can_redraw

    console = console or Console(stderr=True)
    return LiveBars(console) if can_redraw(console) else LogLines(console.file)
