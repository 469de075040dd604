"""What a run notes about itself, so that others can show it, export it and start it again.

Rules:

- The arguments of the command line are not noted, and neither is the environment: they may hold
  keys. Only that there were arguments is.
- Types of the user's columns are noted where the input declares them and Arrow alone can hold them.
  Others (images, audio, tensors) are not kept by the journal, or come out as plain lists.
"""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distilabel.errors import ConfigurationError
from distilabel.journal import Launch, RunDescription, StageDescription
from distilabel.pipeline.source import declared_features
from distilabel.tasks.saving import to_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.dataset.origin import StageOrigin
    from distilabel.llm.base import LLM
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowsLike
    from distilabel.tasks.base import Task

__all__ = ["describe", "launch", "stage_origins"]

_PARAMETERS: Final = frozenset(
    {
        "do_sample",
        "frequency_penalty",
        "max_completion_tokens",
        "max_new_tokens",
        "max_tokens",
        "min_p",
        "presence_penalty",
        "reasoning_effort",
        "repetition_penalty",
        "seed",
        "stop",
        "stop_sequences",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
    }
)
"""What is told of a backend's settings to whoever gets the data set. Others may be addresses,
accounts or paths."""
_PLAIN: Final = frozenset({"Value", "ClassLabel", "List", "LargeList", "Sequence"})
"""The features of `datasets` that Arrow holds without a type of its own."""


def describe(plan: Plan, settings: RunSettings, rows: RowsLike) -> RunDescription:
    """What is noted of a run when it begins."""
    task: dict[str, Any] | None = None
    with suppress(ConfigurationError):  # a task of the user's that cannot be saved
        task = to_dict(plan.task)
    return RunDescription(
        stages=tuple(
            StageDescription(name, llm.model_name, type(llm.task).__name__)
            for name, llm in plan.stages
        ),
        columns=plan.schema.to_dict(),
        user_features=_declared(rows, plan.schema.names),
        task=task,
        launch=launch(is_directory_named=settings.checkpoint_dir is not None),
    )


def stage_origins(plan: Plan) -> tuple[StageOrigin, ...]:
    """Who does each stage, as the data set tells it."""
    from distilabel.dataset.markdown import without_folders
    from distilabel.dataset.origin import StageOrigin  # it loads fsspec

    return tuple(
        StageOrigin(
            stage=name,
            model=without_folders(llm.model_name),
            backend=type(llm).__name__,
            task=type(llm.task).__name__,
            parameters=_parameters(llm),
            task_settings=_task_settings(llm.task),
        )
        for name, llm in plan.stages
    )


def _task_settings(task: Task) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    with suppress(ConfigurationError):  # a task of the user's that cannot be saved
        settings = to_dict(task)["settings"]
    with suppress(Exception):  # one that cannot be made without settings has no defaults
        defaults = type(task)().settings()
        settings = {name: each for name, each in settings.items() if each != defaults.get(name)}
    return settings


def _parameters(llm: LLM) -> dict[str, Any]:
    settings = {key: llm.settings()[key] for key in sorted(_PARAMETERS & llm.settings().keys())}
    settings["prompt_format"] = llm.prompt_format
    settings["endpoint_namespace"] = getattr(llm, "endpoint_namespace", None)
    plain = (str, int, float, bool, list)
    return {key: value for key, value in settings.items() if isinstance(value, plain)}


def launch(*, is_directory_named: bool) -> Launch:
    """How this process was started, as far as it may be noted."""
    directory, has_arguments = "", len(sys.argv) > 1
    with suppress(FileNotFoundError):  # somebody has deleted it
        directory = str(Path.cwd())
    main = sys.modules.get("__main__")
    if hasattr(sys, "ps1") or multiprocessing.parent_process() is not None:
        main = None  # a prompt, a notebook, or a part of another program
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    script = module = None
    if spec is not None and spec.name != "__main__":
        module = spec.name.removesuffix(".__main__")
    elif file is not None:
        script = str(Path(sys.argv[0] if spec is not None else file).absolute())
    return Launch(
        directory,
        script,
        module,
        has_arguments=has_arguments,
        is_directory_named=is_directory_named,
    )


def _declared(rows: RowsLike, added: tuple[str, ...]) -> dict[str, Any]:
    features: Any = declared_features(rows)
    if features is None:
        return {}
    written: Mapping[str, Any] = features.to_dict()
    return {
        name: feature
        for name, feature in written.items()
        if name not in added and _is_plain(feature)
    }


def _is_plain(feature: object) -> bool:
    match feature:
        case {"_type": str(kind), **others}:
            return kind in _PLAIN and _is_plain(others.get("feature", []))
        case dict():
            return all(map(_is_plain, feature.values()))
        case list():
            return all(map(_is_plain, feature))
        case _:
            return False
