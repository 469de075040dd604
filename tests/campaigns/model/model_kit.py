"""What the model-based test is made of: a backend whose every reply can be told from all others.

A reply says in which run it was bought, what for, and has a number of its own. So what a row holds
tells whether its calls were bought now or found, and whether it is this row's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

from distilabel.errors import InvalidReplyError, RowFatalError, RunFatalError, TransientError
from distilabel.limits import RetryPolicy
from distilabel.llm import LLM
from distilabel.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from distilabel.types import Call

QUICK = RetryPolicy(transient_base_s=0.0, throttle_base_s=0.0, warming_wait_s=0.0)
INVALID = "INVALID"


def digest(text: str) -> str:
    """A short name for a text."""
    return blake2b(text.encode(), digest_size=6).hexdigest()


class Write(Task):
    """Asks for texts about a row's input."""

    output_columns: ClassVar[Mapping[str, object]] = {"generations": str}

    def generate_prompt(self, input: str) -> str:  # noqa: A002 - the column's name
        """The input, and nothing else."""
        return f"write {input}"

    def parse_output(self, output: str) -> dict[str, str]:
        """The text."""
        return {"generations": output}


class Judge(Task):
    """Has each text named by its digest, in the order in which they are shown."""

    input_columns: ClassVar[tuple[str, ...]] = ("input", "generations")
    output_columns: ClassVar[Mapping[str, object]] = {"mark": list[str], "bought_in": str}

    def generate_prompt(self, input: str, generations: list[str]) -> str:  # noqa: A002
        """The digests of the texts that are shown."""
        return " ".join(["judge", input, *map(digest, generations)])

    def parse_output(self, output: str) -> dict[str, object]:
        """The digests that the reply repeats, and when it was bought."""
        if output == INVALID:
            raise InvalidReplyError("it says nothing")
        run, _, marks = output.split("|")
        return {"mark": marks.split(), "bought_in": run}


@dataclass
class Weather:
    """What goes wrong in one run.

    Attributes:
        refused: inputs that the generator refuses.
        unjudged: inputs that the judge refuses.
        stumbling: inputs whose first attempt of each kind breaks.
        mumbling: inputs whose first reply of the judge is of no use.
        fatal_after: how many calls may be bought before the account is empty.
    """

    refused: frozenset[str] = frozenset()
    unjudged: frozenset[str] = frozenset()
    stumbling: frozenset[str] = frozenset()
    mumbling: frozenset[str] = frozenset()
    fatal_after: int | None = None


@dataclass
class Till:
    """What was bought in a run.

    Attributes:
        run: the number of the run.
        serial: numbers that never come twice.
        weather: what goes wrong.
        bought: prompts that were paid for.
    """

    run: int
    serial: Iterator[int]
    weather: Weather
    bought: list[str] = field(default_factory=list)
    seen: set[tuple[str, int]] = field(default_factory=set)

    def sell(self, call: Call, input_: str, *, is_judge: bool) -> None:
        """Take the money for a call, or break as the weather has it."""
        weather, prompt = self.weather, str(call.prompt)
        if input_ in (weather.unjudged if is_judge else weather.refused):
            raise RowFatalError("refused", cause="content_filter")
        if input_ in weather.stumbling and (prompt, call.first_generation) not in self.seen:
            self.seen.add((prompt, call.first_generation))
            raise TransientError("broke", cause="connection")
        if weather.fatal_after is not None and len(self.bought) >= weather.fatal_after:
            raise RunFatalError("no credit", cause="insufficient_quota", status=429)
        self.bought.append(prompt)


class Seller(LLM):
    """A backend that sells replies, each with its number."""

    def __init__(self, task: Task, till: Till, version: int, per_call: int | None) -> None:
        super().__init__(task, num_threads=3)
        self.model_name = type(task).__name__
        self.retry_policy = QUICK
        self.generations_per_call = per_call  # type: ignore[misc]
        self._till = till
        self._version = version

    def settings(self) -> dict[str, object]:
        """The version is what a user would change."""
        return {"model": self.model_name, "version": self._version}

    async def complete(self, call: Call) -> list[str]:
        """Texts that say when, what for, and as which."""
        words = str(call.prompt).split(" ")
        is_judge, till = words[0] == "judge", self._till
        till.sell(call, words[1], is_judge=is_judge)
        if not is_judge:
            return [
                f"{till.run}|{next(till.serial)}|{words[1]} v{self._version}"
                for _ in range(call.num_generations)
            ]
        is_odd = words[1] in till.weather.mumbling and (str(call.prompt), -1) not in till.seen
        till.seen.add((str(call.prompt), -1))
        return [INVALID if is_odd else f"{till.run}|{next(till.serial)}|{' '.join(words[2:])}"]
