"""Keys: what is different has different keys, what is the same has the same."""

import datetime as dt
import enum
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_kit import environment

from distilabel.journal.keys import call_key, row_identity, settings_digest

BACKEND = settings_digest({"model": "gpt-4", "temperature": 0.7})

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
scalars |= st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
rows = st.dictionaries(st.text(), values, max_size=5)


def typed(value):
    """The value with its types, so that 1, 1.0 and True are three."""
    if isinstance(value, dict):
        return ("dict", frozenset((key, typed(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(typed(item) for item in value))
    return (type(value).__name__, repr(value))


@given(rows, rows)
def test_rows_have_the_same_identity_exactly_if_they_are_the_same(one, other):
    """Two rows are taken for one only if each value is the same, in type too."""
    assert (row_identity(one) == row_identity(other)) == (typed(one) == typed(other))


@given(rows)
def test_the_order_of_columns_does_not_count(one):
    """A row read from another source, with its columns turned around, is the same row."""
    assert row_identity(dict(reversed(one.items()))) == row_identity(one)


@given(rows, st.text(), values)
def test_one_more_column_is_another_row(one, name, value):
    """A row and the row with a column more differ."""
    more = {**one, name: value}
    assert (row_identity(more) == row_identity(one)) == (typed(more) == typed(one))


parts = st.lists(
    st.dictionaries(st.sampled_from(["type", "text"]), st.text(max_size=3), max_size=2)
)
message = {"role": st.text(max_size=5), "content": st.text(max_size=5) | parts}
prompts = st.text() | st.lists(
    st.fixed_dictionaries(message, optional={"name": st.text(max_size=3)}), max_size=3
)
numbers = st.integers(0, 3)
calls = st.tuples(st.binary(max_size=20), prompts, numbers, numbers, numbers, numbers)


@given(calls, calls)
def test_calls_have_the_same_key_exactly_if_they_are_the_same(one, other):
    """Nothing of one part of a call can be read as a piece of another part."""

    def key(backend, prompt, n, first, paid, occurrence):
        return call_key(
            backend,
            prompt,
            num_generations=n,
            first_generation=first,
            paid_try=paid,
            occurrence=occurrence,
        )

    assert (key(*one) == key(*other)) == (typed(list(one)) == typed(list(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "b"}, {"ab": ""}),
        ({"a": ["b", "c"]}, {"a": ["bc"]}),
        ({"a": ["b", ["c"]]}, {"a": [["b"], "c"]}),
        ({"a": "1"}, {"a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {"a": "None"}),
        ({"a": None}, {}),
        ({"a": b"x"}, {"a": "x"}),
        ({"a": {1: 2}}, {"a": {"1": 2}}),
        ({"a": {}}, {"a": []}),
        ({"a": "s1:x"}, {"a": "x"}),
        ({"a": "\ud800"}, {"a": "\ufffd"}),
        ({"a": dt.date(2026, 1, 1)}, {"a": "2026-01-01"}),
        ({"a": np.array([1, 2])}, {"a": np.array([[1, 2]])}),
        ({"a": np.array([1, 2], "i4")}, {"a": np.array([1, 2], "i8")}),
    ],
)
def test_what_looks_alike_is_told_apart(one, other):
    """Types and borders count."""
    assert row_identity(one) != row_identity(other)


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: object


class Shy:
    pass


class Open:
    def __init__(self, content):
        self.content = content

    def __repr__(self):
        return f"Open({self.content!r} at 0x{id(self):x})"


class Image:
    mode = "L"

    def __init__(self, size, pixels):
        self.size = size
        self.pixels = pixels

    def tobytes(self):
        return self.pixels


@pytest.mark.parametrize(
    ("make", "make_other"),
    [
        (lambda: np.arange(3), lambda: np.arange(4)),
        (lambda: np.array(["a", None], object), lambda: np.array(["a", "b"], object)),
        (lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC), lambda: dt.datetime(2026, 1, 1)),  # noqa: DTZ001
        (lambda: Colour.RED, lambda: 1),
        (lambda: Point(1, [2]), lambda: Point(1, [3])),
        (lambda: {"a", "b", "c"}, lambda: {"a", "b"}),
        (lambda: Open("a"), lambda: Open("b")),
        (lambda: Image((2, 1), b"ab"), lambda: Image((1, 2), b"ab")),
        (lambda: print, lambda: len),
        (lambda: Point, lambda: Colour),
        (lambda: (1, 2), lambda: (2, 1)),
    ],
)
def test_values_of_any_type_count_by_what_they_hold(make, make_other):
    """Two objects that hold the same are the same, wherever they lie in memory."""
    alive = make()
    assert row_identity({"a": alive}) == row_identity({"a": make()})
    assert row_identity({"a": alive}) != row_identity({"a": make_other()})


def test_an_object_that_shows_nothing_counts_by_its_type():
    """An address is never hashed: it differs in each run."""
    one, other = Shy(), Shy()
    assert row_identity({"a": one}) == row_identity({"a": other})


def test_values_of_numpy_and_subclasses_are_their_plain_values():
    """A text of numpy's is a text, a float a float, a named tuple a list."""
    assert row_identity({"a": np.str_("x")}) == row_identity({"a": "x"})
    assert row_identity({"a": np.float64(0.5)}) == row_identity({"a": 0.5})
    assert row_identity({"a": (1, 2)}) == row_identity({"a": [1, 2]})


def test_a_value_that_holds_itself_ends():
    """A list in itself is hashed, to a limited depth."""
    circle: list[object] = []
    circle.append(circle)
    assert row_identity({"a": circle})


def test_whole_numbers_are_the_same_in_settings():
    """temperature=1 and temperature=1.0 are the same setting; True is another."""
    assert settings_digest({"t": 1, "p": [{"q": 2.0}]}) == settings_digest(
        {"t": 1.0, "p": [{"q": 2}]}
    )
    assert settings_digest({"t": 1}) != settings_digest({"t": True})
    assert settings_digest({"t": 0.5}) != settings_digest({"t": 0})
    assert settings_digest({"t": float("inf")}) != settings_digest({"t": float("nan")})


def test_a_digest_of_settings_is_none_of_a_row():
    """The three kinds of digest never meet."""
    assert settings_digest({"a": "b"}) != row_identity({"a": "b"})


def test_keys_stay_what_they_are():
    """These digests are in people's journals: a change would have every call bought again."""
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Grüße 👋"}]
    assert BACKEND.hex() == "caa7a6790a82447d55e4a581363f26bb"
    assert (
        row_identity({"input": "Hi", "n": [1, 2.5, None, True, b"x"]}).hex()
        == "3d37df5520ddc3badc0a4d9046efbda1"
    )
    assert call_key(BACKEND, "Hi").hex() == "acfd6237a245d6e137915bbbc6f84f30"
    many = call_key(BACKEND, chat, num_generations=4, first_generation=2, paid_try=1, occurrence=7)
    assert many.hex() == "0bc283b866cb5091e2d916b94fc1ed05"


def test_another_process_has_the_same_keys():
    """No hash of Python's, which is another in each process, is in a key."""
    program = (
        "from distilabel.journal import row_identity\n"
        "print(row_identity({'b': {'x', 'y', 'z'}, 'a': {'k': print}}).hex())"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=environment(PYTHONHASHSEED=str(seed)),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(prints) == 1
