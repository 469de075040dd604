"""One pipeline, one LLM, many threads and event loops."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from blockbuster import blockbuster_ctx
from datasets import Dataset

from distilabel.llm import InferenceEndpointsLLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Latency, SimRequest

ROWS = 12


def _prompts(name: object, rows: int = ROWS) -> list[dict[str, str]]:
    return [{"input": f"{name}-{k}"} for k in range(rows)]


def _echo(request: SimRequest) -> str:
    """The user's own words, and for a judge a rating."""
    if "#### Output for Text" in request.prompt:
        return "#### Output for Text 1\nRating: 3\nRationale: Fair."
    return request.prompt.rsplit("\n", 1)[-1]


def _is_idle(llm) -> bool:
    statistics = llm.permits.statistics()
    return statistics.in_use == statistics.waiting == 0 and not llm._lanes


def test_eight_threads_share_one_pipeline(serve, writer, judge) -> None:
    """Eight threads that call one pipeline at once each get their own rows, within the limits."""
    endpoint = serve(reply=_echo, latency=Latency.constant(0.002))
    pipe = Pipeline(writer(endpoint, num_threads=5), judge(endpoint, num_threads=3))
    start = threading.Barrier(8)

    def work(name: int) -> Dataset:
        start.wait()
        return pipe.generate(_prompts(name))

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(8)))
    for name, result in enumerate(results):
        assert [texts[0] for texts in result["generations"]] == [r["input"] for r in _prompts(name)]
        assert result["rating"][:] == [[3.0]] * ROWS
        assert result.run.rows == ROWS
    assert endpoint.ledger.requests == 8 * ROWS * 2
    assert endpoint.ledger.peak_in_flight <= 5 + 3
    assert _is_idle(pipe.generator)
    assert _is_idle(pipe.labeller)


def test_eight_threads_look_an_endpoint_up_once(serve_hub) -> None:
    """Threads that begin at once ask the hub once between them where the endpoint is."""
    endpoint = serve_hub(reply=_echo)
    llm = InferenceEndpointsLLM("mine", TextGenerationTask(), "me", token="hf_x")
    start = threading.Barrier(8)

    def work(name: int) -> int:
        start.wait()
        return Pipeline(llm).generate(_prompts(name, 3)).num_rows

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [3] * 8
    assert endpoint.ledger.by_route == {"hub": 1, "chat": 24}


def test_one_llm_serves_loops_one_after_another(serve, writer) -> None:
    """An LLM that has served one event loop serves the next one as well."""
    endpoint = serve(reply=_echo)
    pipe = Pipeline(writer(endpoint, num_threads=2))
    for name in range(3):
        result = asyncio.run(pipe.agenerate(_prompts(name)))
        assert result["generations"][-1] == [f"{name}-{ROWS - 1}"]
        assert _is_idle(pipe.generator)


@pytest.mark.parametrize("loops", [2, 4])
def test_the_limit_holds_over_loops_that_run_at_once(serve, writer, loops) -> None:
    """Loops that share an LLM share its permits: the endpoint never sees more at once."""
    endpoint = serve(reply=_echo, latency=Latency.constant(0.004))
    pipe = Pipeline(writer(endpoint, num_threads=3))
    start = threading.Barrier(loops)

    def work(name: int) -> Dataset:
        start.wait()
        return asyncio.run(pipe.agenerate(_prompts(name, 30)))

    with ThreadPoolExecutor(loops) as threads:
        results = list(threads.map(work, range(loops)))
    assert [result.num_rows for result in results] == [30] * loops
    assert endpoint.ledger.peak_in_flight == 3
    assert pipe.generator.permits.statistics().peak_in_use == 3
    assert _is_idle(pipe.generator)


async def test_generate_and_iterate_work_inside_a_running_loop(serve, writer) -> None:
    """Sync methods called where a loop runs (a notebook) do not touch that loop."""
    endpoint = serve(reply=_echo)
    pipe = Pipeline(writer(endpoint))
    tasks = asyncio.all_tasks()
    assert pipe.generate(_prompts("a")).num_rows == ROWS
    with pipe.iterate(_prompts("b"), ordered=True) as rows:
        assert [row["generations"] for row in rows] == [[f"b-{k}"] for k in range(ROWS)]
    assert asyncio.all_tasks() == tasks
    assert _is_idle(pipe.generator)


def test_iterate_hands_rows_out_in_a_plain_thread(serve, writer) -> None:
    """`iterate` gives the rows of `stream`, with index, errors and a summary."""
    endpoint = serve(reply=_echo)
    pipe = Pipeline(writer(endpoint))
    with pipe.iterate(_prompts("a")) as rows:
        assert {row.index: row["generations"] for row in rows} == {
            k: [f"a-{k}"] for k in range(ROWS)
        }
        assert rows.run.calls == ROWS
    assert _is_idle(pipe.generator)


async def test_several_tasks_take_from_one_stream(serve, writer) -> None:
    """Consumers that share a stream get each row once between them, and all come to an end."""
    endpoint = serve(reply=_echo, latency=Latency.constant(0.001))
    taken: list[int] = []

    async def consume(rows) -> None:
        async for row in rows:
            taken.append(row.index)  # noqa: PERF401 - what was taken before a hang counts, too

    pipe = Pipeline(writer(endpoint, num_threads=2))
    async with (
        asyncio.timeout(10),
        pipe.stream(_prompts("a", 20)) as rows,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(4):
            group.create_task(consume(rows))
    assert sorted(taken) == list(range(20))


def test_several_threads_take_from_one_iterator(serve, writer) -> None:
    """Threads that share an iterator get each row once between them, and all come to an end."""
    endpoint = serve(reply=_echo, latency=Latency.constant(0.001))
    with (
        Pipeline(writer(endpoint, num_threads=2)).iterate(_prompts("a", 20)) as rows,
        ThreadPoolExecutor(3) as threads,
    ):
        futures = [threads.submit(lambda: [row.index for row in rows]) for _ in range(3)]
        taken = [index for future in futures for index in future.result(timeout=10)]
    assert sorted(taken) == list(range(20))


@pytest.mark.parametrize("checkpoints", [False, True])
@pytest.mark.parametrize("kind", ["list", "dataset", "generator"])
async def test_nothing_blocks_the_loop(serve, writer, judge, kind, checkpoints) -> None:
    """A run of two stages makes no blocking call in the event loop, whatever its source."""
    endpoint = serve(reply=_echo)
    pipe = Pipeline(writer(endpoint), judge(endpoint))
    sources = {
        "list": _prompts("a"),
        "dataset": Dataset.from_list(_prompts("a")),
        "generator": (row for row in _prompts("a")),
    }
    with blockbuster_ctx():
        result = await pipe.agenerate(sources[kind], enable_checkpoints=checkpoints)
        async with pipe.stream(_prompts("b"), enable_checkpoints=checkpoints) as rows:
            taken = [row.index async for row in rows]
    assert result.num_rows == len(taken) == ROWS
