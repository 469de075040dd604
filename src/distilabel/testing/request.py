"""What scripts and reply functions are shown of a request, and what a reply function may answer.

These are msgspec structs rather than dataclasses: very many are made, and theirs are made in C.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from distilabel.testing.http1 import Head

__all__ = ["GENERATION_ROUTES", "Completion", "ReplyFunction", "SimRequest", "estimate_tokens"]

GENERATION_ROUTES = frozenset({"chat", "text-generation"})
"""The routes on which a language model writes: only these cost money, take time and a slot."""


class SimRequest(msgspec.Struct, frozen=True):
    """One request, as a simulated endpoint sees it.

    Attributes:
        index: its place in the order of arrival, from 0. Generation requests are counted apart
            from the others (models, hub), so that ``index`` is also the index of the latency draw.
        attempt: 1 for the first request with this body, 2 for the second, and so on.
        route: ``chat``, ``text-generation``, ``models``, ``hub``, ``whoami`` or ``unknown``.
        model: the model asked for, or an empty string.
        endpoint: the name of the Inference Endpoint it was sent to, or None.
        n: how many choices are asked for.
        max_tokens: the most tokens that a choice may have, or None.
        prompt: the text of the messages or of the inputs.
        body: the parsed JSON, empty if there is none.
    """

    index: int
    attempt: int
    route: str
    model: str = ""
    endpoint: str | None = None
    n: int = 1
    max_tokens: int | None = None
    prompt: str = ""
    body: Mapping[str, object] = {}
    _head: Head | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case; a key is never shown, only that there was one."""
        headers = {} if self._head is None else self._head.headers()
        for secret in ("authorization", "api-key", "cookie"):
            if secret in headers:
                headers[secret] = "[hidden]"
        return headers

    @property
    def is_generation(self) -> bool:
        """Whether a language model would write an answer to it."""
        return self.route in GENERATION_ROUTES


class Completion(msgspec.Struct, frozen=True):
    """One choice of a reply, when its text alone does not say enough.

    Attributes:
        text: what the model wrote; None as for a refusal.
        finish_reason: ``stop``, ``length``, ``content_filter`` or ``tool_calls``.
    """

    text: str | None
    finish_reason: str = "stop"


ReplyFunction: TypeAlias = Callable[
    [SimRequest], "str | Completion | Sequence[str | Completion | None]"
]
"""Writes the reply: one text (the same for each of the ``n`` choices), or one entry a choice."""


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has: one for four characters, as a rule of thumb.

    >>> estimate_tokens("How many tokens?")
    4
    """
    return (len(text) + 3) // 4
