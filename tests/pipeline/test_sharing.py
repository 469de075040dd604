"""Equal calls of a run are made once where the backend is deterministic, and nowhere else."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distilabel.errors import (
    InvalidReplyError,
    RowFatalError,
    RunFatalError,
    RunStoppedError,
    TransientError,
)
from distilabel.limits import RetryPolicy
from distilabel.llm import InferenceEndpointsLLM, OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.pipeline.recording import CallRecorder
from distilabel.pipeline.sharing import SharedCalls, SharingStatistics
from distilabel.tasks import TextGenerationTask
from distilabel.testing import HubEndpoint, Latency, ScriptedLLM, VirtualClock
from distilabel.types import Call, KeptReply, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distilabel.types import Row

QUICK = RetryPolicy(transient_base_s=0.0, throttle_base_s=0.0, warming_wait_s=0.0)
IDLE = SharingStatistics(under_way=0, waiting=0, remembered=0, bytes=0)


def rows(*names: str) -> list[dict[str, str]]:
    """A row for each name."""
    return [{"input": f"Say {name}."} for name in names]


def deterministic(script, **settings) -> ScriptedLLM:
    """A backend that says that equal calls bring equal replies."""
    llm = ScriptedLLM(TextGenerationTask(), script, is_deterministic=True, **settings)
    llm.retry_policy = QUICK
    return llm


def said(finished: Iterable[Row]) -> list[list[str | None]]:
    """The texts of each row, in the order of the input."""
    return [row["generations"] for row in sorted(finished, key=lambda row: row.index)]


# What is asked once.


@pytest.mark.parametrize("checkpoints", [True, False])
async def test_equal_rows_are_asked_once_at_temperature_0(serve, writer, checkpoints):
    """Each prompt is paid for once, every row has its text, and the summary says both."""
    endpoint = serve(latency=Latency.constant(0.01))
    pipe = Pipeline(writer(endpoint, temperature=0.0))
    names = ["tea", "tea", "milk", "tea", "milk"] * 20
    result = await pipe.agenerate(rows(*names), enable_checkpoints=checkpoints)
    assert endpoint.ledger.paid == 2
    run = result.run
    assert (run.calls, run.calls_shared, run.calls_reused, run.rows_resumed) == (2, 98, 0, 0)
    assert len({text for (text,) in result["generations"]}) == 2
    assert result[0]["generations"] == result[99 - 1]["generations"] != result[99]["generations"]


async def test_tokens_are_counted_once(serve, writer):
    """A shared call adds no tokens: the run's are those that the provider counted."""
    once, often = serve(), serve()
    alone = await Pipeline(writer(once, temperature=0.0)).agenerate(rows("tea"))
    many = await Pipeline(writer(often, temperature=0.0)).agenerate(rows(*["tea"] * 9))
    assert many.run.usage == alone.run.usage
    assert many.run.usage.prompt_tokens > 0


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"temperature": 0.7}, 3),
        ({"temperature": 0.7, "seed": 1}, 3),
        ({"temperature": 0.7, "seed": 1, "ask_once": True}, 1),
        ({"temperature": 0.0, "seed": 1}, 1),
        ({"temperature": 0.0, "ask_once": False}, 3),
        ({"extra_body": {"temperature": 0}}, 1),
    ],
)
async def test_what_counts_as_deterministic(serve, writer, settings, asked):
    """Temperature 0 does, sampling does not, and the user has the last word."""
    endpoint = serve()
    await Pipeline(writer(endpoint, **settings)).agenerate(rows("tea", "tea", "tea"))
    assert endpoint.ledger.paid == asked


@pytest.mark.parametrize(
    ("settings", "is_so"),
    [
        ({}, True),
        ({"do_sample": True}, False),
        ({"temperature": 0.7}, False),
        ({"top_p": 0.9}, False),
        ({"top_k": 5}, False),
        ({"temperature": 1.0, "repetition_penalty": 1.2}, True),
    ],
)
def test_an_endpoint_is_deterministic_if_nothing_makes_it_sample(settings, is_so):
    """Any of TGI's samplers makes it sample, whatever `do_sample` says."""
    llm = InferenceEndpointsLLM("mine", TextGenerationTask(), token="hf_x", **settings)
    assert llm.is_deterministic is is_so


