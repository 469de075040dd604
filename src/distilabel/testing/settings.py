"""How a simulated endpoint behaves: one value, made from the arguments of `SimulatedEndpoint`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from distilabel.testing.capacity import Slots, TokenBucket
from distilabel.testing.faults import Script
from distilabel.testing.hub_api import HubEndpoint
from distilabel.testing.latency import Latency
from distilabel.testing.ledger import Detail
from distilabel.testing.prompt_cache import PromptCache
from distilabel.testing.request import ReplyFunction

__all__ = ["Capacity", "Settings", "split_capacity"]

Capacity = Slots[Any] | TokenBucket


@dataclass(frozen=True, slots=True)
class Settings:
    """How a simulated endpoint behaves.

    Attributes:
        latency: how long a reply takes.
        slots: how many requests are served at once; None for all of them.
        bucket: which requests are refused with a 429; None for none of them.
        reply: writes the replies; None for plausible ones.
        script: decides what goes wrong; None for nothing.
        models: the models that exist; None for any.
        require_key: the API key to ask for; None for none.
        max_prompt_chars: a longer prompt exceeds the context; None for no limit.
        endpoints: the Inference Endpoints that exist; None for any, running.
        seed: decides the replies that nobody wrote.
        ledger: how much is kept of each call.
        prompt_cache: what is remembered of prompts; None: nothing, and no usage says of it.
    """

    latency: Latency = field(default_factory=Latency)
    slots: Slots[Any] | None = None
    bucket: TokenBucket | None = None
    reply: ReplyFunction | None = None
    script: Script | None = None
    models: tuple[str, ...] | None = None
    require_key: str | None = field(default=None, repr=False)
    max_prompt_chars: int | None = None
    endpoints: tuple[HubEndpoint, ...] | None = None
    seed: int = 0
    ledger: Detail = "calls"
    prompt_cache: PromptCache | None = None


def split_capacity(
    capacity: Capacity | Sequence[Capacity] | None,
) -> tuple[Slots[Any] | None, TokenBucket | None]:
    """The slots and the bucket of a capacity, which may be one of them, both, or neither.

    Raises:
        TypeError: if there is anything else in it, or two of a kind.
    """
    if capacity is None:
        return None, None
    parts = [capacity] if isinstance(capacity, Slots | TokenBucket) else list(capacity)
    slots: list[Slots[Any]] = [part for part in parts if isinstance(part, Slots)]
    buckets = [part for part in parts if isinstance(part, TokenBucket)]
    if len(slots) > 1 or len(buckets) > 1 or len(slots) + len(buckets) != len(parts):
        raise TypeError(f"capacity is Slots, TokenBucket, or one of each, got {capacity!r}")
    return next(iter(slots), None), next(iter(buckets), None)
