"""A task as plain data, and back.

Rules:

- What is written is `{"type": "module:QualName", "settings": {...}, "version": 1}`.
- What is read may come from anywhere. A class is looked up among those that Python has already
  defined (`Task.registered`); nothing is ever imported, so a file cannot choose what code is
  loaded. It does choose which of those classes is made, and with which settings.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, Final

from distilabel.errors import ConfigurationError
from distilabel.tasks.base import Task

__all__ = ["from_dict", "to_dict"]

_VERSION: Final = 1


def to_dict(task: Task) -> dict[str, Any]:
    """The task as data that JSON takes.

    Raises:
        ConfigurationError: the task's `settings()` hold something that JSON does not take.

    >>> from distilabel.tasks import TextGenerationTask
    >>> task = TextGenerationTask(system_prompt="Be brief.")
    >>> from_dict(to_dict(task)) == task
    True
    """
    settings = task.settings()
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{type(task).__name__}.settings() must give plain JSON data: {error}"
        ) from error
    return {"type": task.type_name(), "settings": settings, "version": _VERSION}


def from_dict(data: Mapping[str, Any]) -> Task:
    """The task that `to_dict` wrote.

    Raises:
        ConfigurationError: the class has not been imported, it does not take the settings, or the
            data is not what `to_dict` writes.
    """
    match data:
        case {"type": str(name), "settings": Mapping() as settings, "version": int(version)}:
            pass
        case _:
            raise ConfigurationError("this is no saved task: type, settings or version is missing")
    if version != _VERSION:
        raise ConfigurationError(
            f"this task was saved in version {version} of the format, and this distilabel reads "
            f"version {_VERSION}; load it with the release that saved it, or upgrade"
        )
    return _make(_find(name), settings)


def _find(name: str) -> type[Task]:
    found = Task.registered.get(name)
    if found is None:
        module, _, qualname = name.partition(":")
        raise ConfigurationError(
            f"the task is of the class {qualname!r} of {module!r}, which is not imported. A file "
            "may not choose what is imported: import or define that class first, then load again"
        )
    return found


def _make(cls: type[Task], settings: Mapping[str, Any]) -> Task:
    if inspect.isabstract(cls):
        raise ConfigurationError(f"{cls.type_name()} is abstract; a saved task cannot be one")
    try:
        return cls(**settings)
    except ConfigurationError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{cls.type_name()} does not take the saved settings {list(settings)}: {error}. "
            "If its constructor has arguments of its own, settings() must give them"
        ) from error