async def test_a_row_shares_no_request_with_itself(serve_hub, capsys):
    """Three greedy generations are three requests, the user is told, and an equal row adds none."""
    endpoint = serve_hub(endpoints=[HubEndpoint(name="mine", namespace="me")])
    llm = InferenceEndpointsLLM("me/mine", TextGenerationTask(), token="hf_x")
    result = await Pipeline(llm).agenerate(
        rows("tea", "milk", "tea"), num_generations=3, include_metadata=True
    )
    assert endpoint.ledger.paid == 6
    assert (result.run.calls, result.run.calls_shared) == (6, 3)
    assert "the 3 texts of a row will be equal" in capsys.readouterr().err
    first, other, again = (
        {call["generations"][0]: call["request_id"] for call in calls}
        for calls in result["call_metadata"]
    )
    assert first == again
    assert len({*first.values(), *other.values()}) == 6


async def test_a_seed_makes_the_generations_of_a_row_differ(serve_hub):
    """With a seed each generation is asked for with its own, and equal rows still share."""
    endpoint = serve_hub(endpoints=[HubEndpoint(name="mine", namespace="me")])
    llm = InferenceEndpointsLLM("me/mine", TextGenerationTask(), token="hf_x", seed=5)
    await Pipeline(llm).agenerate(rows("tea", "tea"), num_generations=3, verbose=False)
    assert endpoint.ledger.paid == 3


async def test_equal_rows_are_judged_once(serve, judge):
    """A judge at temperature 0 is shown equal rows in the same order, and asked once."""
    endpoint = serve()
    row = {"input": "Which is best?", "generations": ["One.", "Two.", "Three.", "Four."]}
    result = await Pipeline(labeller=judge(endpoint, temperature=0.0)).agenerate([row] * 8)
    assert endpoint.ledger.paid == 1
    assert all(rating == result["rating"][0] for rating in result["rating"])
    sampling = Pipeline(labeller=judge(endpoint, temperature=0.5))
    await sampling.agenerate([row] * 8)
    assert endpoint.ledger.paid == 9


async def test_rows_are_read_each_for_itself():
    """Rows with one prompt and other inputs share the reply, and each reads it by its own."""

    class Tagged(TextGenerationTask):
        input_columns = ("input", "tag")

        def generate_prompt(self, input, tag):  # noqa: A002 - the column's name
            del tag
            return input

        def parse(self, output, inputs):
            return super().parse(f"{inputs['tag']}: {output}", inputs)

    llm = ScriptedLLM(Tagged(), ["Tea."], is_deterministic=True)
    source = [{"input": "Say tea.", "tag": tag} for tag in "ab"]
    async with Pipeline(llm).stream(source) as stream:
        assert said([row async for row in stream]) == [["a: Tea."], ["b: Tea."]]


# What happens meanwhile.


def test_those_who_wait_hold_no_permit():
    """While one asks, others with the same prompt wait aside, and other prompts go on."""

    async def main() -> tuple[float, list[int], int]:
        llm = deterministic(lambda call: str(call.prompt), latency_s=1.0, num_threads=2)
        finished = []
        begun = anyio.current_time()
        source = rows("tea", "tea", "tea", "milk", "tea")
        async with Pipeline(llm).stream(source, enable_checkpoints=False) as stream:
            finished = [row.index async for row in stream]
        return anyio.current_time() - begun, finished, len(llm.calls)

    seconds, finished, asked = VirtualClock().run(main)
    assert (seconds, sorted(finished), asked) == (1.0, [0, 1, 2, 3, 4], 2)


def test_a_failure_of_the_prompt_is_everybodys():
    """A prompt that is refused is refused once for all that wait, and each row says so."""

    async def main() -> tuple[int, list[tuple[str, int]]]:
        error = RowFatalError("too long", cause="context_length", status=400)
        llm = deterministic([error], latency_s=1.0)
        async with Pipeline(llm).stream(rows(*["tea"] * 5), enable_checkpoints=False) as stream:
            failed = [(row.errors[0].cause, row.errors[0].attempts) async for row in stream]
        return len(llm.calls), failed

    assert VirtualClock().run(main) == (1, [("context_length", 1)] * 5)


