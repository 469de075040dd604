"""Rows with a long common beginning are sent near each other, and nothing else changes."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from datasets import Dataset, Image

from distilabel.errors import ConfigurationError, RunStoppedError
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.pipeline.looking_ahead import ROWS_AHEAD_MAX
from distilabel.pipeline.source import open_source
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Latency, PromptCache, ScriptedLLM, SimulatedEndpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distilabel.types import Call

QUESTIONS = 10


def document(number: int, chars: int = 6_000) -> str:
    """A text that begins as no other does."""
    return f"Document {number}. " + f"word-{number} " * (chars // (6 + len(str(number))))


def about(documents: Sequence[int], questions: int = QUESTIONS) -> list[dict[str, str]]:
    """Questions about documents, the first about each of them, then the second, and so on."""
    return [
        {"input": f"{document(number)}\n\nQuestion {question}?"}
        for question in range(questions)
        for number in documents
    ]


def asked(llm: ScriptedLLM) -> list[str]:
    """What was asked about, in the order of asking: the document's number."""
    return [str(call.prompt).split("Document ")[1].split(".")[0] for call in llm.calls]


def echo(**settings) -> ScriptedLLM:
    """A backend that answers with the end of the prompt, and takes its time."""
    task = settings.pop("task", None) or TextGenerationTask()
    return ScriptedLLM(task, lambda call: str(call.prompt)[-12:], latency_s=0.002, **settings)


async def cached_share(cache: PromptCache, rows, *, ordered: bool) -> tuple[float, list[int]]:
    """The part of all prompt tokens that was cached, and the order in which rows were finished."""
    latency = Latency.lognormal(median_s=0.01, sigma=0.6, seed=3)
    with SimulatedEndpoint(latency=latency, prompt_cache=cache) as endpoint:
        llm = OpenAILLM(TextGenerationTask(), "m", base_url=endpoint.openai_url, num_threads=16)
        stream = Pipeline(llm).stream(rows, ordered=ordered, enable_checkpoints=False)
        async with stream as finished:
            places = [row.index async for row in finished]
        usage = finished.run.usage
    return usage.cached_tokens / usage.prompt_tokens, places


async def test_a_cache_that_is_too_small_for_all_documents_is_used():
    """60 documents, 10 questions each, room for 25: a tenth or less is cached, and two thirds."""
    rows = about(range(60))
    as_they_come, _ = await cached_share(PromptCache(tokens_max=36_000), rows, ordered=True)
    near, places = await cached_share(PromptCache(tokens_max=36_000), rows, ordered=False)
    assert as_they_come < 0.1
    assert near > 0.66
    assert sorted(places) == list(range(600))


async def test_questions_that_stand_together_wait_for_the_first():
    """Sorted by document, questions about one would be sent at once, and most would miss."""
    rows = sorted(about(range(60)), key=lambda row: row["input"])
    as_they_come, _ = await cached_share(PromptCache(), rows, ordered=True)
    near, _ = await cached_share(PromptCache(), rows, ordered=False)
    assert as_they_come < 0.5
    assert near > 0.75


async def test_the_result_is_in_the_order_of_the_input():
    """What is sent in another order comes out in the old one."""
    rows = about(range(20))
    llm = echo(num_threads=4)
    result = await Pipeline(llm).agenerate(Dataset.from_list(rows))
    assert asked(llm) != [str(number) for _ in range(QUESTIONS) for number in range(20)]
    assert result["generations"] == [[f"{row['input'][-12:]}"] for row in rows]


async def test_a_long_beginning_that_all_rows_have_does_not_count():
    """Behind a long system prompt that is the same for all, documents are still told apart."""
    llm = echo(num_threads=2, task=TextGenerationTask(system_prompt="Rules. " * 1_000))
    await Pipeline(llm).agenerate(about(range(20), questions=4))
    numbers = asked(llm)
    neighbours = sum(one == other for one, other in pairwise(numbers))
    assert neighbours >= 30


class Counting(TextGenerationTask):
    """Counts how often a prompt is made."""

    made = 0

    def generate_prompt(self, input: str):  # noqa: A002 - the column's name
        """As always."""
        type(self).made += 1
        return super().generate_prompt(input)


async def test_short_prompts_cost_nothing_and_keep_their_order():
    """If the first prompts are short, no row is looked at twice, and none goes before another."""
    Counting.made = 0
    llm = echo(task=Counting(), num_threads=4)
    await Pipeline(llm).agenerate([{"input": f"Document {n}. Why?"} for n in range(500)])
    assert Counting.made <= 500 + 1 + 16
    assert asked(llm) == [str(number) for number in range(500)]


