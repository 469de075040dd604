"""`distilabel preview`: what is sent and what comes back, side by side, for a few rows.

Rules:

- What models and rows say is untrusted: it is shown without control characters, never as markup.
- Without a terminal there are no escape codes and no frames: prompt and reply below each other.
"""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from distilabel.cli.generating import spent
from distilabel.untrusted import storable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distilabel.types import Row, RunSummary

__all__ = ["as_shown", "show_preview"]

_CHARACTERS_MAX: Final = 4_000
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def show_preview(rows: Sequence[Row], run: RunSummary) -> None:
    """Write the rows and what they cost to standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if sys.stdout.isatty():
        _draw(rows)
    else:
        for row in rows:
            sys.stdout.write(_plain(row))
    price = f"The preview: {len(rows)} rows, {spent(run)}."
    sys.stdout.write(f"{price} It is kept: `distilabel generate` does not buy it again.\n")


def as_shown(text: str) -> str:
    r"""A text of others for a terminal: its lines stay, control characters do not.

    >>> as_shown("a\x1b[2J\r\nb")
    'a [2J \nb'
    """
    cleaned = _CONTROL.sub(" ", storable(text))
    if len(cleaned) > _CHARACTERS_MAX:
        more = len(cleaned) - _CHARACTERS_MAX
        cleaned = f"{cleaned[:_CHARACTERS_MAX]} … ({more:,} characters more)"
    return cleaned


def _plain(row: Row) -> str:
    parts = [f"== row {row.index}\n"]
    for title, prompt, reply in _exchanges(row):
        parts += [f"-- {title}: prompt\n{prompt}\n", f"-- {title}: raw reply\n{reply}\n"]
    parts += [f"-- failed: {line}\n" for line in _failures(row)]
    return "".join(parts) + "\n"


def _draw(rows: Sequence[Row]) -> None:
    console = Console(highlight=False)
    for row in rows:
        table = Table(expand=True, show_lines=True, box=None, padding=(0, 1))
        table.add_column("prompt", ratio=1)
        table.add_column("raw reply", ratio=1)
        for title, prompt, reply in _exchanges(row):
            table.add_row(Text(title, "bold cyan"), "")
            table.add_row(Text(prompt), Text(reply))
        for line in _failures(row):
            table.add_row(Text("failed", "bold red"), Text(line))
        console.print(Panel(table, title=Text(f"row {row.index}"), border_style="dim"))


def _exchanges(row: Row) -> Iterator[tuple[str, str, str]]:
    """Who, what was sent, and what came back; generations that were sent the same are one."""
    replies: list[Any] = row.get("raw_generation_responses") or []
    prompts: list[Any] = row.get("generation_prompt") or []
    models: list[Any] = row.get("generation_model") or []
    for place, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        is_same = place > 0 and prompt == prompts[0]
        shown = "(the same)" if is_same else _prompt(prompt)
        yield _title(f"generation {place + 1}", models[place]), shown, _reply(reply)
    if "raw_labelling_response" in row:
        reply = _reply(row["raw_labelling_response"])
        yield (
            _title("labeller", row.get("labelling_model")),
            _prompt(row["labelling_prompt"]),
            reply,
        )


def _title(stage: str, model: object) -> str:
    return stage if model is None else f"{stage} by {as_shown(str(model))}".replace("\n", " ")


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, list):
        return "\n".join(as_shown(f"[{each['role']}] {each['content']}") for each in prompt)
    return _reply(prompt)


def _reply(text: Any) -> str:
    return "(nothing)" if text is None else as_shown(str(text))


def _failures(row: Row) -> list[str]:
    return [as_shown(f"{each.stage}: {each.message}").replace("\n", " ") for each in row.errors]
