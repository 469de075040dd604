"""`max_cost`: what it counts, when it stops a run, how the run goes on, and what is said."""

import math
import threading

import anyio
import anyio.lowlevel
import pytest

from distilabel import runs
from distilabel.errors import (
    BudgetExceededError,
    ConfigurationError,
    InvalidReplyError,
    RowFatalError,
    ThrottledError,
    TransientError,
)
from distilabel.limits import RetryPolicy
from distilabel.limits.spending import CALL_TOKENS, MESSAGE_TOKENS
from distilabel.llm import OpenAILLM, Price
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM
from distilabel.types import Reply, Usage

PRICE = Price(input=1.0, output=1.0)  # a token is a millionth of a dollar
WRITES = 100
READS = 30
WORST = (len("Ask n.") + CALL_TOKENS + MESSAGE_TOKENS + WRITES) / 1e6
COSTS = (READS + WRITES) / 1e6


class Verdict(TextGenerationTask):
    """One verdict on a row's generations."""

    input_columns = ("generations",)
    output_columns = {"verdict": str}  # noqa: RUF012 - as a task declares it

    def generate_prompt(self, generations):
        return "Judge."

    def parse_output(self, output):
        return {"verdict": output}


def rows(count: int) -> list[dict[str, str]]:
    """Rows whose prompts are all of one length."""
    return [{"input": f"Ask {k}."} for k in range(count)]


def reply(text: str = "text") -> Reply:
    """A reply of 30 tokens read and 100 written."""
    return Reply((text,), usage=Usage(READS, WRITES))


def backend(script=None, *, task=None, **settings) -> ScriptedLLM:
    """A backend whose calls cost 130 millionths of a dollar, and at most twice as much."""
    settings.setdefault("price", PRICE)
    settings.setdefault("prompt_format", "default")
    llm = ScriptedLLM(
        task or TextGenerationTask(system_prompt=""), script or (lambda _: reply()), **settings
    )
    llm.max_new_tokens = WRITES
    llm.retry_policy = RetryPolicy(transient_base_s=0.001, throttle_base_s=0.001)
    return llm


def generate(llm, count: int = 10, **settings):
    """Run quietly."""
    settings.setdefault("verbose", False)
    return Pipeline(llm).generate(rows(count), **settings)


def test_a_run_costs_what_its_tokens_cost():
    """Ten calls of 130 tokens at a dollar a million."""
    run = generate(backend()).run
    assert run.cost == pytest.approx(10 * COSTS)
    assert run.cost_unsure == 0


def test_a_run_stops_when_the_next_call_does_not_fit():
    """What is left pays no further call: the error says what was spent and what is missing."""
    max_cost = 3 * COSTS + WORST - 1e-9
    with pytest.raises(BudgetExceededError, match="of 10 rows are done") as caught:
        generate(backend(num_threads=1), max_cost=max_cost)
    error = caught.value
    assert error.summary.rows == 3
    assert error.spent == pytest.approx(3 * COSTS)
    assert error.needed == pytest.approx(WORST)
    assert error.max_cost == max_cost
    assert error.spent + error.needed > max_cost


def test_a_ceiling_that_suffices_is_not_noticed():
    """All rows are done with exactly the money that the last worst case needs."""
    assert len(generate(backend(num_threads=1), max_cost=9 * COSTS + WORST + 1e-9)) == 10


def test_a_higher_ceiling_goes_on():
    """The rows that were done are reused for nothing, and the others bought."""
    llm = backend(num_threads=1)
    with pytest.raises(BudgetExceededError) as caught:
        generate(llm, max_cost=3 * COSTS + WORST - 1e-9)
    again = caught.value.spent + 7 * COSTS + WORST
    dataset = generate(llm, max_cost=again)
    assert len(llm.calls) == 10
    assert dataset.run.rows_resumed == 3
    assert dataset.run.cost == pytest.approx(7 * COSTS)


def test_the_same_ceiling_buys_nothing_more():
    """A ceiling is the run's: what its first session has spent counts for the second."""
    llm = backend(num_threads=1)
    max_cost = 3 * COSTS + WORST - 1e-9
    for _ in range(2):
        with pytest.raises(BudgetExceededError) as caught:
            generate(llm, max_cost=max_cost)
        assert caught.value.spent == pytest.approx(3 * COSTS)
    assert len(llm.calls) == 3


