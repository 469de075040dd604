"""`estimate`: a sample is done, kept, and tells what all rows will take."""

import random

import pytest
from datasets import Dataset, IterableDataset

from distilabel import runs
from distilabel.errors import BudgetExceededError, ConfigurationError, InvalidReplyError
from distilabel.events import CallRetried, CallSucceeded, RowFinished
from distilabel.limits import RetryPolicy
from distilabel.llm import Price
from distilabel.pipeline import Pipeline
from distilabel.pipeline.estimate import Measurement
from distilabel.pipeline.sampling import choose
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM, VirtualClock
from distilabel.types import Reply, RowError, RunSummary, Usage

PRICE = Price(1.0, 2.0)


class Verdict(TextGenerationTask):
    """One verdict on a row's generations."""

    input_columns = ("generations",)
    output_columns = {"verdict": str}  # noqa: RUF012 - as a task declares it

    def generate_prompt(self, generations):
        return "Judge: " + generations[0]

    def parse_output(self, output):
        return {"verdict": output}


def rows(count: int) -> list[dict[str, str]]:
    """So many different rows."""
    return [{"input": f"Ask {k}."} for k in range(count)]


def answer(call) -> Reply:
    """A reply whose length is decided by the prompt."""
    written = random.Random(str(call.prompt)).randint(10, 100)
    return Reply((f"{call.prompt}",), usage=Usage(20, written))


def backend(script=answer, *, task=None, **settings) -> ScriptedLLM:
    """A backend with a price."""
    settings.setdefault("price", PRICE)
    task = task or TextGenerationTask(system_prompt="")
    llm = ScriptedLLM(task, script, prompt_format="default", **settings)
    llm.max_new_tokens = 100
    llm.retry_policy = RetryPolicy(transient_base_s=0.001)
    return llm


def estimate(pipe: Pipeline, source, **settings):
    """Quietly."""
    return pipe.estimate(source, verbose=False, **settings)


def test_a_sample_tells_about_all_rows():
    """What is the same in all rows is known exactly; what varies has an interval around it."""
    llm = backend()
    told = estimate(Pipeline(llm), rows(500))
    assert len(llm.calls) == 20
    assert (told.rows, told.sampled, told.is_length_known) == (500, 20, True)
    assert told.calls.low == told.calls.mid == 500
    assert told.prompt_tokens.low == told.prompt_tokens.mid == 10_000
    truth = sum(answer(call).usage.completion_tokens for call in map(_Call, rows(500)))
    assert told.completion_tokens.low < truth < told.completion_tokens.high
    assert told.cost.mid == pytest.approx((10_000 + 2 * told.completion_tokens.mid) / 1e6)
    assert told.failure_rate.low == 0 < told.failure_rate.high < 0.15
    assert told.sample.calls == 20


class _Call:
    def __init__(self, row):
        self.prompt = "\n" + row["input"]


@pytest.mark.parametrize("as_source", [list, Dataset.from_list], ids=["list", "Dataset"])
def test_the_run_buys_the_rest_only(as_source):
    """After an estimate, the same call of generate reuses what the sample has bought."""
    llm, judge = backend(), backend(task=Verdict(system_prompt=""))
    pipe, source = Pipeline(llm, judge), as_source(rows(60))
    told = estimate(pipe, source, sample=15)
    assert told.sample.calls == len(llm.calls) + len(judge.calls) == 30
    dataset = pipe.generate(source, verbose=False)
    assert (len(llm.calls), len(judge.calls)) == (60, 60)
    assert dataset.run.rows_resumed == 15
    assert dataset.run.calls_reused == 30
    assert dataset["input"] == [row["input"] for row in rows(60)]
    assert [run.state for run in runs.list_runs()] == ["finished"]


