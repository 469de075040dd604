"""What a second run finds of a first, what it asks for again, and what it says about that.

What was bought is what the endpoint was paid for, counted by model: "writer" and "judge".
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import pytest

from distilabel.errors import InvalidReplyError, RowFailedError, RunStoppedError
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import Latency, SimulatedEndpoint, Status
from distilabel.testing.replies import DefaultReplies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from distilabel.dataset import CustomDataset
    from distilabel.testing import SimRequest
    from distilabel.types import RunSummary

FORECAST = re.compile(r"([\d,]+) calls? (?:are|is) reused, ([\d,]+) will be bought")


def rows(*numbers: int) -> list[dict[str, str]]:
    """A row for each number."""
    return [{"input": f"Question {k}: what holds roof {k} up?"} for k in numbers]


ROWS = rows(*range(6))


class Shop:
    """An endpoint whose writer says who it is, and what each of its customers has bought."""

    def __init__(self) -> None:
        self._write = DefaultReplies()
        self.refused: set[str] = set()
        """Prompts that hold one of these are refused for good."""
        self.useless: set[str] = set()
        """The judge says nothing of use about prompts that hold one of these."""
        self.endpoint = SimulatedEndpoint(reply=self.reply, script=self.script)
        self._seen = 0

    def reply(self, request: SimRequest):
        """Texts that depend on the model and its temperature."""
        if "#### Output for Text" in request.prompt:
            is_useless = any(mark in request.prompt for mark in self.useless)
            return [] if is_useless else self._write(request)
        name = f"{request.model} at {request.body.get('temperature')}"
        return [f"{name}: {one.text}" for one in self._write(request)]

    def script(self, request: SimRequest) -> Status | None:
        """Refuse what is to be refused."""
        return Status(422) if any(mark in request.prompt for mark in self.refused) else None

    def bought(self) -> Counter[str]:
        """What was paid for since this was asked last, by model."""
        calls = self.endpoint.ledger.calls
        new, self._seen = calls[self._seen :], len(calls)
        return Counter(call.model for call in new if call.status == 200)


@pytest.fixture
def shop() -> Iterator[Shop]:
    """An open shop."""
    shop = Shop()
    with shop.endpoint:
        yield shop


@pytest.fixture
def pipe(shop, quick) -> Callable[..., Pipeline]:
    """Makes pipelines of a writer and a judge; arguments change the one or the other."""

    def make(*, model="writer", judged_by="judge", judge_task=None, **generator) -> Pipeline:
        url = shop.endpoint.openai_url
        task = generator.pop("task", None) or TextGenerationTask()
        asked = judge_task or UltraFeedbackTask.for_instruction_following()
        llms = [
            OpenAILLM(task, model, base_url=url, **generator),
            OpenAILLM(asked, judged_by, base_url=url),
        ]
        for llm in llms:
            llm.retry_policy = quick
        return Pipeline(*llms)

    return make


async def run(pipe: Pipeline, source=ROWS, **settings) -> CustomDataset:
    """All rows, with two texts each."""
    return await pipe.agenerate(source, **{"num_generations": 2, **settings})


async def leave_early(pipe: Pipeline, source=ROWS, taken: int = 1, **settings) -> None:
    """A run that is stopped gently after some rows: unfinished, and nothing was cut off."""
    stream = pipe.stream(source, **{"num_generations": 2, **settings})
    async with stream as some:
        for _ in range(taken):
            await anext(some)
        some._run.stop_gently()
        with suppress(RunStoppedError):
            async for _ in some:
                pass


def calls(summary: RunSummary) -> tuple[int, int, int]:
    """What a summary says of calls."""
    return summary.calls, summary.calls_reused, summary.rows_resumed


# What is found again.


async def test_auto_goes_on_with_an_unfinished_run(shop, pipe):
    """What was bought is reused, the rest is bought, and the summary says so."""
    await leave_early(pipe(num_threads=1))
    before = shop.bought()
    whole = await run(pipe())
    after = shop.bought()
    assert before + after == {"writer": 6, "judge": 6}
    assert whole.run.calls == after.total()
    assert whole.run.calls_reused == before.total()
    assert 1 <= whole.run.rows_resumed == before["judge"] <= 6


@pytest.mark.parametrize("named", [False, True])
async def test_auto_begins_anew_after_a_finished_run(shop, pipe, tmp_path, capsys, named):
    """A finished run is left alone, and the one that repeats it says how that could be spared."""
    directory = tmp_path / "run" if named else None
    for is_second in (False, True):
        whole = await run(pipe(), checkpoint_dir=directory)
        assert calls(whole.run) == (12, 0, 0)
        assert shop.bought() == {"writer": 6, "judge": 6}
        assert ("would reuse its replies free of charge" in capsys.readouterr().err) == is_second


@pytest.mark.parametrize("named", [False, True])
async def test_always_takes_a_finished_run_for_nothing(shop, pipe, tmp_path, named):
    """The same again costs nothing, and is the same."""
    directory = tmp_path / "run" if named else None
    first = await run(pipe(), checkpoint_dir=directory)
    shop.bought()
    again = await run(pipe(), checkpoint_dir=directory, resume="always")
    assert again.to_dict() == first.to_dict()
    assert calls(again.run) == (0, 12, 6)
    assert not shop.bought()


async def test_never_starts_clean(shop, pipe):
    """Nothing of an unfinished run is used."""
    await leave_early(pipe(num_threads=1))
    shop.bought()
    assert calls((await run(pipe(), resume="never")).run) == (12, 0, 0)
    assert shop.bought() == {"writer": 6, "judge": 6}


async def test_never_leaves_what_was_there(shop, pipe, tmp_path):
    """A clean start in a named directory keeps the earlier journal beside, to be gone back to."""
    await leave_early(pipe(num_threads=1), checkpoint_dir=tmp_path / "run")
    await run(pipe(), rows(9), checkpoint_dir=tmp_path / "run", resume="never")
    assert (tmp_path / "run" / "journal-1.sqlite").exists()
    shop.bought()
    assert (await run(pipe(), checkpoint_dir=tmp_path / "run", resume="always")).run.calls < 12
    assert shop.bought().total() < 12


# What a change of settings costs.

OTHER_JUDGE = {"judge_task": UltraFeedbackTask.for_honesty()}
CHANGES = {
    "the judge's prompt": (OTHER_JUDGE, {}, {"judge": 6}),
    "the judge's model": ({"judged_by": "second judge"}, {}, {"second judge": 6}),
    "the model": ({"model": "author"}, {}, {"author": 6, "judge": 6}),
    "a parameter": ({"temperature": 0.5}, {}, {"writer": 6, "judge": 6}),
    "num_generations": ({}, {"num_generations": 3}, {"writer": 6, "judge": 6}),
    "the shuffling": ({}, {"seed": 1}, None),
    "nothing that counts": ({"num_threads": 3}, {"batch_size": 4}, {}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("resume", ["auto", "always"])
async def test_a_change_buys_what_it_changes(shop, pipe, change, resume):
    """Of an unfinished run by itself, of a finished one with "always", all else is reused."""
    llms, settings, expected = CHANGES[change]
    shop.refused = {"roof 99 "} if resume == "auto" else set()
    source = [*ROWS, *rows(99)] if resume == "auto" else ROWS  # one row fails: unfinished
    await run(pipe(), source)
    shop.bought()
    changed = await run(pipe(**llms), source, resume=resume, **settings)
    bought = shop.bought()
    assert changed.run.calls == bought.total()
    if expected is None:  # some rows' texts are shown in another order, and only those judged anew
        assert set(bought) == {"judge"}
        assert 0 < bought.total() < 6
    else:
        assert bought == expected


SOURCES = {
    "reversed": (rows(5, 4, 3, 2, 1, 0), 0),
    "one more": (rows(0, 1, 2, 3, 4, 5, 6), 1),
    "one first": (rows(7, 0, 1, 2, 3, 4, 5), 1),
    "one less": (rows(0, 1, 3, 4, 5), 0),
    "one twice": (rows(0, 1, 2, 2, 3, 4, 5), 1),
    "one changed": (rows(0, 1, 8, 3, 4, 5), 1),
}


@pytest.mark.parametrize("name", SOURCES)
async def test_rows_that_did_not_change_are_reused(shop, pipe, name):
    """Wherever a row stands, and whatever stands around it."""
    source, missing = SOURCES[name]
    first = await run(pipe())
    shop.bought()
    changed = await run(pipe(), source, resume="always")
    assert shop.bought() == Counter(writer=missing, judge=missing)
    assert calls(changed.run) == (2 * missing, 2 * (len(source) - missing), len(source) - missing)
    known = {row["input"]: row for row in first}
    same = [row for row in changed if row["input"] in known]
    if name != "one twice":
        assert same == [known[row["input"]] for row in same]


async def test_equal_rows_keep_replies_of_their_own(shop, pipe):
    """Each of several equal rows was bought for itself, and finds its own again."""
    source = rows(1, 1, 1)
    await run(pipe(), source)
    assert shop.bought() == {"writer": 3, "judge": 3}
    await run(pipe(), source, resume="always")
    assert not shop.bought()


async def test_results_of_different_settings_never_mix(pipe, tmp_path):
    """Two runs by turns in one directory, each left early: every text is of its own model."""
    models = ("writer", "author")
    for turn in range(6):
        model = models[turn % 2]
        await leave_early(
            pipe(model=model, num_threads=1), taken=turn // 2, checkpoint_dir=tmp_path / "run"
        )
    for model in models:
        whole = await run(pipe(model=model), checkpoint_dir=tmp_path / "run")
        for row in whole:
            assert all(text.startswith(f"{model} at") for text in row["generations"])
            assert row["generation_model"] == [model] * 2


# Failures.


async def test_failed_rows_alone_are_asked_again(shop, pipe):
    """A run with rows that failed is not finished, and goes on with those."""
    shop.refused = {"roof 2 ", "roof 4 "}
    first = await run(pipe())
    assert first.run.rows_failed == 2
    shop.bought()
    shop.refused = set()
    again = await run(pipe())
    assert again.run.rows_failed == 0
    assert shop.bought() == {"writer": 2, "judge": 2}
    assert calls(again.run) == (4, 8, 4)


async def test_empty_replies_are_asked_for_again(shop, pipe):
    """A reply without any text leaves nothing to be kept, so that its row is asked for again."""
    shop.useless = {"roof 3 "}
    first = await run(pipe())
    assert first.run.rows_failed == 1
    assert shop.bought() == {"writer": 6, "judge": 8}
    shop.useless = set()
    again = await run(pipe())
    assert again.run.rows_failed == 0
    assert shop.bought() == {"judge": 1}


class Strict(UltraFeedbackTask):
    """A judge's task whose parser is broken, until it is mended."""

    broken: type[Exception] | None = None

    def parse(self, text, inputs):
        """Read a reply, or fail."""
        if self.broken is InvalidReplyError:
            raise InvalidReplyError("a full moon", cause="unreadable")
        if self.broken:
            raise self.broken
        return super().parse(text, inputs)


