"""What a run notes about itself when it begins, for those who look at it later. Pure.

Rules:

- It is noted in the transaction that begins the run, so it is there whenever the run is.
- No argument of the command line is noted, and no variable of the environment: they may hold keys.
- What is read back may come from anywhere: every field's type is checked. A description that cannot
  be read is none, and the run can be read without it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from distilabel.types import StageName  # noqa: TC001 - msgspec looks it up

__all__ = ["DESCRIPTION_KEY", "Launch", "RunDescription", "StageDescription"]

DESCRIPTION_KEY: Final = "description"
"""What it is called among what is known of a run."""


@dataclass(frozen=True, slots=True)
class StageDescription:
    """Who does a stage."""

    stage: StageName
    model: str
    task: str
    """The task's class, without its module."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How the process that made the run was started, without its arguments."""

    directory: str
    """Where it worked."""
    script: str | None = None
    """The absolute path of the script; None: a module, or nothing that can be started again."""
    module: str | None = None
    """The module of `python -m`."""
    has_arguments: bool = False
    """There were some. They are not kept."""
    is_directory_named: bool = False
    """The program itself names the run directory, as `checkpoint_dir`."""


@dataclass(frozen=True, slots=True)
class RunDescription:
    """What a run is, as far as that cannot be seen from its records."""

    stages: tuple[StageDescription, ...] = ()
    columns: dict[str, Any] | None = None
    """The columns that the run adds, as `ResultSchema.to_dict` gives them."""
    user_features: dict[str, Any] = field(default_factory=dict[str, Any])
    """The declared types of the user's columns, as `Features.to_dict` gives them."""
    task: dict[str, Any] | None = None
    """The last stage's task, as `distilabel.tasks.saving` writes it."""
    launch: Launch | None = None

    def to_json(self) -> str:
        """As text; `from_json` reads it back.

        >>> description = RunDescription(launch=Launch("/work", script="/work/make.py"))
        >>> RunDescription.from_json(description.to_json()) == description
        True
        """
        return json.dumps(msgspec.to_builtins(self))  # which has a word for any path

    @classmethod
    def from_json(cls, text: str) -> RunDescription | None:
        """What `to_json` wrote; None if it is anything else."""
        try:
            return msgspec.convert(json.loads(text), cls)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
