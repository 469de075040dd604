"""Rows come from anything that can be iterated, and no faster than they are needed."""

import asyncio
import itertools
import threading

import pytest
from datasets import Dataset, IterableDataset

from distilabel.errors import ConfigurationError
from distilabel.pipeline import Pipeline
from distilabel.testing import Latency, SimRequest


def _echo(request: SimRequest) -> str:
    if "#### Output for Text" in request.prompt:
        return "#### Output for Text 1\nRating: 3\nRationale: Fair."
    return request.prompt.rsplit("\n", 1)[-1]


def _row(k: int) -> dict:
    return {"input": f"r{k}", "k": k}


class _Counted:
    """Rows without end, or `count` of them, that know how many were taken."""

    def __init__(self, count: int | None = None) -> None:
        self.pulled = 0
        self._count = count

    def _numbers(self):
        return itertools.count() if self._count is None else range(self._count)

    def __iter__(self):
        for k in self._numbers():
            self.pulled += 1
            yield _row(k)

    async def __aiter__(self):
        for row in self:
            yield row


class _OnlyAsync:
    """The same rows, for `async for` alone."""

    def __init__(self, rows: _Counted) -> None:
        self._rows = rows

    def __aiter__(self):
        return self._rows.__aiter__()


class _OnlySync:
    """The same rows, for `for` alone."""

    def __init__(self, rows: _Counted) -> None:
        self._rows = rows

    def __iter__(self):
        return iter(self._rows)


@pytest.fixture
def pipe(serve, writer) -> Pipeline:
    """A generator of four permits that repeats what it is told."""
    return Pipeline(writer(serve(reply=_echo), num_threads=4))


async def _async_rows(count: int):
    for k in range(count):
        yield _row(k)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize(
    "source",
    [
        lambda: Dataset.from_list([_row(k) for k in range(10)]),
        lambda: IterableDataset.from_generator(lambda: map(_row, range(10))),
        lambda: Dataset.from_list([_row(k) for k in range(10)]).to_iterable_dataset(),
        lambda: [_row(k) for k in range(10)],
        lambda: tuple(map(_row, range(10))),
        lambda: map(_row, range(10)),
        lambda: (_row(k) for k in range(10)),
        dict(enumerate(map(_row, range(10)))).values,
        lambda: _OnlySync(_Counted(10)),
        lambda: _OnlyAsync(_Counted(10)),
        lambda: _async_rows(10),
    ],
    ids=[
        "dataset",
        "iterable-dataset",
        "to-iterable",
        "list",
        "tuple",
        "map",
        "generator",
        "values",
        "iterable",
        "async-iterable",
        "async-generator",
    ],
)
def test_any_source_gives_the_same_rows(pipe, source, batch_size) -> None:
    """The result is in the order of the input, with its columns, whatever the source is."""
    result = pipe.generate(source(), batch_size=batch_size)
    assert result["k"][:] == list(range(10))
    assert result["generations"][:] == [[f"r{k}"] for k in range(10)]
    assert result.column_names[:2] == ["input", "k"]


@pytest.mark.parametrize("kind", [_OnlySync, _OnlyAsync])
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_source_without_end_is_read_as_it_is_needed(pipe, kind, ordered) -> None:
    """Leaving after ten rows, no more was read than those, the window of eight and one row."""
    counted = _Counted()
    taken = []
    async with pipe.stream(kind(counted), ordered=ordered) as rows:
        async for row in rows:
            taken.append(row)
            if len(taken) == 10:
                break
    assert 10 <= counted.pulled <= 10 + 2 * 4 + 1
    assert len({row.index for row in taken}) == 10
    if ordered:
        assert [row.index for row in taken] == list(range(10))
    assert all(row["generations"] == [row["input"]] for row in taken)


@pytest.mark.parametrize("batch_size", [1, 5, 16])
async def test_a_source_is_read_a_batch_at_a_time(pipe, batch_size) -> None:
    """With bigger batches no more than one batch more is read."""
    counted = _Counted()
    async with pipe.stream(_OnlySync(counted), batch_size=batch_size) as rows:
        async for _ in rows:
            break
    assert counted.pulled <= 1 + 2 * 4 + batch_size
    assert counted.pulled % batch_size == 0