async def test_rows_without_anything_in_common_are_not_looked_at_for_ever():
    """After a window of long prompts that all begin in their own way, the rest is not looked at."""
    Counting.made = 0
    llm = echo(task=Counting(), num_threads=64)
    total = ROWS_AHEAD_MAX + 1_000
    await Pipeline(llm).agenerate(
        [{"input": document(number, chars=4_400)} for number in range(total)],
        enable_checkpoints=False,
    )
    assert asked(llm) == [str(number) for number in range(total)]
    assert Counting.made < 2 * ROWS_AHEAD_MAX + 1_000 + 400


async def test_a_source_without_a_length_is_not_read_ahead():
    """A lazy source is read as it is needed, and put in order as far as a batch goes."""
    read = 0

    def source():
        nonlocal read
        for row in about(range(8), questions=40):
            read += 1
            yield row

    llm = echo(num_threads=2)
    async with Pipeline(llm).stream(source(), batch_size=32) as stream:
        taken = 0
        async for _ in stream:
            taken += 1
            assert read <= taken + 4 + 2 * 32
    numbers = asked(llm)
    assert Counter(numbers) == {str(number): 40 for number in range(8)}
    assert sum(one == other for one, other in pairwise(numbers)) > 100


@pytest.mark.parametrize("ordered", [True, False])
async def test_no_more_than_a_window_is_read_ahead(ordered):
    """Of a list a window is read ahead; in the order of the input, nothing is."""

    class Rows(list):
        read = 0

        def __getitem__(self, place):
            if isinstance(place, slice):
                Rows.read = max(Rows.read, place.stop)
            return super().__getitem__(place)

    Rows.read = 0
    rows = Rows(about(range(300)))
    async with Pipeline(echo(num_threads=2)).stream(rows, ordered=ordered) as stream:
        for taken in range(100):
            await anext(stream)
            ahead = 128 if ordered else ROWS_AHEAD_MAX
            assert Rows.read <= taken + ahead + 2 * 2 + 64
    assert (Rows.read > 500) is not ordered


def test_images_are_not_read_ahead():
    """A column that is decoded when it is read may be large; its rows are read as needed."""
    plain = Dataset.from_dict({"input": ["a", "b"]})
    with_images = plain.add_column("image", [None, None]).cast_column("image", Image())
    assert open_source(plain, batch_size=1).can_look_ahead
    assert not open_source(with_images, batch_size=1).can_look_ahead
    assert open_source(with_images, batch_size=1, only_columns=["input"]).can_look_ahead


async def test_what_is_wrong_with_a_row_is_found_when_its_turn_comes():
    """Rows before one that is no row are sent first, as if nobody had looked ahead."""
    rows = [*about(range(10), questions=4), "no row", *about(range(10))]
    finished = []

    async def run() -> None:
        async with Pipeline(echo(num_threads=2)).stream(rows) as stream:
            async for row in stream:
                finished.append(row.index)  # noqa: PERF401 - kept although an error follows

    with pytest.raises(ConfigurationError, match="row 40"):
        await run()
    assert len(finished) >= 40 - 2 * 2  # what was in hand and not sent stays pending
    assert max(finished) < 40


async def test_a_row_that_gives_no_prompt_is_sent_in_its_turn():
    """A row whose prompt cannot be made fails alone."""
    rows = [*about(range(5)), {"input": 7}, *about(range(5))]
    async with Pipeline(echo()).stream(rows) as stream:
        failed = [row.index async for row in stream if row.errors]
    assert failed == [50]


@pytest.mark.parametrize("leave_after", [3, 20, 70])
async def test_equal_rows_keep_what_they_were_given(tmp_path, leave_after):
    """A run that is gone on with gives each of several equal rows the text that it had."""
    rows = about([1, 2, 1, 3, 2, 1], questions=12)
    serial = iter(range(10_000))

    def pipe(threads: int) -> Pipeline:
        def say(call: Call) -> str:
            return f"{str(call.prompt)[-12:]} {next(serial)}"

        return Pipeline(
            ScriptedLLM(TextGenerationTask(), say, latency_s=0.002, num_threads=threads)
        )

    handed_out = {}
    async with pipe(3).stream(rows, checkpoint_dir=tmp_path) as stream:
        async for row in stream:
            handed_out[row.index] = row["generations"]
            if len(handed_out) == leave_after:
                stream._run.stop_gently()
                break
        with suppress(RunStoppedError):
            async for row in stream:
                handed_out[row.index] = row["generations"]
    result = await pipe(7).agenerate(rows, checkpoint_dir=tmp_path)
    assert len({text for (text,) in result["generations"]}) == len(rows)
    assert all(result[place]["generations"] == said for place, said in handed_out.items())