def test_rows_that_earlier_sessions_kept_are_told_of():
    """A second session under the ceiling says what is there, though it looked at fewer rows."""
    generate(backend(lambda call: reply() if "Ask 3" not in str(call.prompt) else ValueError()))
    with pytest.raises(BudgetExceededError, match=" 9 of 10 rows are done") as caught:
        generate(backend(num_threads=1), max_cost=9 * COSTS)
    assert caught.value.summary.rows < 9


def test_what_was_spent_without_a_ceiling_counts_too():
    """The journal knows what a session without max_cost has bought."""
    llm = backend(lambda call: reply() if "Ask 3" not in str(call.prompt) else ValueError())
    generate(llm)
    llm = backend()
    with pytest.raises(BudgetExceededError) as caught:
        generate(llm, max_cost=9 * COSTS)
    assert caught.value.spent == pytest.approx(9 * COSTS)
    assert llm.calls == []


def test_prices_that_come_later_count_for_what_was_bought_before():
    """Calls that were kept when no price was known are counted at the price that is known now."""
    llm = backend(
        lambda call: reply() if "Ask 3" not in str(call.prompt) else ValueError(), price=None
    )
    assert generate(llm).run.cost is None
    with pytest.raises(BudgetExceededError) as caught:
        generate(backend(), max_cost=9 * COSTS)
    assert caught.value.spent == pytest.approx(9 * COSTS)


def test_a_new_run_in_a_named_directory_begins_at_nothing(tmp_path):
    """What another run had spent there is not this one's."""
    with pytest.raises(BudgetExceededError):
        generate(backend(num_threads=1), max_cost=3 * COSTS + WORST, checkpoint_dir=tmp_path)
    other = Pipeline(backend(num_threads=1))
    texts = [{"input": f"Say {k}."} for k in range(2)]
    dataset = other.generate(texts, max_cost=COSTS + WORST, checkpoint_dir=tmp_path, verbose=False)
    assert dataset.run.cost == pytest.approx(2 * COSTS)


def test_useless_replies_cost_too():
    """Two replies that the task refuses and one that it takes are three."""

    class Loud(TextGenerationTask):
        def parse_output(self, output):
            if not output.isupper():
                raise InvalidReplyError("not loud")
            return {"generations": output}

    llm = backend([reply("no"), reply("nor"), reply("YES")], task=Loud(system_prompt=""))
    run = generate(llm, 1).run
    assert (run.calls, run.paid_retries) == (1, 2)
    assert run.cost == pytest.approx(3 * COSTS)


@pytest.mark.parametrize(
    ("failure", "is_billed"),
    [
        (TransientError("reset", cause="connection"), True),
        (TransientError("late", cause="timeout"), True),
        (InvalidReplyError("a page of HTML", cause="not_json"), True),
        (TransientError("no server", cause="connect"), False),
        (TransientError("oh", cause="http_500", status=500), False),
        (ThrottledError("slow down", cause="rate_limited", status=429), False),
    ],
    ids=lambda value: getattr(value, "cause", str(value)),
)
def test_an_attempt_without_a_reply_counts_if_it_may_be_billed(failure, is_billed):
    """What may have been served is spent at its worst case, and told apart."""
    run = generate(backend([failure, reply()]), 1).run
    assert run.cost == pytest.approx(COSTS)
    assert run.cost_unsure == pytest.approx(WORST if is_billed else 0.0)


def test_tokens_of_a_failure_are_known_where_the_reply_says():
    """A refusal by a filter that says what it took costs that, and nothing is unsure."""
    filtered = RowFatalError("no", cause="content_filter", usage=Usage(READS, 0))
    run = generate(backend([filtered]), 1).run
    assert run.rows_failed == 1
    assert run.cost == pytest.approx(READS / 1e6)
    assert run.cost_unsure == 0


def test_a_reply_without_tokens_is_unsure():
    """A provider that does not count may bill the worst case."""
    run = generate(backend([Reply(("text",))]), 1).run
    assert (run.cost, run.cost_unsure) == (0, pytest.approx(WORST))


def test_a_reply_without_prompt_tokens_is_unsure_about_the_prompt():
    """As text-generation-inference has it, which counts only what it writes."""
    run = generate(backend([Reply(("text",), usage=Usage(0, WRITES))]), 1).run
    assert run.cost == pytest.approx(WRITES / 1e6)
    assert run.cost_unsure == pytest.approx(WORST - WRITES / 1e6)


