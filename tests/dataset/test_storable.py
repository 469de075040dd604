"""What is said before the first call of columns that lie in memory."""

import datetime as dt
import decimal
import sys
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.dataset import kinds
from distilabel.dataset.columns import ColumnStore
from distilabel.dataset.kinds import check_storable
from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.types import Row


def _rows(*values: object) -> list[dict[str, object]]:
    return [{"odd": value} for value in values]


@pytest.mark.parametrize(
    "values",
    [
        (1, "a"),
        ("a", None, 1),
        (True, 1),
        (1, 2**80),
        (2**60, 0.5),
        (object(),),
        (1, None, object()),
        ([1], 2),
        ([1, "a"],),
        ([1], ["a"]),
        ({"a": 1}, {"a": "b"}),
        ({"a": 1}, 1),
        ({"a": [{"b": 1}]}, {"a": [{"b": "c"}]}),
        (uuid.UUID(int=1), None),
        ([uuid.UUID(int=1)],),
        ({"a": uuid.UUID(int=1)},),
    ],
)
def test_a_column_without_a_type_is_named_in_time(values) -> None:
    """What has no common type is refused, with the name of its column and what to do."""
    with pytest.raises(ConfigurationError, match=r"'odd'.*Make them alike.*Nothing was spent"):
        check_storable(_rows(*values))


@pytest.mark.parametrize(
    "values",
    [
        (),
        (None, None),
        (1, 0.5, None, float("nan"), float("inf")),
        (2**60, -(2**60)),
        (True, None, False),
        ("a", "\ud800"),
        (b"a", "b"),
        ({"a": 1}, {"b": "c"}, {}),
        ([], ["a"], None, [None]),
        ([1], (2.5,)),
        (dt.datetime(2024, 1, 1), None),  # noqa: DTZ001 - any
        (decimal.Decimal("1.5"), 2),
        (np.float32(1.5), 2),
        (np.array([1.0]), [2.0]),
    ],
)
def test_what_can_be_stored_is_let_through(values) -> None:
    """Columns that make a data set are no trouble, and rows that are no mappings are another's."""
    check_storable([*_rows(*values), "text"])


def test_a_column_of_the_runs_own_is_not_looked_at() -> None:
    """What the run writes has declared types, whatever the rows hold there."""
    check_storable(_rows(1, "a"), without=["odd"])


def test_no_more_is_looked_at_than_agreed(monkeypatch) -> None:
    """A column of long lists does not hold the run up: what lies far behind is found at the end."""
    monkeypatch.setattr(kinds, "VALUES_MAX", 10)
    check_storable(_rows([1] * 20, ["a"]))


def test_plain_columns_need_no_arrow(monkeypatch) -> None:
    """Texts and numbers are told by their types: nothing is imported before the first call."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    check_storable([{"input": "a", "n": 1, "x": 0.5, "tags": ["a"], "meta": {"a": 1}}] * 9)


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 9),
    st.floats(),
    st.text(max_size=2),
    st.binary(max_size=2),
    st.just(object()),
    st.dates(),
    st.decimals(allow_nan=False, places=1, max_value=9, min_value=0),
    st.just(np.int64(1)),
    st.just(np.array([1])),
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
        | st.tuples(inner)
    ),
    max_leaves=3,
)


@given(st.lists(_values, max_size=4), st.sampled_from([1, 2, 1000]))
def test_nothing_is_refused_that_can_be_stored(values, chunk_rows) -> None:
    """Whatever is refused beforehand, the data set would have been refused for at the end."""
    try:
        check_storable(_rows(*values))
    except ConfigurationError:
        pass
    else:
        return
    store = ColumnStore(dict, names=(), keeps_others=True, mend="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distilabel.dataset.columns._CHUNK_ROWS", chunk_rows)
        with pytest.raises(DistilabelError):  # noqa: PT012 - it may be found in any of them
            for index, value in enumerate(values):
                store.add(Row({"odd": value}, index=index))
            store.others()
