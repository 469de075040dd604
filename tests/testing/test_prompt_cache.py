"""The prompt cache of the simulated endpoint: what is known, for how long, and who is told."""

import pytest

from distilabel.llm import OpenAILLM
from distilabel.tasks import TextGenerationTask
from distilabel.testing import PromptCache, SimulatedEndpoint
from distilabel.testing.prompt_cache import PromptCacheStatistics
from distilabel.types import Call

DOCUMENT = "".join(f"{number:07} " for number in range(1_000))  # 2,000 tokens


def cached(cache: PromptCache, prompt: str, *, model: str = "m", now_s: float = 0.0) -> int:
    """The cached tokens of a prompt."""
    return cache.look_up(model, prompt, now_s)


@pytest.mark.parametrize(
    ("chars", "tokens"),
    [(8_000, 1_920), (4_608, 1_152), (4_607, 1_024), (4_096, 1_024), (4_095, 0), (0, 0)],
)
def test_the_longest_known_beginning_counts_in_steps(chars, tokens):
    """From 1,024 tokens on, in steps of 128; less than that is nothing."""
    cache = PromptCache()
    cache.add("m", DOCUMENT, 0.0)
    assert cached(cache, DOCUMENT[:chars] + "?" * 600) == tokens


def test_only_the_same_beginning_of_the_same_model_is_known():
    """Another first letter, or another model, and nothing is cached."""
    cache = PromptCache()
    cache.add("m", DOCUMENT, 0.0)
    assert cached(cache, "?" + DOCUMENT) == 0
    assert cached(cache, DOCUMENT, model="other") == 0
    assert cached(cache, DOCUMENT) == 1_920


def test_a_prompt_that_is_too_short_is_not_kept():
    """Under 1,024 tokens nothing is held."""
    cache = PromptCache()
    cache.add("m", DOCUMENT[:4_000], 0.0)
    assert cache.statistics() == PromptCacheStatistics(prompts=0, hits=0, tokens=0)


def test_what_was_used_longest_ago_is_forgotten_first():
    """There is room for two documents; the one that was used stays."""
    others = [f"{name}{DOCUMENT}" for name in "abc"]
    cache = PromptCache(tokens_max=4_000)
    cache.add("m", others[0], 0.0)
    cache.add("m", others[1], 1.0)
    assert cached(cache, others[0], now_s=2.0) == 1_920
    cache.add("m", others[2], 3.0)
    assert cache.statistics().tokens <= 4_000
    assert cached(cache, others[0], now_s=4.0) == 1_920
    assert cached(cache, others[1], now_s=4.0) == 0


def test_the_end_of_a_prompt_is_forgotten_before_its_beginning():
    """If there is room for a part only, the part is the beginning."""
    cache = PromptCache(tokens_max=1_280)
    cache.add("m", DOCUMENT, 0.0)
    assert cached(cache, DOCUMENT) == 1_280


def test_what_nobody_uses_is_forgotten_after_a_time():
    """Each use begins the time anew."""
    cache = PromptCache(keep_s=300)
    cache.add("m", DOCUMENT, 0.0)
    assert cached(cache, DOCUMENT, now_s=299.0) == 1_920
    assert cached(cache, DOCUMENT, now_s=598.0) == 1_920
    assert cached(cache, DOCUMENT, now_s=899.0) == 0


async def ask(endpoint: SimulatedEndpoint, *questions: str) -> list[int | None]:
    """The cached tokens that a client reads, for questions one after another."""
    llm = OpenAILLM(TextGenerationTask(system_prompt=""), "m", base_url=endpoint.openai_url)
    cached: list[int | None] = []
    async with llm.session():
        for question in questions:
            reply = await llm.complete(Call(f"{DOCUMENT}{question}"))
            cached.append(reply.usage and reply.usage.cached_tokens)
    return cached


async def test_an_endpoint_says_what_was_cached():
    """The first question about a document reads it, the next ones find it."""
    with SimulatedEndpoint(prompt_cache=PromptCache()) as endpoint:
        assert await ask(endpoint, "Who?", "Where?", "When?") == [0, 1_920, 1_920]
    assert endpoint.settings.prompt_cache.statistics().hits == 2


async def test_an_endpoint_without_a_cache_says_nothing():
    """Unless there is one, usage has no word of it."""
    with SimulatedEndpoint(ledger="bodies") as endpoint:
        assert await ask(endpoint, "Who?", "Where?") == [0, 0]
