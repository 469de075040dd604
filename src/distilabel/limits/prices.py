"""What OpenAI's models cost, on one dated list. Pure.

The prices are those of OpenAI's page for developers, https://platform.openai.com/docs/pricing (text
tokens, standard tier), as two public copies of it agree on; the later one was made on the date
below. A provider may change them at any time: `price=` of a backend goes before this list.

Rules:

- The list is for OpenAI's own server. Who serves a model of the same name elsewhere has prices of
  its own.
- A model is found by its name, or by its name and a date ("gpt-4o-2024-08-06").
- What is not on the list has no price. Left out are models that are not asked by chat completions,
  those whose price depends on the length of the prompt (gpt-5.4 and later), and gpt-4o's first
  snapshot under its own name alone, which cost more.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Final

from distilabel.errors import ConfigurationError
from distilabel.types import Price

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPENAI_PRICES", "PRICES_AS_OF", "as_price", "openai_price"]

PRICES_AS_OF: Final = dt.date(2026, 6, 4)
"""When the prices were looked at."""

OPENAI_PRICES: Final[Mapping[str, Price]] = {
    "gpt-5.2": Price(1.75, 14.00, 0.175),
    "gpt-5.2-chat-latest": Price(1.75, 14.00, 0.175),
    "gpt-5.1": Price(1.25, 10.00, 0.125),
    "gpt-5.1-chat-latest": Price(1.25, 10.00, 0.125),
    "gpt-5": Price(1.25, 10.00, 0.125),
    "gpt-5-chat-latest": Price(1.25, 10.00, 0.125),
    "gpt-5-mini": Price(0.25, 2.00, 0.025),
    "gpt-5-nano": Price(0.05, 0.40, 0.005),
    "gpt-4.1": Price(2.00, 8.00, 0.50),
    "gpt-4.1-mini": Price(0.40, 1.60, 0.10),
    "gpt-4.1-nano": Price(0.10, 0.40, 0.025),
    "gpt-4o": Price(2.50, 10.00, 1.25),
    "gpt-4o-2024-05-13": Price(5.00, 15.00),
    "gpt-4o-mini": Price(0.15, 0.60, 0.075),
    "gpt-3.5-turbo": Price(0.50, 1.50),
    "o4-mini": Price(1.10, 4.40, 0.275),
    "o3": Price(2.00, 8.00, 0.50),
    "o3-mini": Price(1.10, 4.40, 0.55),
    "o1": Price(15.00, 60.00, 7.50),
}
"""By model, in US dollars per million tokens: input, output, cached input."""

_SNAPSHOT = re.compile(r"-20\d\d-\d\d-\d\d$|-0125$")
_EXAMPLE = "price=Price(input=0.15, output=0.60), in US dollars per million tokens"


def openai_price(model: str) -> Price | None:
    """What OpenAI asks for a model; None: the list does not say.

    >>> openai_price("gpt-4o-mini-2024-07-18")
    Price(input=0.15, output=0.6, cached_input=0.075)
    >>> openai_price("gpt-4o-2024-05-13").input, openai_price("gpt-4o-2024-08-06").input
    (5.0, 2.5)
    >>> openai_price("my-model") is None
    True
    """
    return OPENAI_PRICES.get(model) or OPENAI_PRICES.get(_SNAPSHOT.sub("", model))


def as_price(price: Price | tuple[float, float] | None) -> Price | None:
    """A price as a user may give it; a pair is input and output.

    Raises:
        ConfigurationError: it is none.

    >>> as_price((0.15, 0.60))
    Price(input=0.15, output=0.6, cached_input=None)
    """
    if price is None:
        return None
    if not isinstance(price, Price):
        price = _of_pair(price)
    cached = price.input if price.cached_input is None else price.cached_input
    if not all(map(_is_amount, (price.input, price.output, cached))):
        raise ConfigurationError(
            f"{price!r} is no price: amounts are numbers that are not negative. Say {_EXAMPLE}."
        )
    return price


def _of_pair(pair: tuple[float, float]) -> Price:
    try:
        read, written = pair
    except (TypeError, ValueError):
        raise ConfigurationError(f"price= takes a Price or a pair. Say {_EXAMPLE}.") from None
    return Price(read, written)


def _is_amount(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
