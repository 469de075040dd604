"""Arguments that messages name: what they are to who uses Python, and to who has other names."""

import copy

from distilabel.naming import named, spelled

OPTIONS = {"max_cost": "--max-cost", "price": "--price"}


def test_a_message_is_a_text_for_python():
    """To who uses Python a message is the text that it would be without names."""
    message = "With " + named("max_cost", "2.5") + " or " + named("price", "0,0", python="a Price")
    assert message == "With max_cost=2.5 or a Price"
    assert str(message) == f"{message}"


def test_each_name_is_said_otherwise():
    """Names and values are said as they are on the command line; what has no name there stays."""
    message = "With " + named("max_cost", "2.5") + ", not " + (named("seed") + " or ")
    message += named("price", python="a Price")
    assert spelled(message, OPTIONS) == "With --max-cost 2.5, not seed or --price"
    assert spelled("max_cost, as somebody wrote it", OPTIONS) == "max_cost, as somebody wrote it"


def test_a_message_stays_one_when_it_is_copied():
    """A copy of an error, as one for another process is, says the same in either words."""
    error = copy.deepcopy(ValueError("Raise " + named("max_cost")))
    assert str(error) == "Raise max_cost"
    assert spelled(error.args[0], OPTIONS) == "Raise --max-cost"
