"""The price list and what users may say instead."""

import datetime as dt
import re
from pathlib import Path

import pytest

from distilabel.errors import ConfigurationError
from distilabel.limits.prices import OPENAI_PRICES, PRICES_AS_OF, as_price, openai_price
from distilabel.types import Price, Usage


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20"])
def test_a_snapshot_costs_what_its_model_costs(model):
    """A dated name has the price of the name without the date."""
    assert openai_price(model) == OPENAI_PRICES["gpt-4o"]


def test_a_snapshot_of_its_own_price_keeps_it():
    """The first gpt-4o was dearer, and stands on the list under its full name."""
    price = openai_price("gpt-4o-2024-05-13")
    assert price is not None
    assert price.input == 2 * OPENAI_PRICES["gpt-4o"].input


@pytest.mark.parametrize(
    "model", ["gpt-4o-audio-preview", "gpt-5.5", "gpt-4o-mini-2024", "ft:gpt-4o:me", "", "o3-pro"]
)
def test_what_is_not_on_the_list_has_no_price(model):
    """A name that only looks like one of the list is not taken for it."""
    assert openai_price(model) is None


def test_the_list_is_plausible():
    """Output costs more than input, a cache makes nothing dearer, and the list has a date."""
    for price in OPENAI_PRICES.values():
        assert 0 < price.input < price.output
        assert price.cached_input is None or price.cached_input < price.input
    assert dt.date(2026, 1, 1) < PRICES_AS_OF < dt.date(2026, 12, 31)


def test_cached_tokens_have_a_price_of_their_own():
    """A million tokens read, half of them from the cache, and a million written."""
    usage = Usage(1_000_000, 1_000_000, 500_000)
    assert Price(2.0, 8.0, 0.5).cost(usage) == 1.0 + 0.25 + 8.0
    assert Price(2.0, 8.0).cost(usage) == 10.0


@pytest.mark.parametrize(
    "price",
    [
        1.5,
        "0.1",
        (1.0,),
        (1.0, 2.0, 3.0),
        (-1.0, 2.0),
        ("1", "2"),
        (float("nan"), 1.0),
        (True, 1.0),
        Price(1.0, float("inf")),
        Price(1.0, 1.0, cached_input=-1.0),
    ],
)
def test_what_is_no_price_is_refused(price):
    """The error says how a price is given."""
    with pytest.raises(ConfigurationError, match="Price\\(input="):
        as_price(price)


def test_the_page_shows_the_list():
    """Each model, its three prices and the date stand in the documentation."""
    page = (Path(__file__).parents[2] / "docs" / "budget.md").read_text()
    assert f"as of {PRICES_AS_OF:%Y-%m-%d}" in page
    shown = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"[\d.]+", cells[1]):
            prices = [float(cell) if cell else None for cell in cells[1:]]
            shown |= {name: Price(prices[0], prices[2], prices[1]) for name in cells[0].split(", ")}
    assert shown == OPENAI_PRICES
