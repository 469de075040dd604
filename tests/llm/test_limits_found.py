"""The limit and the rates at work: shared by who calls one backend, and in no row's way."""

import gc
import itertools
import subprocess
import sys
import textwrap
import threading

import anyio
import pytest
from pydantic import SecretStr

from distilabel.errors import ConfigurationError, ThrottledError
from distilabel.events import LimitChanged
from distilabel.llm import OpenAILLM
from distilabel.llm.control import _controls, control_for
from distilabel.llm.files import connections_max
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Latency, Status, VirtualClock
from distilabel.testing.scripted import ScriptedLLM
from distilabel.types import Reply, Usage

KEY = "sk-canary-0123456789abcdef"


def rows(count: int) -> list[dict]:
    """So many different prompts."""
    return [{"input": f"prompt {number}"} for number in range(count)]


def model(name: str = "m", url: str = "http://127.0.0.1:9/v1", **settings) -> OpenAILLM:
    """A backend that is never called."""
    return OpenAILLM(TextGenerationTask(), name, base_url=url, **settings)


def departures(script, count: int, **settings) -> tuple[list[float], ScriptedLLM]:
    """When calls left in virtual time, in a run of so many rows."""
    left: list[float] = []

    def noted(call):
        left.append(anyio.current_time())
        return script(call)

    llm = ScriptedLLM(TextGenerationTask(), noted, latency_s=1.0, **settings)

    async def main() -> None:
        async with Pipeline(llm).stream(rows(count), enable_checkpoints=False) as stream:
            done = [row async for row in stream]
        assert len(done) == count
        assert not any(row.errors for row in done)

    VirtualClock().run(main)
    return left, llm


@pytest.mark.parametrize("ceiling", [5, 64, 300])
def test_a_run_uses_all_of_its_ceiling_at_once(ceiling):
    """Where nothing is refused, all permits are in use before the first reply is there."""
    left, llm = departures(lambda call: "Hello.", 1200, num_threads=ceiling)
    assert llm.permits.statistics().peak_in_use == ceiling
    assert sum(moment < 1.0 for moment in left) >= min(ceiling, 290)


def test_without_a_ceiling_the_limit_grows_with_the_replies():
    """Nothing said, nothing refused: more than the 64 of the start are under way later."""
    left, llm = departures(lambda call: "Hello.", 1000)
    assert sum(moment < 1.0 for moment in left) <= 64
    assert llm.permits.statistics().peak_in_use > 100
    assert 64 < llm.max_concurrency <= connections_max() + 64


def test_a_fixed_limit_stays():
    """With `adaptive=False` refusals pause the backend and leave the permits alone."""
    tries = itertools.count()

    def script(call):
        if next(tries) % 10 == 5:
            return ThrottledError("slow down", cause="rate_limited", retry_after_s=0.5)
        return "Hello."

    _, llm = departures(script, 100, num_threads=20, adaptive=False)
    assert llm.permits.limit == 20
    assert ScriptedLLM(TextGenerationTask(), [], adaptive=False).permits.limit == 64


def test_refusals_lower_the_limit_and_nothing_leaves_during_a_pause():
    """After a refusal nothing is sent until the server's time is over, and then not all at once."""
    refused_at: list[float] = []

    def script(call):
        if len(refused_at) < 3 and anyio.current_time() > 4.0 * (len(refused_at) + 1):
            refused_at.append(anyio.current_time() + 1.0)  # when the reply is there
            return ThrottledError("slow down", cause="rate_limited", retry_after_s=5.0)
        return "Hello."

    left, llm = departures(script, 1500, num_threads=100)
    assert llm.gate.limits().adaptive.cuts >= 1
    for moment in refused_at:
        assert not [each for each in left if moment < each < moment + 5.0]
        assert sum(moment + 5.0 <= each <= moment + 5.05 for each in left) <= 10


def test_requests_a_minute_leave_evenly():
    """At 60 a minute ten calls take nine seconds, however many permits there are."""
    left, _ = departures(lambda call: "Hello.", 10, num_threads=64, requests_per_minute=60)
    distances = [after - before for before, after in itertools.pairwise(left)]
    assert min(distances) >= 0.95
    assert max(distances) <= 1.1


def test_tokens_a_minute_are_settled_by_what_was_used():
    """At 6,000 a minute, 100 calls of 100 tokens each take 100 s, however wrong the estimates."""
    reply = Reply(("Hello.",), usage=Usage(40, 60))
    left, _ = departures(lambda call: reply, 100, num_threads=64, tokens_per_minute=6000)
    assert 95 <= left[-1] <= 110


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
@pytest.mark.parametrize("value", [0, -1, 0.5, float("nan"), float("inf")])
def test_rates_that_cannot_be_are_refused(name, value):
    """A rate is a number of at least 1."""
    with pytest.raises(ConfigurationError, match=name):
        model(**{name: value})