def test_a_passing_failure_is_the_askers_own():
    """After a lost connection one of those who wait asks, and all have the reply."""

    async def main() -> tuple[int, list[list[str]], int]:
        lost = TransientError("lost", cause="connection")
        llm = deterministic([lost, lost, "Tea."], latency_s=1.0)
        async with Pipeline(llm).stream(rows(*["tea"] * 5), enable_checkpoints=False) as stream:
            texts = said([row async for row in stream])
        return len(llm.calls), texts, stream.run.retries

    assert VirtualClock().run(main) == (3, [["Tea."]] * 5, 2)


def test_a_useless_reply_is_paid_for_once():
    """Rows that can make nothing of a shared reply have the next try made once, too."""

    class Strict(TextGenerationTask):
        def parse(self, output, inputs):
            if output == "…":
                raise InvalidReplyError("it says nothing")
            return super().parse(output, inputs)

    async def main() -> tuple[int, list[list[str]], tuple[int, int, int]]:
        llm = ScriptedLLM(Strict(), ["…", "Tea."], is_deterministic=True, latency_s=1.0)
        async with Pipeline(llm).stream(rows(*["tea"] * 4), enable_checkpoints=False) as stream:
            texts = said([row async for row in stream])
        run = stream.run
        return len(llm.calls), texts, (run.calls, run.calls_shared, run.paid_retries)

    assert VirtualClock().run(main) == (2, [["Tea."]] * 4, (1, 3, 1))


def test_a_reply_that_the_backend_calls_useless_is_paid_for_once():
    """What the backend itself can make nothing of is shared as a failure, and tried once more."""

    async def main() -> tuple[int, list[list[str]], int]:
        llm = deterministic([InvalidReplyError("empty"), "Tea."], latency_s=1.0)
        async with Pipeline(llm).stream(rows(*["tea"] * 4), enable_checkpoints=False) as stream:
            texts = said([row async for row in stream])
        return len(llm.calls), texts, stream.run.paid_retries

    assert VirtualClock().run(main) == (2, [["Tea."]] * 4, 1)


# The calls by themselves: cancelled, forgotten.


def shared(**settings) -> SharedCalls:
    """The calls of a stage without a journal."""
    llm = deterministic(["Tea."])
    return SharedCalls(CallRecorder(None, "generator", llm), **settings)


async def test_a_cancelled_asker_hands_on():
    """If the row that asks is cancelled, one of those who wait asks, and nothing stays behind."""
    calls, kept = shared(), KeptReply(Reply(("Tea.",)))
    asked, found = [], []
    scopes = [anyio.CancelScope() for _ in range(4)]
    go_on = anyio.Event()

    async def ask(number: int) -> None:
        with scopes[number]:
            reply = await calls.find(b"k" * 16)
            if reply is not None:
                found.append((number, reply.reply.texts, reply.is_shared, reply.attempts))
                return
            asked.append(number)
            try:
                await go_on.wait()
            except BaseException as error:
                calls.gave_up(b"k" * 16, error)
                raise
            calls.bought(b"k" * 16, kept)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(ask, number)
        await anyio.wait_all_tasks_blocked()
        assert (calls.statistics().under_way, calls.statistics().waiting) == (1, 3)
        scopes[2].cancel()  # one who waits
        scopes[0].cancel()  # the asker
        await anyio.wait_all_tasks_blocked()
        assert (asked, calls.statistics().waiting) == ([0, 1], 1)
        go_on.set()
    assert found == [(3, ("Tea.",), True, 0)]
    assert (calls.statistics().under_way, calls.statistics().remembered) == (0, 1)


async def test_all_cancelled_leaves_nothing():
    """When everybody is cancelled the statistics are back at idle."""
    calls = shared()

    async def ask() -> None:
        if await calls.find(b"k" * 16) is None:
            try:
                await anyio.sleep_forever()
            except BaseException as error:
                calls.gave_up(b"k" * 16, error)
                raise

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert calls.statistics() == IDLE


