"""What a task is: how a row becomes a prompt, and how a reply becomes columns. Pure, both ways.

A task sees no backend and no event loop. Subclass `Task`, say which columns it reads and which it
makes, and write two functions::

    class Summarize(Task):
        input_columns = ("document",)
        output_columns = {"summary": str}

        def generate_prompt(self, document: str) -> Prompt:
            return Prompt(system_prompt="You summarize.", formatted_prompt=document)

        def parse_output(self, output: str) -> dict[str, str]:
            return {"summary": output.strip()}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    from distilabel.tasks.prompt import Prompt
    from distilabel.types import PromptText

__all__ = ["ColumnType", "Parsed", "Problem", "Task"]

ColumnType: TypeAlias = type[str] | type[int] | type[float] | type[bool] | Any
"""The type of an output: `str`, `int`, `float`, `bool`, or `list[...]` of one of them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that a reply should have held and did not."""

    cause: str
    """A short, stable word to count by: "rating_missing", "rating_off_scale", …"""
    message: str
    text: int | None = None
    """Which of the texts that the judge was shown, from 0; None: all of them."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a task read out of one reply."""

    values: Mapping[str, Any]
    """One entry for each of the task's `output_columns`; None where there is none."""
    problems: tuple[Problem, ...] = field(default=())


class Task(ABC):
    """How a row becomes a prompt and a reply becomes columns.

    A task with `"generations"` among its inputs is shown all generations of a row that exist, and
    each of its outputs whose type is a list holds one entry for each text shown, in that order.
    """

    input_columns: ClassVar[tuple[str, ...]] = ("input",)
    """Columns of the row that `generate_prompt` takes, by name."""
    output_columns: ClassVar[Mapping[str, ColumnType]]
    """Columns that a reply gives, with their types."""

    @abstractmethod
    def generate_prompt(self, *args: Any, **kwargs: Any) -> Prompt | PromptText:
        """The prompt for one row; called with the row's `input_columns` as keyword arguments.

        A `Prompt` is formatted for the backend; a `str` or a list of messages is sent as it is.
        Must depend on its arguments and the task's settings alone: the same row, asked again,
        has to give the same prompt.
        """

    def parse_output(self, output: str) -> Mapping[str, Any]:
        """The values of `output_columns` that one reply holds.

        Raise `InvalidReplyError` for a reply that is of no use at all: it is asked for again.
        """
        raise NotImplementedError(f"{type(self).__name__} must define parse_output() or parse()")

    def parse(self, output: str, inputs: Mapping[str, Any]) -> Parsed:
        """As `parse_output`, but told what was asked, and able to say what is wrong with the reply.

        Args:
            output: the reply's text, untrusted.
            inputs: what `generate_prompt` was called with.
        """
        del inputs
        return Parsed(self.parse_output(output))

    def settings(self) -> dict[str, Any]:
        """The task's own settings as plain data: what it is saved with, and made again from.

        `type(task)(**task.settings())` is an equal task.
        """
        return {}
