"""What all tasks of a judge share: texts go in, a rating and a rationale for each come out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from distilabel.errors import ConfigurationError
from distilabel.tasks.base import ColumnType, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PreferenceTask", "Rating"]


@dataclass(frozen=True, slots=True)
class Rating:
    """One step of a scale.

    >>> Rating(1, "Useless.")
    Rating(value=1, description='Useless.')
    """

    value: float
    """The number that the judge writes."""
    description: str
    """When it is to write that number."""


@dataclass(kw_only=True, repr=False, eq=False)
class PreferenceTask(Task):
    """Have a model rate each of a row's `generations` as an answer to its `input`.

    The judge is shown the texts in the order in which `generations` holds them, and every output
    holds one entry for each text in that same order: a caller that wants another order shuffles
    before, and maps back after.

    Args:
        system_prompt: who the judge is to be.
        task_description: what it is to look at.
        ratings: the steps of the scale; each a `Rating`, or a mapping with its two keys.

    Raises:
        ConfigurationError: the ratings are no scale.
    """

    input_columns: ClassVar[tuple[str, ...]] = ("input", "generations")
    output_columns: ClassVar[Mapping[str, ColumnType]] = {
        "rating": list[float],
        "rationale": list[str],
    }

    system_prompt: str
    task_description: str
    ratings: Sequence[Rating]

    def __post_init__(self) -> None:
        self.ratings = tuple(_rating(each) for each in self.ratings)
        values = [each.value for each in self.ratings]
        if len(set(values)) < 2 or len(set(values)) < len(values):
            raise ConfigurationError(f"ratings must be at least two different steps, not {values}")

    @property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest rating."""
        values = [each.value for each in self.ratings]
        return min(values), max(values)


def _rating(given: object) -> Rating:
    match given:
        case Rating(int() | float() as value, str() as description) | {
            "value": int() | float() as value,
            "description": str() as description,
        } if math.isfinite(value):
            return Rating(value, description)
        case _:
            raise ConfigurationError(
                f"each of ratings must be a Rating(value, description) with a finite number for a "
                f"value, not {given!r:.80}"
            )
