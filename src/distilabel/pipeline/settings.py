"""What a run was asked to do. Checked when it is made, before a row is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, get_args

from distilabel.errors import ConfigurationError
from distilabel.journal import Durability
from distilabel.naming import named
from distilabel.types import OnError, Resume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["RunSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The arguments of `Pipeline.generate`, as that method documents them.

    Raises:
        ConfigurationError: an argument cannot work.
    """

    num_generations: int = 1
    batch_size: int = 1
    enable_checkpoints: bool = True
    display_progress_bar: bool = False
    verbose: bool = True
    checkpoint_dir: str | Path | None = None
    durability: Durability = "power"
    resume: Resume = "auto"
    shuffle_before_labelling: bool = True
    on_error: OnError = "collect"
    max_cost: float | None = None
    seed: int | None = None
    include_metadata: bool = False
    ordered: bool = False

    def __post_init__(self) -> None:
        _at_least_one("num_generations", self.num_generations)
        _at_least_one("batch_size", self.batch_size)
        _one_of("resume", self.resume, get_args(Resume))
        _one_of("on_error", self.on_error, get_args(OnError))
        _one_of("durability", self.durability, get_args(Durability))
        if self.checkpoint_dir is not None and not self.enable_checkpoints:
            raise ConfigurationError("checkpoint_dir= needs enable_checkpoints=True")
        if self.max_cost is not None:
            _amount("max_cost", self.max_cost)

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> Self:
        """The settings among the arguments of a method of `Pipeline`; the others at their default.

        Raises:
            ConfigurationError: one of them cannot work.
        """
        return cls(**{name: arguments[name] for name in cls.__slots__ if name in arguments})


def _at_least_one(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(
            named(name) + f" must be a whole number of at least 1, not {value!r}"
        )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigurationError(named(name) + f" must be one of {', '.join(known)}, not {value!r}")


def _amount(name: str, value: object) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
        return
    raise ConfigurationError(
        named(name) + f" must be an amount of US dollars of more than 0, not {value!r}. For no "
        f"ceiling, leave it out."
    )