async def test_opening_a_stream_reads_one_row_and_no_more(serve, writer) -> None:
    """While no permit is free, nothing but the row that tells the columns is read."""
    endpoint = serve(reply=_echo)
    llm = writer(endpoint, num_threads=1)
    counted = _Counted()
    async with llm.permits, Pipeline(llm).stream(_OnlyAsync(counted)):
        assert counted.pulled == 1
    assert endpoint.ledger.requests == 0


async def test_columns_are_checked_before_a_second_row_is_read(pipe) -> None:
    """A lazy source that lacks the column is left after one row."""
    pulled = []

    def source():
        for k in range(5):
            pulled.append(k)
            yield {"prompt": k}

    with pytest.raises(ConfigurationError, match="'input'"):
        await pipe.agenerate(source())
    assert pulled == [0]


async def test_a_source_that_blocks_does_not_block_the_loop(pipe) -> None:
    """A sync source is read in a thread: other tasks of the loop run while it waits."""
    may_go_on = threading.Event()

    def source():
        yield _row(0)
        assert may_go_on.wait(10), "the loop was blocked by the source"
        yield _row(1)

    async with pipe.stream(source()) as rows:
        assert (await anext(rows)).index == 0
        may_go_on.set()
        assert (await anext(rows)).index == 1


@pytest.mark.parametrize("at", [0, 1, 6])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", ["stream", "agenerate", "generate"])
def test_an_exception_of_the_source_comes_out_as_it_is(pipe, at, kind, way) -> None:
    """What the user's source raises is raised unwrapped, after the rows finished before it."""

    class SourceError(Exception):
        pass

    def broken():
        for k in range(at):
            yield _row(k)
        raise SourceError("the disk is gone")

    async def broken_too():
        for row in broken():
            yield row

    source = broken() if kind == "sync" else broken_too()
    taken = []
    with pytest.raises(SourceError, match="the disk is gone"):  # noqa: PT012
        if way == "stream":
            with pipe.iterate(source) as rows:
                taken.extend(rows)
        else:
            asyncio.run(pipe.agenerate(source)) if way == "agenerate" else pipe.generate(source)
    assert len(taken) <= at
    statistics = pipe.generator.permits.statistics()
    assert statistics.in_use == statistics.waiting == 0


def test_rows_finished_before_the_source_broke_are_handed_out(serve, writer) -> None:
    """The consumer gets what was finished, then the error."""
    endpoint = serve(reply=_echo)
    pipe = Pipeline(writer(endpoint, num_threads=1))

    def source():
        for k in range(3):
            yield _row(k)
        endpoint.wait_until(lambda ledger: ledger.delivered == 3)
        raise OSError("the disk is gone")

    taken = []
    with pytest.raises(OSError, match="the disk"), pipe.iterate(source()) as rows:  # noqa: PT012
        for row in rows:
            taken.append(row.index)  # noqa: PERF401 - what came before the error counts
    assert taken[:2] == [0, 1]


@pytest.mark.parametrize("odd", ["text", None, 7, ["input"]])
def test_a_row_in_the_middle_that_is_no_mapping_stops_the_run(pipe, odd) -> None:
    """The error says which row it is and what a row should look like."""
    with pytest.raises(ConfigurationError, match=r"row 2 is a .*\{'input'"):
        pipe.generate([_row(0), _row(1), odd, _row(3)])


def test_generators_are_not_closed(pipe) -> None:
    """The iterable stays the user's: what was not read can be read after the run."""
    source = (_row(k) for k in range(1000))
    with pipe.iterate(source) as rows:
        next(rows)
    assert next(source)["k"] <= 1 + 2 * 4 + 1


def test_one_generator_in_two_stages_is_read_once(serve, writer, judge) -> None:
    """Both stages see the same rows of a generator that can be read once only."""
    endpoint = serve(reply=_echo, latency=Latency.constant(0.001))
    pipe = Pipeline(writer(endpoint), judge(endpoint))
    result = pipe.generate(_row(k) for k in range(20))
    assert result["k"][:] == list(range(20))
    assert result["rating"][:] == [[3.0]] * 20
    assert endpoint.ledger.requests == 40
