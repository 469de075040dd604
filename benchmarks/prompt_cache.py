"""What a provider's prompt cache gives, by the order in which rows are sent.

200 documents of about 1,500 tokens, 10 questions about each. The simulated endpoint has a prompt
cache (`distilabel.testing.PromptCache`, whose docstring says what it leaves out). A run in the
order of the input (`ordered=True`) stands beside the usual one, for inputs that are interleaved
(the first question about each document, then the second, …), sorted by document, and shuffled.

At best 1,800 of the 2,000 prompts find their document: all but the first about each.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Latency, PromptCache, SimulatedEndpoint

if TYPE_CHECKING:
    from distilabel.types import Usage

__all__ = ["Outcome", "documents", "measure"]

DOCUMENTS, QUESTIONS = 200, 10
_WORD_CHARS = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run."""

    hits: int
    """Prompts of which at least 1,024 tokens were cached."""
    cached_share: float
    """Cached tokens by all prompt tokens, as the run's summary has them."""
    seconds: float


def documents(count: int = DOCUMENTS, *, chars: int = 6_000) -> list[str]:
    """Texts of random words."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnop", k=_WORD_CHARS)) for _ in range(500)]
    return [" ".join(chance.choices(words, k=chars // (_WORD_CHARS + 1))) for _ in range(count)]


def inputs() -> dict[str, list[dict[str, str]]]:
    """The same rows in three orders."""
    texts = documents()
    pairs = [(number, question) for question in range(QUESTIONS) for number in range(DOCUMENTS)]
    orders = {
        "interleaved": pairs,
        "sorted": sorted(pairs),
        "shuffled": random.Random(2).sample(pairs, len(pairs)),
    }
    return {
        name: [{"input": f"{texts[number]}\n\nQuestion {question}?"} for number, question in order]
        for name, order in orders.items()
    }


def measure(
    rows: list[dict[str, str]], *, tokens_max: int, is_ordered: bool, in_flight: int
) -> Outcome:
    """Run over the rows, with a cache that holds so many tokens."""
    cache = PromptCache(tokens_max=tokens_max)
    latency = Latency.lognormal(median_s=0.1, sigma=0.6, seed=3)
    with SimulatedEndpoint(latency=latency, prompt_cache=cache) as endpoint:
        task = TextGenerationTask(system_prompt="Answer from the document.")
        llm = OpenAILLM(task, "m", base_url=endpoint.openai_url, num_threads=in_flight)
        begun = perf_counter()
        usage = _run(Pipeline(llm), rows, is_ordered=is_ordered)
        seconds = perf_counter() - begun
    cached_share = usage.cached_tokens / usage.prompt_tokens
    return Outcome(cache.statistics().hits, cached_share, seconds)


def _run(pipe: Pipeline, rows: list[dict[str, str]], *, is_ordered: bool) -> Usage:
    if not is_ordered:
        return pipe.generate(rows, enable_checkpoints=False).run.usage
    with pipe.iterate(rows, enable_checkpoints=False, ordered=True) as finished:
        for _ in finished:
            pass
        return finished.run.usage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, default=64)
    in_flight = parser.parse_args().in_flight
    table = Table(title=f"{DOCUMENTS} documents, {QUESTIONS} questions each, {in_flight} in flight")
    for column in ("input", "cache holds", "in order: hits", "share", "usual: hits", "share"):
        table.add_column(column, justify="right")
    for name, rows in inputs().items():
        for tokens_max in (100_000, 200_000, 1_000_000):
            outcomes = [
                measure(rows, tokens_max=tokens_max, is_ordered=is_ordered, in_flight=in_flight)
                for is_ordered in (True, False)
            ]
            cells = [(f"{one.hits:,}", f"{one.cached_share:.0%}") for one in outcomes]
            held = f"{tokens_max // 1000}k tokens"
            table.add_row(name, held, *(cell for pair in cells for cell in pair))
    Console().print(table)


if __name__ == "__main__":
    main()
