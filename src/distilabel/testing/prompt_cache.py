"""What a provider's prompt cache would hold: the beginnings of prompts that were read lately.

How it works: a prompt is cut into blocks of 128 tokens, of four characters each. Each block's name
is made of its text and the name of the block before, as vLLM does it, so that a block is found only
behind the beginning that it stood behind. A prompt's cached tokens are its longest run of known
blocks from the start, if that is 1,024 tokens or more: the least, and the steps, of OpenAI's cache
(https://developers.openai.com/api/docs/guides/prompt-caching).

What is simplified:

- A prompt is looked up when its request arrives, and is known once its reply is complete. Real ones
  may know it as soon as it is read, so that requests sent together fare better there.
- There is one cache. Providers have many machines, and route by the beginning of the prompt.
- It forgets the blocks that were used longest ago, the end of a prompt before its beginning; and
  whatever was not used for `keep_s`. When real ones forget, their documents leave open.
- The text alone counts: not the roles of messages, and no images or tools.

This module is pure.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["PromptCache", "PromptCacheStatistics"]

_CHARS_PER_TOKEN = 4
_BLOCK_TOKENS = 128
_LEAST_TOKENS = 1024
_BLOCK_CHARS = _BLOCK_TOKENS * _CHARS_PER_TOKEN


@dataclass(frozen=True, slots=True)
class PromptCacheStatistics:
    """A cache at one moment.

    Attributes:
        prompts: prompts that were looked up.
        hits: those of which at least the beginning was known.
        tokens: what it holds.
    """

    prompts: int
    hits: int
    tokens: int


class PromptCache:
    """The prompt cache of a simulated endpoint.

    Args:
        tokens_max: how many tokens it holds.
        keep_s: how long, in seconds, something stays that nobody uses; None: until there is no
            room. OpenAI says "5 to 10 minutes" of its cache in memory.

    >>> cache = PromptCache(tokens_max=10_000)
    >>> document = "All about bees. " * 320
    >>> cache.look_up("m", document + "Do they sleep?", now_s=0.0)
    0
    >>> cache.add("m", document + "Do they sleep?", now_s=1.0)
    >>> cache.look_up("m", document + "Do they dance?", now_s=2.0)
    1280
    """

    def __init__(self, *, tokens_max: int = 1_000_000, keep_s: float | None = 300.0) -> None:
        self.tokens_max = tokens_max
        self.keep_s = keep_s
        self._used_s: OrderedDict[int, float] = OrderedDict()
        self._prompts = self._hits = 0

    def statistics(self) -> PromptCacheStatistics:
        """The cache at this moment."""
        tokens = len(self._used_s) * _BLOCK_TOKENS
        return PromptCacheStatistics(self._prompts, self._hits, tokens)

    def clear(self) -> None:
        """Forget everything, the counts too."""
        self._used_s.clear()
        self._prompts = self._hits = 0

    def look_up(self, model: str, prompt: str, now_s: float) -> int:
        """How many tokens of this prompt are cached; that part is used by this."""
        self._drop_old(now_s)
        known: list[int] = []
        for block in _blocks(model, prompt):
            if block not in self._used_s:
                break
            known.append(block)
        self._prompts += 1
        if len(known) * _BLOCK_TOKENS < _LEAST_TOKENS:
            return 0
        self._hits += 1
        self._use(known, now_s)
        return len(known) * _BLOCK_TOKENS

    def add(self, model: str, prompt: str, now_s: float) -> None:
        """A prompt was read."""
        blocks = _blocks(model, prompt)
        if len(blocks) * _BLOCK_TOKENS >= _LEAST_TOKENS:
            self._use(blocks, now_s)
        while len(self._used_s) * _BLOCK_TOKENS > self.tokens_max:
            self._used_s.popitem(last=False)

    def _use(self, blocks: list[int], now_s: float) -> None:
        for block in reversed(blocks):  # so that the end is forgotten before the beginning
            self._used_s[block] = now_s
            self._used_s.move_to_end(block)

    def _drop_old(self, now_s: float) -> None:
        if self.keep_s is None:
            return
        while self._used_s and now_s - next(iter(self._used_s.values())) > self.keep_s:
            self._used_s.popitem(last=False)


def _blocks(model: str, prompt: str) -> list[int]:
    """The names of all whole blocks of a prompt."""
    names: list[int] = []
    name = hash(model)
    for start in range(0, len(prompt) - _BLOCK_CHARS + 1, _BLOCK_CHARS):
        name = hash((name, prompt[start : start + _BLOCK_CHARS]))
        names.append(name)
    return names
