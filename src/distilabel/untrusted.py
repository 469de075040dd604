"""Text from models and servers is untrusted: what it must lose before it is stored or shown."""

from __future__ import annotations

import re

__all__ = ["one_line", "storable"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str, *, characters_max: int = 300) -> str:
    r"""A text as one line without control characters, safe for a terminal, a log and a message.

    >>> one_line("No\x1b[31m way\n\n at all")
    'No [31m way at all'
    """
    cleaned = _CONTROL.sub(" ", text).strip()
    if len(cleaned) > characters_max:
        cleaned = cleaned[: characters_max - 1] + "…"
    return " ".join(cleaned.split())


def storable(text: str) -> str:
    r"""A text that UTF-8, and so Arrow and SQLite, can hold: lone surrogates become U+FFFD.

    >>> storable("a\ud800b") == "a\ufffdb"
    True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