async def test_replies_take_no_more_than_is_allowed():
    """The latest used replies are remembered, up to a number of bytes, and no others."""
    calls = shared(bytes_max=10_000)
    for number in range(1_000):
        key = number.to_bytes(16)
        assert await calls.find(key) is None
        calls.bought(key, KeptReply(Reply(("x" * 1_000,))))
        assert await calls.find((0).to_bytes(16)) is not None  # used each time, so that it stays
        assert calls.statistics().bytes <= 10_000
    assert calls.statistics().remembered == 5
    assert await calls.find((3).to_bytes(16)) is None


@pytest.mark.parametrize(("checkpoints", "asked"), [(True, 80), (False, 160)])
async def test_what_was_forgotten_is_in_the_journal(checkpoints, asked):
    """With a journal a prompt is asked once, however far apart; else once while remembered."""
    llm = deterministic(lambda call: f"{call.prompt} {'x' * 500_000}", num_threads=4)
    names = [str(number) for number in range(80)]  # replies of 40 MB
    source = rows(*names, *names)
    firsts: list[str] = [""] * len(source)
    async with Pipeline(llm).stream(source, enable_checkpoints=checkpoints) as stream:
        async for row in stream:
            firsts[row.index] = row["generations"][0][:20]
    assert len(llm.calls) == stream.run.calls == asked
    assert stream.run.calls_shared == 160 - asked
    assert firsts[:80] == firsts[80:]
    assert stream.run.rows_resumed == stream.run.calls_reused == 0


# Stopped, and gone on with.


async def stop_and_drain(stream) -> None:
    """Send nothing more, and take what is finished."""
    stream._run.stop_gently()
    with suppress(RunStoppedError):
        async for _ in stream:
            pass


async def test_a_gentle_stop_sends_nothing_for_those_who_wait(serve, writer):
    """The call in flight lands, those who wait for it may finish, and nothing more is sent."""
    endpoint = serve(latency=Latency.constant(0.2))
    pipe = Pipeline(writer(endpoint, temperature=0.0, num_threads=4))
    source = rows(*["tea"] * 6, "milk", "milk")
    async with pipe.stream(source) as stream:
        await endpoint.until(lambda ledger: ledger.in_flight >= 1)
        await stop_and_drain(stream)
    sent = endpoint.ledger.requests
    assert sent <= 2
    result = await pipe.agenerate(source)
    assert endpoint.ledger.paid == 2
    assert result.run.calls == 2 - sent


@pytest.mark.parametrize("resume", ["auto", "always"])
async def test_a_resumed_run_asks_for_nothing_twice(serve, writer, resume, capsys):
    """Equal rows of an earlier run, whichever of them was asked for, are found for all."""
    endpoint = serve()
    names = ["tea", "milk", "tea", "tea", "milk", "beer"]
    pipe = Pipeline(writer(endpoint, temperature=0.0, num_threads=1))
    async with pipe.stream(rows(*names)) as stream:
        await anext(stream)
        await anext(stream)
        await stop_and_drain(stream)
    before = endpoint.ledger.paid
    assert 2 <= before < 3
    result = await pipe.agenerate(rows(*names), resume=resume)
    assert endpoint.ledger.paid == 3
    run = result.run
    assert (run.calls, run.calls_reused, run.calls_shared) == (1, 5, 0)
    assert run.rows_resumed == 5
    assert "or fewer" in capsys.readouterr().err


names_of_rows = st.lists(st.sampled_from("abcd"), min_size=1, max_size=10)
runs_before = st.lists(
    st.tuples(
        st.sampled_from(["auto", "always"]),
        st.integers(1, 4),
        st.none() | st.integers(0, 4),
        st.none() | st.integers(0, 6),
    ),
    max_size=4,
)