def test_equal_rows_are_told_apart_as_in_the_run():
    """Of rows that hold the same, each has its own replies, whichever were in the sample."""
    llm = backend()
    source = [{"input": f"Ask {k % 3}."} for k in range(60)]
    estimate(Pipeline(llm), source, sample=15, seed=4)
    dataset = Pipeline(llm).generate(source, verbose=False, seed=4)
    assert len(llm.calls) == 60
    assert dataset.run.calls_reused == 15


def test_a_second_estimate_costs_nothing():
    """The same seed chooses the same rows, and they are kept; another chooses others."""
    llm = backend()
    first = estimate(Pipeline(llm), rows(100))
    second = estimate(Pipeline(llm), rows(100))
    assert len(llm.calls) == 20
    assert second.sample.calls == 0
    assert second.cost == first.cost
    assert choose(100, 20, 1) != choose(100, 20, 2)


def test_a_sample_of_all_rows_is_no_guess():
    """Then every figure is what it is, and the run after it buys nothing."""
    llm = backend()
    told = estimate(Pipeline(llm), rows(10), sample=20)
    assert (told.rows, told.sampled) == (10, 10)
    assert told.cost.low == told.cost.mid == told.cost.high == pytest.approx(told.sample.cost)
    assert told.failure_rate.high == 0
    Pipeline(llm).generate(rows(10), verbose=False)
    assert len(llm.calls) == 10


def test_of_a_source_without_a_length_the_first_rows_are_the_sample():
    """Figures are for a thousand rows; no row is read in vain, and the run begins with all."""
    read: list[int] = []

    def generate():
        for k in range(50):
            read.append(k)
            yield {"input": f"Ask {k}."}

    llm, source = backend(), IterableDataset.from_generator(generate)
    told = estimate(Pipeline(llm), source, sample=5)
    assert (told.rows, told.is_length_known, told.sampled) == (1_000, False, 5)
    assert told.calls.mid == 1_000
    assert max(read) < 10
    dataset = Pipeline(llm).generate(source, verbose=False)
    assert len(dataset) == len(llm.calls) == 50
    assert "1,000 rows, told by the first 5" in str(told)


def test_what_can_be_read_only_once_is_refused():
    """An iterator's rows would be gone for the run."""
    llm = backend()
    with pytest.raises(ConfigurationError, match="can be read once"):
        estimate(Pipeline(llm), iter(rows(10)))
    assert llm.calls == []


async def test_what_can_be_awaited_only_once_is_refused():
    """So would an async iterator's."""

    async def source():
        yield {"input": "Ask."}

    stream = source()
    with pytest.raises(ConfigurationError, match="can be read once"):
        await Pipeline(backend()).aestimate(stream)
    await stream.aclose()


@pytest.mark.parametrize("sample", [0, 1, True, "20", 2.5])
def test_a_sample_has_two_rows_at_least(sample):
    """From one row nobody can tell how much rows vary."""
    with pytest.raises(ConfigurationError, match="sample"):
        estimate(Pipeline(backend()), rows(10), sample=sample)


def test_useless_replies_are_paid_for_in_the_estimate():
    """Where every reply is asked for twice, all rows take twice as much, about."""

    class Second(TextGenerationTask):
        seen: set = set()  # noqa: RUF012 - one for this test

        def parse(self, output, inputs):
            if output not in self.seen:
                self.seen.add(output)
                raise InvalidReplyError("once more")
            return super().parse(output, inputs)

    told = estimate(Pipeline(backend(task=Second(system_prompt=""))), rows(100))
    assert told.calls.mid == pytest.approx(200)
    assert told.calls.low < 200 < told.calls.high
    assert told.sample.paid_retries == 20


def test_failures_are_counted():
    """Five of twenty rows fail: the share and its interval say so."""
    answers = [ValueError("no") if k % 4 == 0 else Reply(("ok",)) for k in range(20)]
    told = estimate(Pipeline(backend(answers)), rows(1_000))
    assert told.failure_rate.mid == 0.25
    assert 0.1 < told.failure_rate.low < 0.25 < told.failure_rate.high < 0.45