@pytest.mark.parametrize("how", [InvalidReplyError, ZeroDivisionError])
async def test_a_mended_parser_reads_kept_replies(shop, pipe, monkeypatch, how):
    """What a parser's bug cost once costs nothing when it is mended, and no resume= is needed."""
    monkeypatch.setattr(Strict, "broken", how)
    first = await run(pipe(judge_task=Strict()))
    assert first.run.rows_failed == 6
    shop.bought()
    monkeypatch.setattr(Strict, "broken", None)
    again = await run(pipe(judge_task=Strict()))
    assert again.run.rows_failed == 0
    assert not shop.bought()
    assert all(row["rating"] != [None, None] for row in again)


async def test_texts_of_no_use_are_not_bought_again(shop, pipe, monkeypatch, capsys):
    """A text that the task refuses is kept like any other, and read again instead of bought."""
    monkeypatch.setattr(Strict, "broken", InvalidReplyError)
    await run(pipe(judge_task=Strict()))
    assert shop.bought() == {"writer": 6, "judge": 18}
    capsys.readouterr()
    again = await run(pipe(judge_task=Strict()))
    assert again.run.rows_failed == 6
    assert not shop.bought()
    assert forecast(capsys.readouterr().err) == (6, 0)


class Forgetful(TextGenerationTask):
    """A task that cannot make a prompt for some rows, until it is mended."""

    broken = True

    def generate_prompt(self, input):  # noqa: A002 - the column's name
        """A prompt, or an error."""
        if self.broken and "roof 1 " in input:
            raise KeyError(input)
        return super().generate_prompt(input)


