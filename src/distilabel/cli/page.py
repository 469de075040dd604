"""What the demo shows: panels, bars and colours on a terminal; the same in plain lines elsewhere.

Rules:

- Text of a model is untrusted: it is cleaned of control characters and never read as markup.
- What is no terminal gets no escape code and no frame, whatever the environment says of colours.
- On a terminal, one console draws the progress and all else, so that neither overwrites the other.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from distilabel.progress.wording import as_count
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from distilabel.dataset import CustomDataset
    from distilabel.types import Row, RunSummary

__all__ = ["SNIPPET", "Page"]

_T = TypeVar("_T")

SNIPPET: Final = """\
from distilabel.llm import OpenAILLM
from distilabel.pipeline import pipeline
from distilabel.tasks import TextGenerationTask
pipe = pipeline("preference", generator=OpenAILLM(TextGenerationTask()))
dataset = pipe.generate([{"input": "Why is ice slippery?"}], num_generations=2)
"""
"""The demo's job against a real provider."""

_SNIPPET_HINT: Final = (
    "It reads OPENAI_API_KEY. Any other server that speaks OpenAI's API: base_url=."
)
_PLAIN_WIDTH: Final = 100
_WIDTH_MAX: Final = 110
_TEXT_MAX: Final = 220
_BAR_WIDTH: Final = 30
_SCALE: Final = (5, 4, 3, 2, 1)


class Page:
    """Writes to standard output."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a model may write what no terminal can show
        self._is_plain = not sys.stdout.isatty()
        self._console = _plain_console() if self._is_plain else _framed_console()

    @property
    def progress_console(self) -> Console | None:
        """Where progress is drawn; None: where it always is, on standard error."""
        return None if self._is_plain else self._console

    def begin(self, rows: int, generations: int) -> None:
        """Say what will be done."""
        self._print(
            Text.assemble(
                ("distilabel demo", "bold"),
                f": {rows} prompts, {generations} generations each, and a judge that rates them. "
                "The provider is simulated: nothing leaves this machine, no key is needed.",
            )
        )

    def first_row(self, row: Row, after_s: float, others: int) -> None:
        """Show a row that is finished while others are not."""
        title = f"The first finished row, after {after_s:.1f} s"
        if others:
            title += f"; {others} more are on their way"
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column()
        table.add_row(Text("Prompt", "bold"), _shown(row["input"]))
        for place, text in enumerate(row["generations"]):
            table.add_row(Text(f"Text {place + 1}", "bold cyan"), _shown(text))
            rating = _entry(row["rating"], place)
            mark = "no rating" if rating is None else f"Rated {rating:g}"
            rationale = _shown(_entry(row["rationale"], place), style="italic")
            table.add_row(Text(mark, "bold green"), rationale)
        self._print(self._framed(title, table))

    def end(self, dataset: CustomDataset, output: Path, *, is_replacing: bool) -> None:
        """Show the ratings, what the run did, where the data set is, and how to do it for real."""
        self._print(self._framed("Ratings by the judge", self._ratings(dataset)))
        self._print(self._framed("The run", _facts(dataset.run, output, is_replacing=is_replacing)))
        self._print(self._snippet())

    def _print(self, what: RenderableType) -> None:
        if not self._is_plain:
            self._console.print(what)
            return
        with self._console.capture() as captured:
            self._console.print(what)
        lines = [line.rstrip() for line in captured.get().splitlines()]
        self._console.print(Text("\n".join([*lines, ""])))

    def _framed(self, title: str, body: RenderableType) -> RenderableType:
        if self._is_plain:
            return Group(Text(f"{title}:"), Padding(body, (0, 0, 0, 2)))
        return Panel(
            body, title=Text(title, "bold"), title_align="left", border_style="dim", padding=(0, 1)
        )

    def _ratings(self, dataset: CustomDataset) -> RenderableType:
        ratings = [
            rating for row in dataset["rating"] for rating in row or () if rating is not None
        ]
        counts = Counter(round(rating) for rating in ratings)
        most = max(counts.values(), default=0) or 1
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("rating", justify="right")
        table.add_column("", width=_BAR_WIDTH, no_wrap=True)
        table.add_column("texts", justify="right")
        table.add_column("share", justify="right")
        for step in _SCALE:
            bar = ("#" if self._is_plain else "█") * round(_BAR_WIDTH * counts[step] / most)
            share = counts[step] / (len(ratings) or 1)
            table.add_row(str(step), Text(bar, "green"), str(counts[step]), f"{share:.1%}")
        mean = f"{sum(ratings) / len(ratings):.2f}" if ratings else "none"
        return Group(table, Text(f"mean {mean} over {len(ratings)} ratings"))

    def _snippet(self) -> RenderableType:
        """Without a frame and at the margin, to be copied."""
        title = Text("The same against a real provider:", "bold")
        code = Syntax(SNIPPET, "python", theme="ansi_dark", background_color="default")
        return Group(
            *([] if self._is_plain else [""]),
            title,
            "",
            Text(SNIPPET) if self._is_plain else code,
            Text(_SNIPPET_HINT, "dim"),
        )


def _plain_console() -> Console:
    return Console(force_terminal=False, color_system=None, width=_PLAIN_WIDTH, highlight=False)


def _framed_console() -> Console:
    console = Console(highlight=False)
    console.width = min(console.width, _WIDTH_MAX)
    return console


def _shown(text: str | None, style: str = "") -> Text:
    if text is None:
        return Text("nothing", "dim")
    return Text(one_line(text, characters_max=_TEXT_MAX), style)


def _entry(column: Sequence[_T] | None, place: int) -> _T | None:
    return None if column is None else column[place]


def _facts(run: RunSummary, output: Path, *, is_replacing: bool) -> Table:
    read, written = run.usage.prompt_tokens, run.usage.completion_tokens
    causes = ", ".join(f"{cause} {count}" for cause, count in run.failed_by_cause.items())
    saved = f"{output}" + (" (in place of an earlier demo's)" if is_replacing else "")
    facts = (
        ("rows", f"{run.rows}, {run.rows_failed} with failures" + (f" ({causes})" * bool(causes))),
        ("calls", f"{run.calls}, {run.retries + run.paid_retries} retried"),
        ("tokens", f"{as_count(read)} read, {as_count(written)} written"),
        ("seconds", f"{run.seconds:.1f}, {run.rows / (run.seconds or 1):.1f} rows/s"),
        ("data set", saved),
        ("load it", f'CustomDataset.load_from_disk("{output}")'),
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, fact in facts:
        table.add_row(Text(name, "bold"), Text(fact))
    return table
