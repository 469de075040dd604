"""Arguments that messages name, so that who has other names for them can say those. Pure.

A message is a text in the words of who calls the library from Python. One that was put together
with `named` and `+` remembers which of its words name an argument; the command line has them say
its options in their place. Where that memory is lost, as in an f-string, Python's words remain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Argument", "Message", "named", "spelled"]


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument, as a part of a message."""

    name: str
    value: str = ""
    """What it is to be set to, as one types it in a shell; "": no value is said."""


class Message(str):
    """A text that remembers which of its parts name arguments. `+` keeps that."""

    parts: tuple[tuple[str, Argument | None], ...]
    """What each part says to who uses Python, and the argument that it names, if it does."""

    __slots__ = ("parts",)

    def __new__(cls, *parts: tuple[str, Argument | None]) -> Self:
        """The text of these parts."""
        made = super().__new__(cls, "".join(text for text, _ in parts))
        made.parts = parts
        return made

    def __add__(self, other: str) -> Message:
        return Message(*self.parts, *_parts(other))

    def __radd__(self, other: str) -> Message:
        return Message(*_parts(other), *self.parts)

    def __reduce__(self) -> tuple[type[Message], tuple[tuple[str, Argument | None], ...]]:
        return Message, self.parts


def named(name: str, value: str = "", *, python: str = "") -> Message:
    """An argument in a message.

    Args:
        name: the argument.
        value: what it is to be set to, as one types it in a shell.
        python: what is said to who uses Python, if it is neither `name` nor `name=value`.

    >>> "Once more with " + named("max_cost", "2.5") + " goes on."
    'Once more with max_cost=2.5 goes on.'
    """
    text = python or (f"{name}={value}" if value else name)
    return Message((text, Argument(name, value)))


def spelled(text: str, names: Mapping[str, str]) -> str:
    """A message in the words of who has other names for arguments.

    Args:
        text: a message; a plain text is left as it is.
        names: by argument; one that is not there is said as in Python.

    >>> spelled("Raise " + named("max_cost") + ".", {"max_cost": "--max-cost"})
    'Raise --max-cost.'
    """
    return "".join(
        said if argument is None or argument.name not in names else _said(argument, names)
        for said, argument in _parts(text)
    )


def _said(argument: Argument, names: Mapping[str, str]) -> str:
    name = names[argument.name]
    return f"{name} {argument.value}" if argument.value else name


def _parts(text: str) -> tuple[tuple[str, Argument | None], ...]:
    return text.parts if isinstance(text, Message) else ((text, None),)