async def test_a_mended_prompt_is_asked_alone(shop, pipe, monkeypatch):
    """Rows that gave no prompt are asked for once they do, and only those."""
    first = await run(pipe(task=Forgetful()))
    assert first.run.rows_failed == 1
    assert shop.bought() == {"writer": 5, "judge": 5}
    monkeypatch.setattr(Forgetful, "broken", False)
    again = await run(pipe(task=Forgetful()))
    assert again.run.rows_failed == 0
    assert shop.bought() == {"writer": 1, "judge": 1}


async def test_a_run_that_raised_goes_on(shop, pipe):
    """After `on_error="raise"` the rows before, and those in flight, are not bought again."""
    shop.refused = {"roof 4 "}
    with pytest.raises(RowFailedError):
        await run(pipe(num_threads=1), on_error="raise")
    before = shop.bought()
    shop.refused = set()
    whole = await run(pipe(), on_error="raise")
    assert before["writer"] >= 4
    assert before + shop.bought() == {"writer": 6, "judge": 6}
    assert whole.run.calls_reused == before.total()


class ConsumerError(Exception):
    """The consumer failed, not the run."""


async def test_a_consumer_that_fails_after_the_last_row_buys_nothing_again(shop, pipe):
    """A run is finished once its consumer has left in order, so that nothing is lost with one."""
    with suppress(ConsumerError):
        async with pipe().stream(ROWS, num_generations=2) as stream:
            taken = [row async for row in stream]
            raise ConsumerError
    assert len(taken) == len(ROWS)
    shop.bought()
    assert (await run(pipe())).run.rows_resumed == len(ROWS)
    assert not shop.bought()


