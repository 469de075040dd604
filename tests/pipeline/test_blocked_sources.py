"""A sync source that never comes back keeps neither the run nor the process."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import anyio
import pytest

from distilabel.pipeline import Pipeline
from distilabel.pipeline.source import open_source

SOON_S = 10.0
"""A loaded machine takes some seconds to end a process; the source would take for ever."""

_CHILD = """
import asyncio, signal, sys, threading
import datasets  # which `generate` would wait for at its end, were it being loaded
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask

signal.signal(signal.SIGINT, signal.default_int_handler)  # though the shell may have it ignored
url, way, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
pipe = Pipeline(OpenAILLM(TextGenerationTask(), "writer", base_url=url, num_threads=4))

def source():
    for k in range(rows):
        yield {"input": f"r{k}"}
    print("blocked", flush=True)
    threading.Event().wait()

async def under_a_timeout():
    async with asyncio.timeout(None) as limit:
        running = pipe.agenerate(source())
        limit.reschedule(asyncio.get_running_loop().time() + 1.0)
        await running

if way == "generate":
    pipe.generate(source())
else:
    try:
        asyncio.run(under_a_timeout())
    except TimeoutError:
        print("timeout", flush=True)
"""


@pytest.fixture
def start(serve) -> Iterator:
    """Starts the script, over an endpoint that is returned with it."""
    started: list[subprocess.Popen[str]] = []

    def run(way: str, rows: int):
        endpoint = serve()
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, endpoint.openai_url, way, str(rows)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, endpoint

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("signals", [1, 2])
@pytest.mark.parametrize("rows", [0, 2])
def test_ctrl_c_ends_a_script_whose_source_blocks(start, signals, rows) -> None:
    """One signal or two end it as Ctrl-C does, before the first row or after some."""
    process, endpoint = start("generate", rows)
    assert process.stdout.readline() == "blocked\n"
    endpoint.wait_until(lambda ledger: ledger.delivered == rows, timeout_s=SOON_S)
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=SOON_S)
    assert process.returncode == -signal.SIGINT or (signals == 2 and process.returncode), said
    assert "KeyboardInterrupt" in said


def test_a_timeout_ends_a_run_whose_source_blocks(start) -> None:
    """`agenerate` raises when its time is over, and the process ends by itself."""
    process, _ = start("agenerate", 2)
    out, said = process.communicate(timeout=3 * SOON_S)
    assert (process.returncode, out) == (0, "blocked\ntimeout\n"), said


def _reading() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "distilabel-source"]


async def test_a_reading_thread_ends_once_its_source_comes_back(serve, writer) -> None:
    """Leaving abandons the thread, which reads no further batch and is then gone."""
    loop, blocked, may_go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    pulled: list[int] = []

    def source():
        for k in range(9):
            pulled.append(k)
            if k == 1:
                loop.call_soon_threadsafe(blocked.set)
                may_go_on.wait()
            yield {"input": f"r{k}"}

    pipe = Pipeline(writer(serve(), num_threads=4))
    async with pipe.stream(source()):
        await blocked.wait()
    (thread,) = _reading()
    assert thread.daemon
    may_go_on.set()
    await anyio.to_thread.run_sync(thread.join, SOON_S)
    assert not thread.is_alive()
    assert pulled == [0, 1]


async def test_a_source_is_read_in_one_thread_which_ends_with_it() -> None:
    """All batches come from the same thread, in order, and it is gone when the reading is."""
    seen: list[threading.Thread] = []

    def rows():
        for k in range(5):
            seen.append(threading.current_thread())
            yield {"k": k}

    source = open_source(rows(), batch_size=2)
    taken = []
    while (item := await source.take()) is not None:
        taken.append(item)
    await source.aclose()
    assert taken == [(k, {"k": k}) for k in range(5)]
    (thread,) = set(seen)
    assert thread is not threading.current_thread()
    await anyio.to_thread.run_sync(thread.join, SOON_S)
    assert not thread.is_alive()