def test_a_run_tells_of_its_limit():
    """Observers hear of the limit as it grows, and of the cut that a refusal makes, with why."""
    told, refusals = [], itertools.count()

    def script(call):
        if any(event.limit == 32 for event in told) and next(refusals) < 12:  # one volley
            return ThrottledError("slow down", cause="rate_limited", retry_after_s=0.5)
        return "Hello."

    Pipeline(ScriptedLLM(TextGenerationTask(), script, latency_s=0.02, num_threads=32)).generate(
        rows(300),
        verbose=False,
        enable_checkpoints=False,
        on_event=lambda event: told.append(event) if isinstance(event, LimitChanged) else None,
    )
    assert max(event.limit for event in told) == 32
    assert {"growth", "throttled"} <= {event.reason for event in told}
    assert min(event.limit for event in told if event.reason == "throttled") <= 32
    assert {event.stage for event in told} == {"generator"}


# One control for a server, a key and a model.


def test_the_same_backend_has_one_control():
    """Objects share it if, and only if, server, key and model are the same."""
    first = model(api_key=KEY)
    assert model(api_key=SecretStr(KEY)).gate._control is first.gate._control
    others = [model(api_key=KEY + "x"), model("n", api_key=KEY), model(url="http://127.0.0.1:8/v1")]
    assert first.gate._control not in [other.gate._control for other in others]
    assert len({id(other.gate._control) for other in others}) == 3


def test_the_register_holds_no_control_and_no_key():
    """A control goes with the last object that uses it, and the key is never kept as text."""
    llm = model("gone", api_key=KEY)
    before = len(_controls)
    assert KEY not in repr(dict(_controls)) + repr(list(_controls))
    del llm
    gc.collect()
    assert len(_controls) < before


def test_of_the_rates_that_are_named_the_lowest_counts_as_long_as_its_object_lives():
    """An object made anew with a higher rate, as in a notebook, replaces the one that is gone."""
    strict = model("rates", requests_per_minute=60, num_threads=5)
    lax = model("rates", requests_per_minute=600, num_threads=7)
    assert lax.gate.limits().rate.requests_per_s == pytest.approx(1.0, rel=0.02)
    assert lax.gate.limits().adaptive.ceiling == 12
    del strict
    gc.collect()
    lax.gate._control.sent(0.0, 0, None, is_adaptive=True)
    assert lax.gate.limits().rate.requests_per_s == pytest.approx(10.0, rel=0.02)
    assert lax.gate.limits().adaptive.ceiling == 7


def test_one_control_however_many_threads_ask():
    """Threads that ask at the same moment get the same control."""
    found, barrier = [], threading.Barrier(16)

    def ask() -> None:
        barrier.wait()
        found.append(control_for("http://a", None, "m"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(control) for control in found}) == 1


def test_two_pipelines_in_two_threads_share_what_they_learn(serve):
    """A refusal that one object met lowers the permits of another; ceilings stay their own."""
    refusals = itertools.count()

    def script(request):
        return Status(429, retry_after_s=0.1) if next(refusals) == 300 else None

    endpoint = serve(latency=Latency.constant(0.02), script=script)
    llms = [model("w", endpoint.openai_url, num_threads=ceiling) for ceiling in (40, 10)]
    pipes = [Pipeline(llm) for llm in llms]
    threads = [
        threading.Thread(
            target=pipe.generate,
            args=(rows(300),),
            kwargs={"enable_checkpoints": False, "verbose": False},
        )
        for pipe in pipes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [llm.permits.statistics().peak_in_use for llm in llms] == [40, 10]
    first, second = (llm.gate.limits() for llm in llms)
    assert first == second
    assert (first.members, first.adaptive.cuts, first.adaptive.ceiling) == (2, 1, 50)
    assert endpoint.ledger.peak_in_flight <= 50
    assert [llm.permits.statistics().in_use for llm in llms] == [0, 0]
    assert llms[0].gate._control.pool.statistics().in_use == 0


# File descriptors.

FEW_FILES = textwrap.dedent("""
    import resource, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    from distilabel.llm import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.tasks import TextGenerationTask

    url, taken, adaptive = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "adaptive"
    llm = OpenAILLM(
        TextGenerationTask(), "m", base_url=url, num_threads=256, adaptive=adaptive
    )
    held = [open("/dev/null") for _ in range(taken)]  # after the limit was looked at
    source = ({"input": f"prompt {n}"} for n in range(600))
    if adaptive:
        with Pipeline(llm).iterate(source, verbose=False) as rows:
            done = list(rows)
        run = rows.run
    else:  # `datasets` has to be imported beside the connections
        done = Pipeline(llm).generate(source, verbose=False)
        run = done.run
    print(len(done), run.rows_failed, llm.permits.statistics().peak_in_use, run.failed_by_cause)
""")


@pytest.mark.parametrize("mode", ["adaptive", "fixed"])
@pytest.mark.parametrize("taken", [0, 20])
def test_few_file_descriptors_fail_no_row(serve, tmp_path, mode, taken):
    """With `ulimit -n 64` and a ceiling of 256, even if 20 files are opened later, no row fails."""
    endpoint = serve(latency=Latency.constant(0.05))
    done = subprocess.run(
        [sys.executable, "-c", FEW_FILES, endpoint.openai_url, str(taken), mode],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["600", "0"], done.stdout
    if mode != "adaptive":
        assert "this process may open too few files for 256 connections" in done.stderr
