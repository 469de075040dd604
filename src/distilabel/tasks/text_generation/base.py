"""The task of a generator: a question goes in, a text comes out.

How a principle is chosen: a hash of the seed and the input picks a group by its share, and then a
sentence of the group, evenly. No random state is kept, so the same row gets the same prompt on
every rendering, in any order and in any process; a resumed run depends on that.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar, Literal

from distilabel.errors import ConfigurationError
from distilabel.tasks.base import ColumnType, Task
from distilabel.tasks.prompt import Prompt
from distilabel.tasks.text_generation.principles import DEFAULT_SYSTEM_PROMPT, PRINCIPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distilabel.types import PromptText

__all__ = ["TextGenerationTask"]


@dataclass(kw_only=True, repr=False, eq=False)
class TextGenerationTask(Task):
    """Have a model answer the `input` column; the answers become `generations`.

    Args:
        system_prompt: who the model is to be; may be empty.
        principles: sentences to steer the model with, by group; see `PRINCIPLES`.
        principles_distribution: the share of inputs that gets a sentence of each group, adding up
            to 1; "balanced" gives every group the same share; None adds no sentence.
        seed: another seed deals the sentences out differently.

    Raises:
        ConfigurationError: the principles or their distribution cannot work.

    Override `generate_prompt` for a format of your own::

        class NotusTextGenerationTask(TextGenerationTask):
            def generate_prompt(self, input: str) -> str:
                return Prompt(
                    system_prompt=self.system_prompt, formatted_prompt=input
                ).format_as("notus")

    >>> TextGenerationTask(system_prompt="Be brief.").generate_prompt("Hi")
    Prompt(system_prompt='Be brief.', formatted_prompt='Hi')
    """

    input_columns: ClassVar[tuple[str, ...]] = ("input",)
    output_columns: ClassVar[Mapping[str, ColumnType]] = {"generations": str}

    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    principles: Mapping[str, Sequence[str]] = field(default_factory=lambda: dict(PRINCIPLES))
    principles_distribution: Mapping[str, float] | Literal["balanced"] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.principles = _checked_principles(self.principles)
        if isinstance(self.principles_distribution, Mapping):
            self.principles_distribution = _checked_shares(
                self.principles_distribution, known=self.principles
            )
        elif self.principles_distribution not in (None, "balanced"):
            raise ConfigurationError(
                'principles_distribution must be None, "balanced" or shares by group, '
                f"not {self.principles_distribution!r}"
            )

    def generate_prompt(self, input: str) -> Prompt | PromptText:  # noqa: A002  # the column's name
        """The prompt for one input: the system prompt, its principle after it, and the input."""
        return Prompt(system_prompt=self.system_prompt_for(input), formatted_prompt=input)

    def parse_output(self, output: str) -> dict[str, str]:
        """The reply, untouched, as `generations`."""
        return {"generations": output}

    def system_prompt_for(self, input: str) -> str:  # noqa: A002  # as in generate_prompt
        """The system prompt with the principle that this input is dealt, if any."""
        principle = self.principle_for(input)
        return " ".join(part for part in (self.system_prompt, principle) if part)

    def principle_for(self, input: str) -> str | None:  # noqa: A002  # as in generate_prompt
        """The sentence that this input is dealt; None without a `principles_distribution`.

        >>> task = TextGenerationTask(principles_distribution="balanced")
        >>> task.principle_for("Hi") == task.principle_for("Hi")
        True
        """
        shares = self._shares()
        if not shares:
            return None
        which_group, which_sentence = _draws(self.seed, input)
        sentences = self.principles[_pick(shares, which_group)]
        return sentences[int(which_sentence * len(sentences))]

    def _shares(self) -> Mapping[str, float]:
        if self.principles_distribution is None:
            return {}
        if isinstance(self.principles_distribution, Mapping):
            return self.principles_distribution
        return dict.fromkeys(self.principles, 1.0)


def _draws(seed: int, text: str) -> tuple[float, float]:
    """Two numbers from [0, 1) that depend on the arguments alone."""
    data = f"{seed}\0{text}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(data, digest_size=16).digest()
    return _unit(digest[:8]), _unit(digest[8:])


def _unit(eight_bytes: bytes) -> float:
    return (int.from_bytes(eight_bytes, "big") >> 11) / 2**53


def _pick(shares: Mapping[str, float], draw: float) -> str:
    """The group whose stretch of the line from 0 to the sum of all shares holds the draw."""
    groups = [group for group, share in shares.items() if share > 0]
    ends = list(accumulate(shares[group] for group in groups))
    point = draw * ends[-1]
    return next((group for group, end in zip(groups, ends, strict=True) if point < end), groups[-1])


def _checked_principles(principles: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    for group, sentences in principles.items():
        if isinstance(sentences, str) or not sentences:
            raise ConfigurationError(
                f"principles[{group!r}] must be a list of at least one sentence, not {sentences!r}"
            )
    return {group: tuple(sentences) for group, sentences in principles.items()}


def _checked_shares(
    shares: Mapping[str, float], *, known: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    unknown = [group for group in shares if group not in known]
    if unknown:
        raise ConfigurationError(
            f"principles_distribution names {unknown}, which the principles do not have; "
            f"they have: {', '.join(known)}"
        )
    negative = [group for group, share in shares.items() if not share >= 0]
    if negative:
        raise ConfigurationError(f"principles_distribution: {negative} must not be negative")
    total = math.fsum(shares.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise ConfigurationError(f"principles_distribution must add up to 1, not to {total:g}")
    return dict(shares)
