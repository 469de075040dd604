"""A provider that keeps books: what each generation costs, whatever becomes of its reply."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distilabel.errors import InvalidReplyError
from distilabel.limits.spending import PICODOLLARS, Rates
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Completion, Html, MalformedJson, Reset, Status, Truncated
from distilabel.testing.request import estimate_tokens
from distilabel.types import Price, Usage

if TYPE_CHECKING:
    from distilabel.testing import Fault, Ledger, SimRequest

MAX_NEW_TOKENS = 64
PRICES = {"writer": Price(0.15, 0.60), "judge": Price(2.50, 10.00, 1.25)}
USELESS = "~ nothing of use ~"
_CHARS_PER_TOKEN = 4


class Picky(TextGenerationTask):
    """Takes any text but the useless one."""

    def parse_output(self, output: str) -> dict[str, str]:
        if output.startswith("~"):
            raise InvalidReplyError("of no use")
        return {"generations": output}


class PickyJudge(Picky):
    """Writes about what another has written; one label a row."""

    input_columns = ("generations",)
    output_columns = {"verdict": str}  # noqa: RUF012 - as a task declares it

    def generate_prompt(self, generations: list[str]) -> str:  # type: ignore[override]
        return "Compare: " + " | ".join(generations)

    def parse_output(self, output: str) -> dict[str, str]:
        return {"verdict": super().parse_output(output)["generations"]}


@dataclass
class Bill:
    """Decides by chance how each request goes, and writes down what is billed for it.

    Attributes:
        seed: of the chances.
        trouble: the share of requests that go wrong somehow.
        costs: by the request's index, of each generation that was made, in picodollars.
    """

    seed: int
    trouble: float = 0.4
    costs: dict[int, int] = field(default_factory=dict)

    def script(self, request: SimRequest) -> Fault | None:
        """What goes wrong with a request."""
        chance = random.Random(f"{self.seed}:{request.index}:fault")
        if chance.random() >= self.trouble:
            return None
        faults: tuple[Fault, ...] = (
            Status(429, retry_after_s=0.02 * chance.random()),
            Status(500),
            Reset(),
            Reset(after_bytes=40),
            Truncated(),
            Html(),
            MalformedJson(),
        )
        return chance.choice(faults)

    def reply(self, request: SimRequest) -> list[Completion]:
        """The texts, of any length that was asked for; some are of no use."""
        chance = random.Random(f"{self.seed}:{request.index}:reply")
        most = (request.max_tokens or MAX_NEW_TOKENS) * _CHARS_PER_TOKEN
        texts = []
        for _ in range(request.n):
            length = most if chance.random() < 0.2 else chance.randint(1, most)
            texts.append(USELESS if chance.random() < 0.1 else "w" * length)
        self._book(request, texts)
        return [Completion(text) for text in texts]

    def _book(self, request: SimRequest, texts: list[str]) -> None:
        usage = Usage(estimate_tokens(request.prompt), sum(map(estimate_tokens, texts)))
        self.costs[request.index] = Rates.of(PRICES[request.model]).cost(usage)

    @property
    def at_most(self) -> float:
        """Of all generations that were made, lost replies included, in US dollars."""
        return sum(self.costs.values()) / PICODOLLARS

    def paid(self, ledger: Ledger) -> float:
        """Of the 200s that were sent or begun, in US dollars."""
        sent = [call.index for call in ledger.calls if call.status == 200]
        return sum(self.costs.get(index, 0) for index in sent) / PICODOLLARS
