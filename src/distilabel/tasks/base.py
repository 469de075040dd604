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

Rules:

- A task does not change once it is made, and holds nothing but its settings.
- Settings are plain data: `type(task)(**task.settings())` is an equal task. For a dataclass this
  comes by itself; any other task with arguments of its own overrides `settings`.
- Every subclass is registered under `module:QualName` when Python defines it. A saved task is found
  again by that name and by no other way, so that reading a file never imports anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from reprlib import Repr
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import MutableMapping

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

    is_formless: bool = False
    """Whether the reply holds nothing of the form that was asked for. A labeller asks for such a
    one again, as for one that a task raises `InvalidReplyError` for, and keeps its text."""


class Task(ABC):
    """How a row becomes a prompt and a reply becomes columns.

    A task with `"generations"` among its inputs is shown all generations of a row that exist, and
    each of its outputs whose type is a list holds one entry for each text shown, in that order.
    """

    input_columns: ClassVar[tuple[str, ...]] = ("input",)
    """Columns of the row that `generate_prompt` takes, by name."""
    output_columns: ClassVar[Mapping[str, ColumnType]]
    """Columns that a reply gives, with their types."""

    registered: ClassVar[MutableMapping[str, type[Task]]] = WeakValueDictionary()
    """Every subclass that Python has defined so far, by `Task.type_name`; the latest of a name."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Task.registered[cls.type_name()] = cls

    @classmethod
    def type_name(cls) -> str:
        """What a saved task calls its class.

        >>> from distilabel.tasks import TextGenerationTask
        >>> TextGenerationTask.type_name()
        'distilabel.tasks.text_generation.base:TextGenerationTask'
        """
        return f"{cls.__module__}:{cls.__qualname__}"

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

        `type(task)(**task.settings())` is an equal task. A task that is a dataclass gives its
        fields; another one gives nothing, and overrides this if its constructor takes anything.
        """
        return {each.name: _plain(getattr(self, each.name)) for each in _fields_of(self)}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        defaults = {each.name: _default_of(each) for each in _fields_of(self)}
        shown = (
            f"{name}={_SHORT.repr(value)}"
            for name, value in self.settings().items()
            if name not in defaults or value != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(shown)})"


_SHORT: Final = Repr()
_SHORT.maxstring = 80
_SHORT.maxdict = _SHORT.maxlist = 5
_SHORT.maxlevel = 1


def _fields_of(task: object) -> list[Field[Any]]:
    return [each for each in fields(task) if each.init] if is_dataclass(task) else []


def _default_of(field_: Field[Any]) -> Any:
    """The default as `settings` would give it; `MISSING` if there is none."""
    factory = field_.default_factory
    return _plain(field_.default if factory is MISSING else factory())


def _plain(value: Any) -> Any:
    """The value as JSON would give it back: dicts, lists and scalars."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
