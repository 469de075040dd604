"""Untrusted text in Markdown: text to the reader, and nothing else to what renders it. Pure.

Model names, causes, prompts and settings come from servers, models and users. A word of them stands
in a code span, a text in a fenced block whose fence is longer than any in it; in neither does
Markdown or HTML mean anything. Control characters and those that turn the direction of writing are
left out, and what looks like a key or a home directory is covered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["block", "cover", "span", "table", "without_folders"]

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_KEY: Final = re.compile(r"\b(?:sk|hf|gsk|xai|pk|rk|AIza|ghp|ghs|glpat)[-_][\w-]{12,}")
_BEARER: Final = re.compile(r"(?i)\b(bearer\s+)[\w.~+/-]{12,}")
_HOME: Final = re.compile(r"(?:/(?:home|Users|root)|[A-Za-z]:\\+Users)(?:[/\\]+[^\s/\\\"'`|]+)*")
_USERINFO: Final = re.compile(r"(\w+://)[^\s/@\"']+@")


def cover(text: str) -> str:
    """The text with `***` for what looks like a key, and for paths of a home directory.

    >>> cover("key sk-abcdefghijklmnop, model /home/ann/models/tiny")
    'key ***, model ***'
    """
    for pattern, instead in ((_KEY, "***"), (_BEARER, r"\1***"), (_HOME, "***")):
        text = pattern.sub(instead, text)
    return _USERINFO.sub(r"\1***@", text)


def without_folders(model: str) -> str:
    """A model's name; of a model in a folder of this machine, the last part of its path.

    >>> without_folders("/data/models/tiny"), without_folders("org/tiny")
    ('tiny', 'org/tiny')
    """
    is_path = re.match(r"(?:[~.]{0,2}[/\\]|[A-Za-z]:[/\\])", model)
    return re.split(r"[/\\]", model.rstrip("/\\"))[-1] if is_path else model


def span(text: str) -> str:
    r"""A text of one line as code, also inside a table.

    >>> print(span("a|b <i>"), span("x`y"))
    `a\|b <i>` ``x`y``
    """
    word = one_line(_UNSEEN.sub(" ", _harmless(text))).replace("|", "\\|")
    if not word:
        return "(empty)"
    fence = "`" * (_longest_run(word) + 1)
    pad = " " if word[0] == "`" or word[-1] == "`" else ""
    return f"{fence}{pad}{word}{pad}{fence}"


def block(text: str, language: str = "text", *, characters_max: int = 4_000) -> str:
    """A text in a fenced block, cut after so many characters.

    >>> print(block("Be brief."))
    ```text
    Be brief.
    ```
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _UNSEEN.sub("", _harmless(text))
    if len(text) > characters_max:
        text = f"{text[:characters_max]}\n[... {len(text) - characters_max} characters more]"
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table. Its cells are taken as Markdown: untrusted ones are to be spans.

    >>> print(table(["a", "b"], [[1, 2]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _harmless(text: str) -> str:
    """Covered, and without what begins a comment: comments say where a section ends."""
    return cover(text).replace("<!--", "<! --")


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