def test_without_a_worst_case_the_cost_is_not_known_rather_than_too_low():
    """A reply without tokens, of a backend that does not say how long replies may be."""
    llm = backend([Reply(("text",))])
    llm.max_new_tokens = None
    assert generate(llm, 1).run.cost is None


def test_a_sum_of_which_one_part_is_not_known_is_not_known():
    """With the price of one of two stages, the cost is None."""
    pipe = Pipeline(backend(), backend(task=Verdict(system_prompt=""), price=None))
    assert pipe.generate(rows(2), verbose=False).run.cost is None


def test_two_stages_share_one_ceiling():
    """Rows are finished: none has been generated for nothing, but for those the money ended at."""
    writer = backend(num_threads=8)
    judge = backend(task=Verdict(system_prompt=""), price=Price(10.0, 10.0), num_threads=8)
    with pytest.raises(BudgetExceededError) as caught:
        Pipeline(writer, judge).generate(rows(100), max_cost=0.02, verbose=False)
    error = caught.value
    assert error.spent <= 0.02
    assert error.summary.rows == len(judge.calls)
    assert len(writer.calls) - len(judge.calls) <= 1
    assert error.spent > 0.02 - 2 * 11 * WORST


@pytest.mark.parametrize("max_cost", [0, -1, math.nan, math.inf, True, "1"])
def test_what_is_no_amount_is_refused(max_cost):
    """Before anything is read or bought."""
    llm = backend()
    with pytest.raises(ConfigurationError, match="max_cost"):
        generate(llm, max_cost=max_cost)
    assert llm.calls == []


def test_a_ceiling_needs_a_price():
    """The error says which backend has none, and how to give it one."""
    llm = backend(price=None)
    with pytest.raises(ConfigurationError, match=r"generator.*price=Price\(input="):
        generate(llm, max_cost=1.0)
    assert llm.calls == []


def test_a_ceiling_needs_a_worst_case():
    """A backend that does not say how long its replies may be cannot be held."""
    llm = backend()
    llm.max_new_tokens = None
    with pytest.raises(ConfigurationError, match="max_new_tokens"):
        generate(llm, max_cost=1.0)
    assert llm.calls == []


def test_a_first_call_that_can_never_fit_is_bad_input():
    """Nothing was made yet, and nothing will be: no run is begun."""
    llm = backend()
    with pytest.raises(ConfigurationError, match="first row"):
        generate(llm, max_cost=WORST - 1e-9)
    assert llm.calls == []
    assert runs.list_runs() == []


def test_a_later_call_that_can_never_fit_stops_the_run_there():
    """A row that is too long for the money is not sent; the message says what it may cost."""
    llm = backend(num_threads=1)
    source = [{"input": "Ask."}, {"input": "long " * 10_000}, {"input": "Ask."}]
    with pytest.raises(BudgetExceededError) as caught:
        Pipeline(llm).generate(source, max_cost=0.01, verbose=False)
    assert len(llm.calls) == 1
    assert caught.value.needed > 0.05


def test_an_image_has_no_worst_case():
    """A prompt that is not text alone stops a run that has a ceiling, before it is sent."""

    class Looking(TextGenerationTask):
        def generate_prompt(self, input):  # noqa: A002 - the column's name
            url = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
            return [{"role": "user", "content": [url]}]

    llm = backend(task=Looking())
    with pytest.raises(ConfigurationError, match="more than text"):
        generate(llm, max_cost=1.0)
    assert llm.calls == []


def test_a_server_that_counts_more_than_there_can_be_is_noticed():
    """What a hidden prompt costs is learnt from the first reply; the next claims are larger."""
    llm = backend(lambda _: Reply(("text",), usage=Usage(5_000, WRITES)), num_threads=1)
    with pytest.raises(BudgetExceededError) as caught:
        generate(llm, max_cost=0.012)
    assert caught.value.spent == pytest.approx(2 * 0.0051)
    assert caught.value.needed == pytest.approx(0.0051)


