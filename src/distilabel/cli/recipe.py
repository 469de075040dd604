"""What a pipeline is, as a YAML file or options say it; checked before anything is read or bought.

Rules:

- A file and the options of the command line make one mapping, options going first. There is one set
  of names, and one check.
- A name that is not known is an error that says which one is near.
- A key in a file is an error, for files are shown, sent and committed. It is never repeated.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import msgspec

from distilabel.cli.models import ModelSettings, make_llm
from distilabel.errors import ConfigurationError
from distilabel.pipeline import Pipeline
from distilabel.pipeline.settings import RunSettings
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.types import Resume  # noqa: TC001 - msgspec reads it
from distilabel.untrusted import one_line

__all__ = ["Labeller", "Recipe", "Writer", "is_recipe", "read_recipe", "recipe_of"]

_LABEL: Final = "ultrafeedback"
_DEFAULT_LABEL: Final = "ultrafeedback:text-quality"
_RATING_TOKENS: Final = 256
"""What a judge may write for each text, if nobody says."""

_SECRET_NAMES: Final = re.compile(
    r"(^|_)(api_?keys?|key|keys|token|secret|password|authorization|bearer)$"
)
_SECRET_VALUES: Final = re.compile(r"\b(sk|hf|gsk|xai)[-_][A-Za-z0-9_-]{16,}")
_NO_KEYS: Final = (
    "keys are read from the environment alone: set OPENAI_API_KEY or HF_TOKEN, or name another "
    "variable with key_env. Take the key out of the file, and if others may have seen it, revoke it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer(ModelSettings):
    """The model that writes."""

    system_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labeller(ModelSettings):
    """The model that rates."""

    task: str = _DEFAULT_LABEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole pipeline: where rows come from, who writes, who rates, where rows go."""

    input: str | list[dict[str, Any]] | None = None
    """A path, "-" for standard input, or rows."""
    input_column: str = "input"
    limit: int | None = None
    """The first so many rows."""
    output: str = "-"
    """A path, or "-" for standard output."""
    generator: Writer | None = None
    labeller: Labeller | None = None
    num_generations: int = 1
    max_cost: float | None = None
    """US dollars."""
    resume: Resume = "auto"
    checkpoint_dir: str | None = None
    ordered: bool = False
    include_metadata: bool = False
    shuffle_before_labelling: bool = True
    seed: int | None = None

    def pipeline(self) -> Pipeline:
        """The pipeline. No call is made.

        Raises:
            ConfigurationError: no model is named, or one cannot be used as it is set.
        """
        if not (self.generator or self.labeller):
            raise ConfigurationError(
                "no model is named. Say which one writes, --model openai:gpt-4o-mini, or which one "
                "rates generations that are there, --labeller openai:gpt-4o"
            )
        writer = judge = None
        if self.generator is not None:
            prompt = self.generator.system_prompt
            task = TextGenerationTask()
            if prompt is not None:
                task = TextGenerationTask(system_prompt=prompt)
            writer = make_llm(self.generator, task)
        if self.labeller is not None:
            tokens = _RATING_TOKENS * max(1, self.num_generations)
            judge = make_llm(
                self.labeller,
                _rating_task(self.labeller.task),
                max_new_tokens=tokens,
                temperature=0.0,
            )
        return Pipeline(generator=writer, labeller=judge)

    def settings(self, *, shows_progress: bool, is_quiet: bool) -> RunSettings:
        """How the run is to be.

        Raises:
            ConfigurationError: a setting cannot work.
        """
        return RunSettings(
            num_generations=self.num_generations,
            display_progress_bar=shows_progress,
            verbose=not is_quiet,
            checkpoint_dir=self.checkpoint_dir,
            resume=self.resume,
            shuffle_before_labelling=self.shuffle_before_labelling,
            max_cost=self.max_cost,
            seed=self.seed,
            include_metadata=self.include_metadata,
            ordered=self.ordered,
        )


def is_recipe(source: str) -> bool:
    """Whether a path is that of a pipeline, and not of rows.

    >>> is_recipe("pipeline.yaml"), is_recipe("prompts.jsonl")
    (True, False)
    """
    return Path(source).suffix.lower() in {".yaml", ".yml"}


def read_recipe(path: str) -> dict[str, Any]:
    """What a YAML file says; `recipe_of` checks it.

    Raises:
        ConfigurationError: it cannot be read, is no YAML, or holds a key. Its text is not repeated.
    """
    import yaml

    try:
        found: object = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # whose text quotes the file
        raise ConfigurationError(f"{path} is no YAML{_where(error)}") from None
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"{path} holds no pipeline: there must be names and values, as `distilabel init` "
            "writes them"
        )
    _refuse_keys(found, path)
    return dict(found)


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """The recipe that these values are.

    Raises:
        ConfigurationError: a name is not known, or a value is not of its type.
    """
    _check_names(values, Recipe, "")
    for name, kind in (("generator", Writer), ("labeller", Labeller)):
        if isinstance(part := values.get(name), Mapping):
            _check_names(part, kind, f"{name}.")
    try:
        return msgspec.convert(dict(values), Recipe)
    except msgspec.ValidationError as error:
        text = str(error).replace("`", "").replace("$.", "").replace(" | null", "")
        raise ConfigurationError(f"the pipeline cannot be read: {one_line(text)}") from None


def _rating_task(label: str) -> UltraFeedbackTask:
    name, _, subtask = label.partition(":")
    if name != _LABEL:
        raise ConfigurationError(
            f"there is no label {one_line(label, characters_max=60)!r}. Write {_DEFAULT_LABEL}, or "
            "another subtask of ultrafeedback"
        )
    return UltraFeedbackTask.for_subtask(subtask or "text-quality")


def _check_names(values: Mapping[Any, Any], kind: type, place: str) -> None:
    known = [each.name for each in fields(kind)]
    for name in values:
        if name in known:
            continue
        shown = one_line(str(name), characters_max=60)
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
        raise ConfigurationError(
            f"the pipeline says {place}{shown}, which is not known. Did you mean {place}{near[0]}? "
            f"There is: {', '.join(known)}"
        )


def _refuse_keys(value: object, path: str, *, is_row: bool = False) -> None:
    """A key anywhere but in a row, by how it is named or what it looks like."""
    if isinstance(value, str) and _SECRET_VALUES.search(value):
        raise ConfigurationError(f"{path} holds what looks like a key; {_NO_KEYS}")
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not is_row and _SECRET_NAMES.search(str(name).lower()):
                raise ConfigurationError(
                    f"{path} holds a key, at {one_line(str(name))}; {_NO_KEYS}"
                )
            _refuse_keys(item, path, is_row=is_row or name == "input")
    elif isinstance(value, list):
        for item in value:
            _refuse_keys(item, path, is_row=is_row)


def _where(error: Exception) -> str:
    """The place of a mistake, if YAML knows it: nothing of the text around it."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return ""
    problem = one_line(str(getattr(error, "problem", "") or "")).split("'")[0].strip()
    return f": line {mark.line + 1}, column {mark.column + 1}" + (f", {problem}" if problem else "")