def test_without_a_price_there_is_no_cost():
    """The other figures are there all the same."""
    told = estimate(Pipeline(backend(price=None)), rows(100))
    assert told.cost is None
    assert "not known" in str(told)
    assert told.prompt_tokens.mid == 2_000


def test_the_sample_stays_within_max_cost():
    """A ceiling that the sample would pass stops it; what was bought is kept."""
    llm = backend(num_threads=1)
    with pytest.raises(BudgetExceededError):
        estimate(Pipeline(llm), rows(100), max_cost=0.001)
    bought = len(llm.calls)
    assert 0 < bought < 20
    assert runs.list_runs()[0].calls == bought


def test_time_is_told_by_seconds_and_permits():
    """In virtual time: calls of two seconds, four at once, a hundred rows: fifty seconds."""

    async def told() -> float:
        llm = backend(latency_s=2.0, num_threads=4, adaptive=False)
        figures = await Pipeline(llm).aestimate(rows(100), verbose=False)
        return figures.seconds.mid

    clock = VirtualClock(autojump_threshold_s=0.02)  # the journal's thread is real
    assert clock.run(told) == pytest.approx(50.0)


def test_an_estimate_reads_well():
    """A line for each figure, with its interval."""
    text = str(estimate(Pipeline(backend()), rows(5_000)))
    lines = text.splitlines()
    assert lines[0] == "5,000 rows, told by 20; 90 % intervals"
    assert [line[2:18].strip() for line in lines[1:]] == [
        "calls",
        "tokens read",
        "tokens written",
        "cost",
        "time",
        "rows that fail",
        "the sample",
    ]
    assert " to " in lines[3]
    assert "$" in lines[4]


def _run(chance: random.Random, count: int) -> list[list]:
    """The events of all rows: replies of any length, some useless, some rows failed."""
    events: list[list] = []
    for index in range(count):
        of_row: list = []
        while len(of_row) < 2 and chance.random() < 0.05:
            usage = Usage(50, min(256, int(chance.lognormvariate(4, 0.8))))
            of_row.append(CallRetried("generator", index, "x", 0.0, False, True, usage))
        usage = Usage(
            int(chance.lognormvariate(4, 0.6)), min(256, int(chance.lognormvariate(4, 0.8)))
        )
        seconds = chance.lognormvariate(-0.7, 0.6)
        of_row.append(CallSucceeded("generator", index, "m", seconds, 1, usage, seconds))
        failed = chance.random() < 0.08
        of_row.append(RowFinished(index, (RowError("generator", "x", "x"),) if failed else ()))
        events.append(of_row)
    return events


def _true(run: list[list]) -> dict[str, float]:
    events = [event for row in run for event in row]
    calls = [event for event in events if not isinstance(event, RowFinished)]
    return {
        "calls": len(calls),
        "completion_tokens": sum(event.usage.completion_tokens for event in calls),
        "cost": sum(PRICE.cost(event.usage) for event in calls),
        "failure_rate": sum(bool(e.errors) for e in events if isinstance(e, RowFinished))
        / len(run),
    }


@pytest.mark.parametrize(("count", "sample"), [(200, 20), (600, 20), (600, 50)])
def test_intervals_hold_the_truth(count, sample):
    """Over 300 runs, each 90 % interval holds what all rows really took in 85 % of them or more."""
    chance = random.Random(count + sample)
    held = dict.fromkeys(("calls", "completion_tokens", "cost", "failure_rate"), 0)
    for _ in range(300):
        run = _run(chance, count)
        measurement = Measurement({"generator": PRICE}, {})
        for index in chance.sample(range(count), sample):
            for event in run[index]:
                measurement.observe(event)
        told, truth = measurement.estimate(count, RunSummary()), _true(run)
        for name, value in truth.items():
            figure = getattr(told, name)
            held[name] += figure.low <= value <= figure.high
    assert {name: share / 300 for name, share in held.items() if share < 255} == {}