def test_who_takes_rows_one_by_one_is_told_after_the_last():
    """A stream hands out what was finished, then raises."""
    taken = []

    def take() -> None:
        pipe, max_cost = Pipeline(backend(num_threads=1)), 3 * COSTS + WORST - 1e-9
        with pipe.iterate(rows(10), max_cost=max_cost, verbose=False) as stream:
            for row in stream:
                taken.append(row.index)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(BudgetExceededError):
        take()
    assert taken == [0, 1, 2]


async def test_rows_that_wait_for_money_can_be_left():
    """Leaving a stream while calls wait for money ends it, and nothing stays claimed."""
    release = anyio.Event()

    class Slow(ScriptedLLM):
        async def complete(self, call):
            await release.wait()
            return await super().complete(call)

    llm = Slow(TextGenerationTask(system_prompt=""), lambda _: reply(), price=PRICE)
    llm.max_new_tokens = WRITES
    async with Pipeline(llm).stream(rows(50), max_cost=3 * WORST, verbose=False) as stream:
        purse = stream._run._purse
        with anyio.fail_after(5):
            while purse.spending.statistics().waiting < 5:
                await anyio.lowlevel.checkpoint()
        assert purse.spending.statistics().granted <= 3 * WORST * 1e12
    statistics = purse.spending.statistics()
    assert (statistics.waiting, statistics.granted) == (0, 0)
    assert statistics.spent == statistics.unsure > 0  # cut off under way: it may be billed
    with anyio.fail_after(5), pytest.raises(BudgetExceededError):
        await Pipeline(backend()).agenerate(rows(50), max_cost=3 * WORST, verbose=False)


def test_one_backend_serves_runs_with_ceilings_of_their_own():
    """Two runs in two threads, and so in two event loops, share an LLM and not their money."""
    llm = backend(num_threads=4)
    errors: list[BudgetExceededError] = []

    def run(name: str, max_cost: float) -> None:
        source = [{"input": f"{name} {k}."} for k in range(100)]
        try:
            Pipeline(llm).generate(source, max_cost=max_cost, verbose=False)
        except BudgetExceededError as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(name, max_cost))
        for name, max_cost in (("Ask", 0.003), ("Say", 0.006))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 2
    for error in errors:
        assert error.max_cost - WORST < error.spent <= error.max_cost
    assert len(llm.calls) == sum(error.summary.calls for error in errors)


def test_openai_has_a_list_and_others_do_not(monkeypatch):
    """The same name at another server has no price; what is given goes before the list."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
    task = TextGenerationTask()
    assert OpenAILLM(task, "gpt-4o-mini").price == Price(0.15, 0.60, 0.075)
    assert OpenAILLM(task, "gpt-4o-mini-2024-07-18").price == Price(0.15, 0.60, 0.075)
    assert OpenAILLM(task, "gpt-4o-mini", base_url="http://127.0.0.1:1/v1").price is None
    assert OpenAILLM(task, "gpt-4o-mini", extra_body={"service_tier": "flex"}).price is None
    assert OpenAILLM(task, "gpt-4o-mini", price=(1, 2)).price == Price(1, 2)


def test_a_schema_is_read_by_the_model_too(monkeypatch):
    """The bound of a prompt holds the fields of the request; the longest limit counts."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
    from distilabel.types import Call

    plain = OpenAILLM(TextGenerationTask(), "gpt-4o", max_new_tokens=50)
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"x": "y" * 1_000}}}
    large = OpenAILLM(
        TextGenerationTask(), "gpt-4o", response_format=schema, extra_body={"max_tokens": 70}
    )
    call = Call("Hi", 3)
    assert plain.tokens_max(call).completion_tokens == 150
    assert large.tokens_max(call).completion_tokens == 3 * 128
    assert large.tokens_max(call).prompt_tokens > plain.tokens_max(call).prompt_tokens + 1_000


def test_a_price_decides_no_reply():
    """A run goes on whatever its backend is said to cost."""
    assert backend().settings() == backend(price=None).settings()
    llm = backend(price=(1, 2))
    assert "price" not in llm._given


def test_runs_show_says_what_was_spent():
    """The journal keeps what each call cost; what another run had bought cost nothing."""
    generate(backend(), 3)
    (first,) = runs.list_runs()
    assert runs.show(first.directory).cost == pytest.approx(3 * COSTS)
    generate(backend(), 4, resume="always")
    second = next(run for run in runs.list_runs() if run.name != first.name)
    assert runs.show(second.directory).cost == pytest.approx(COSTS)