class Shop:
    """Sells texts with a number each, and knows what was bought."""

    def __init__(self, stumbling: set[str]) -> None:
        self.bought: Counter[str] = Counter()
        self.credit: int | None = None
        self._stumbling = set(stumbling)
        self._serial = count()

    def sell(self, call: Call) -> str | Exception:
        """A text, unless the connection is lost or the credit is used up."""
        name = str(call.prompt)[-2]
        if name in self._stumbling:
            self._stumbling.remove(name)
            return TransientError("lost", cause="connection")
        if self.credit is not None:
            if self.credit == 0:
                return RunFatalError("no credit", cause="insufficient_quota")
            self.credit -= 1
        self.bought[name] += 1
        return f"{name} {next(self._serial)}"


async def run_and_leave(pipe: Pipeline, source, leave_after: int | None, **settings) -> list[Row]:
    """The rows that a run hands out, left after some of them."""
    finished: list[Row] = []
    with suppress(RunFatalError, RunStoppedError):
        async with pipe.stream(source, durability="process", verbose=False, **settings) as stream:
            async for row in stream:
                finished.append(row)
                if len(finished) == leave_after:
                    stream._run.stop_gently()
    return finished


@given(names=names_of_rows, runs=runs_before, stumbling=st.sets(st.sampled_from("abcd")))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_stops_a_run_no_prompt_is_bought_twice(
    tmp_path_factory, names, runs, stumbling
):
    """Over runs that are left or run out of credit, each prompt is paid for at most once."""
    kept = {"checkpoint_dir": tmp_path_factory.mktemp("run")}
    shop, source = Shop(stumbling), rows(*names)
    handed_out: dict[int, list[str]] = {}
    for resume, threads, leave_after, credit in runs:
        shop.credit = credit
        pipe = Pipeline(deterministic(shop.sell, num_threads=threads))
        if len(handed_out) == len(names):  # finished, perhaps: "auto" would begin anew
            resume = "always"  # noqa: PLW2901
        for row in await run_and_leave(pipe, source, leave_after, resume=resume, **kept):
            assert handed_out.setdefault(row.index, row["generations"]) == row["generations"]
    shop.credit = None
    pipe = Pipeline(deterministic(shop.sell, num_threads=3))
    whole = await run_and_leave(pipe, source, None, resume="always", **kept)
    assert sorted(row.index for row in whole) == list(range(len(names)))
    texts = [text for (text,) in said(whole)]
    assert [text[0] for text in texts] == names
    assert len(set(texts)) == len(set(names))
    assert all([texts[index]] == generations for index, generations in handed_out.items())
    assert shop.bought == Counter(set(names))


CHILD = """
import json, sys
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask

writer = OpenAILLM(
    TextGenerationTask(), "m", base_url=sys.argv[1], temperature=0.0, num_threads=4
)
Pipeline(writer).generate(json.loads(sys.argv[3]), checkpoint_dir=sys.argv[2])
"""


@pytest.mark.parametrize("resume", ["auto", "always"])
async def test_after_a_kill_only_what_was_in_flight_is_asked_again(serve, tmp_path, resume):
    """A killed run with every prompt four times is gone on with: 30 calls, and those in flight."""
    endpoint, source = serve(latency=Latency.constant(0.05)), rows(*map(str, range(30))) * 4
    arguments = [endpoint.openai_url, str(tmp_path / "run"), json.dumps(source)]
    command = [sys.executable, "-c", CHILD, *arguments]
    async with await anyio.open_process(command, stderr=None) as child:
        await endpoint.until(lambda ledger: ledger.paid >= 10)
        child.kill()
    writer = OpenAILLM(
        TextGenerationTask(), "m", base_url=endpoint.openai_url, temperature=0.0, num_threads=4
    )
    result = await Pipeline(writer).agenerate(
        source, checkpoint_dir=tmp_path / "run", resume=resume, verbose=False
    )
    # In flight is what was sent and is not on disk: no more than the window's two rows a permit.
    assert 30 <= endpoint.ledger.paid <= 30 + 2 * 4
    texts = [text for (text,) in result["generations"]]
    assert texts == texts[:30] * 4
    assert len(set(texts)) == 30
    assert result.run.calls + result.run.calls_reused + result.run.calls_shared == 120
