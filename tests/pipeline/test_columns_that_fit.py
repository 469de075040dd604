"""Input whose columns fit no data set is refused before the calls, or does not lose them."""

import pytest

from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.pipeline import Pipeline


@pytest.fixture
def endpoint(serve):
    """One that answers anything."""
    return serve()


@pytest.fixture
def pipe(endpoint, writer) -> Pipeline:
    """A generator."""
    return Pipeline(writer(endpoint, num_threads=4))


def _mixed(count: int = 6) -> list[dict[str, object]]:
    return [{"input": f"r{k}", "x": k if k < count - 1 else "t"} for k in range(count)]


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("of", [list, tuple])
def test_a_mixed_column_of_a_list_is_found_before_the_first_call(pipe, endpoint, of, keeps) -> None:
    """Nothing is bought for rows that could make no data set."""
    with pytest.raises(ConfigurationError, match="column 'x'"):
        pipe.generate(of(_mixed()), enable_checkpoints=keeps)
    assert endpoint.ledger.requests == 0


def test_values_that_fit_nowhere_are_found_without_checkpoints(pipe, endpoint) -> None:
    """Objects are refused before the first call, though no journal has to keep them."""
    rows = [{"input": "a", "x": 1}, {"input": "b", "x": object()}]
    with pytest.raises(ConfigurationError, match="column 'x'"):
        pipe.generate(rows, enable_checkpoints=False)
    assert endpoint.ledger.requests == 0


def test_who_takes_rows_one_by_one_needs_no_common_type(pipe) -> None:
    """A stream of the same rows is no trouble, as no data set is made."""
    with pipe.iterate(_mixed()) as rows:
        assert sorted(str(row["x"]) for row in rows) == ["0", "1", "2", "3", "4", "t"]


def test_a_mixed_column_of_a_lazy_source_loses_nothing(pipe, endpoint) -> None:
    """The error says where the replies are, and the mended run does not buy them again."""
    with pytest.raises(DistilabelError, match=r"'x'.*kept in .*bought twice") as caught:
        pipe.generate(row for row in _mixed())
    assert not isinstance(caught.value, ConfigurationError)
    assert endpoint.ledger.requests == 6
    mended = pipe.generate({**row, "x": str(row["x"])} for row in _mixed())
    assert mended["x"][:] == ["0", "1", "2", "3", "4", "t"]
    assert endpoint.ledger.requests == 6


def test_without_checkpoints_the_loss_is_said(pipe) -> None:
    """Nothing is promised where nothing is kept."""
    with pytest.raises(DistilabelError, match=r"'x'.*are lost.*enable_checkpoints") as caught:
        pipe.generate((row for row in _mixed()), enable_checkpoints=False)
    assert not isinstance(caught.value, ConfigurationError)