async def test_a_data_set_that_cannot_be_built_costs_nothing_again(shop, pipe, monkeypatch):
    """What goes wrong after the last row was bought leaves the run to be gone on with."""
    with monkeypatch.context() as patch:
        patch.setattr("distilabel.pipeline.stream.RowStream.build", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await run(pipe())
    shop.bought()
    assert calls((await run(pipe())).run) == (0, 12, 6)
    assert not shop.bought()


# Sources, and places.


async def test_a_source_without_length_resumes(shop, pipe):
    """Rows that come one by one are found again, too."""
    await leave_early(pipe(num_threads=1), (row for row in ROWS))
    before = shop.bought()
    whole = await run(pipe(), (row for row in ROWS))
    assert before + shop.bought() == {"writer": 6, "judge": 6}
    assert whole.run.calls_reused == before.total()


async def test_without_checkpoints_nothing_is_written(shop, pipe, tmp_path, monkeypatch, capsys):
    """No directory, no file, no word, and nothing to be found again."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        whole = await run(pipe(), enable_checkpoints=False)
        assert calls(whole.run) == (12, 0, 0)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("named", [False, True])
async def test_what_is_kept_is_private(pipe, tmp_path, capsys, named):
    """The directory that the run names is there, for its owner alone, and so are its files."""
    directory = tmp_path / "deep" / "run" if named else None
    await leave_early(pipe(num_threads=1), checkpoint_dir=directory)
    said = capsys.readouterr().err
    (found,) = [place for place in tmp_path.rglob("*") if (place / "journal.sqlite").exists()]
    assert str(found) in said
    places: list[Path] = [found, *found.parents]
    for place in places[: places.index(tmp_path)]:
        assert place.stat().st_mode & 0o777 == 0o700
    files = list(found.iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


# What is said beforehand.


def forecast(said: str) -> tuple[int, int]:
    """What a run said that it would reuse, and what it would buy; nothing said: buy all."""
    found = FORECAST.search(said)
    return (0, 12) if found is None else (int(found[1]), int(found[2]))


async def _nothing(pipe) -> None:
    """There was no earlier run."""


async def _unfinished(pipe) -> None:
    await leave_early(pipe(num_threads=1))


async def _finished(pipe) -> None:
    await run(pipe())


async def _other_rows(pipe) -> None:
    await leave_early(pipe(num_threads=1), rows(9, 1, 3, 8, 7))


async def _other_judge(pipe) -> None:
    await leave_early(pipe(judged_by="second judge", num_threads=1), taken=2)


EARLIER: Mapping[str, Callable] = {
    "nothing": _nothing,
    "unfinished": _unfinished,
    "finished": _finished,
    "other rows": _other_rows,
    "another judge": _other_judge,
}


@pytest.mark.parametrize("earlier", EARLIER)
@pytest.mark.parametrize("resume", ["auto", "always", "never"])
@pytest.mark.parametrize("trouble", ["no trouble", "useless replies"])
async def test_the_forecast_is_what_happens(shop, pipe, capsys, earlier, resume, trouble):
    """What is said to be reused and bought before the first call is reused and bought."""
    shop.useless = {"roof 3 "} if trouble == "useless replies" else set()
    await EARLIER[earlier](pipe)
    shop.bought()
    capsys.readouterr()
    shop.useless = set()
    whole = await run(pipe(), resume=resume)
    reused, bought = forecast(capsys.readouterr().err)
    assert shop.bought().total() == bought
    assert (whole.run.calls_reused, whole.run.calls) == (reused, bought)


async def test_calls_that_were_cut_off_are_told_of(serve, writer, capsys):
    """A stream that is left with calls under way says so in the next run: they may be paid for."""
    slow = serve(latency=Latency.constant(5.0))
    llm = writer(slow, num_threads=3)
    async with Pipeline(llm).stream(ROWS):
        await slow.until(lambda ledger: ledger.in_flight == 3)
    capsys.readouterr()
    with anyio.move_on_after(0.5):
        async with Pipeline(llm).stream(ROWS) as stream:
            await slow.until(lambda ledger: ledger.requests > 3)
            await anext(stream)
    assert "at most 3 calls were in flight" in capsys.readouterr().err


async def test_a_run_that_sends_nothing_forgets_no_calls(serve, writer, capsys):
    """What was in flight once is told again by each run, until one has sent its first call."""
    slow = serve(latency=Latency.constant(5.0))
    pipe = Pipeline(writer(slow, num_threads=3))
    async with pipe.stream(ROWS):
        await slow.until(lambda ledger: ledger.in_flight == 3)
    for _ in range(2):
        capsys.readouterr()
        async with pipe.stream(ROWS) as stream:
            stream._run.stop_now()
        assert "at most 3 calls were in flight" in capsys.readouterr().err
    assert slow.ledger.requests == 3
