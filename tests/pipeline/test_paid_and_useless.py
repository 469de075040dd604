"""Replies that were paid for and are of no use: counted, all the same."""

import re
from collections import Counter

import pytest

from distilabel.errors import BudgetExceededError, InvalidReplyError, RunFatalError
from distilabel.limits import RetryPolicy
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import ScriptedLLM
from distilabel.types import Reply, Usage


class Shouting(TextGenerationTask):
    """Takes only what is written in capitals."""

    def parse_output(self, output: str) -> dict[str, str]:
        if not output.isupper():
            raise InvalidReplyError("it does not shout")
        return {"generations": output}


def test_tokens_of_useless_replies_are_counted():
    """Two useless replies and a good one cost three times the tokens of one."""
    lines = [Reply((text,), usage=Usage(10, 5)) for text in ("no", "nor this", "YES")]
    pipe = Pipeline(ScriptedLLM(Shouting(), lines))
    dataset = pipe.generate([{"input": "Shout."}], verbose=False)
    assert dataset[0]["generations"] == ["YES"]
    assert (dataset.run.calls, dataset.run.paid_retries) == (1, 2)
    assert dataset.run.usage == Usage(30, 15)


def test_tokens_of_a_call_that_was_given_up_are_counted():
    """A call whose replies are all useless fails, and what it took is in the sum."""
    lines = [Reply(("no",), usage=Usage(10, 5))] * 3
    pipe = Pipeline(ScriptedLLM(Shouting(), lines))
    dataset = pipe.generate([{"input": "Shout."}], verbose=False)
    assert dataset[0]["generations"] == [None]
    assert dataset.run.usage == Usage(30, 15)


NO_FORM = "I cannot rate these."
RATED = "#### Output for Text 1\nRating: 4\nRationale: Fine.\n"
NOT_APPLICABLE = "#### Output for Text 1\nRating: N/A\n#### Output for Text 2\nRating: N/A"
TWO_TEXTS = [{"input": "Why?", "generations": ["one", "two"]}]


def judged_by(*lines: str, **settings) -> Pipeline:
    """A pipeline whose judge says one line after the other, 10 tokens read and 5 written each."""
    replies = [Reply((line,), usage=Usage(10, 5)) for line in lines]
    return Pipeline(labeller=ScriptedLLM(UltraFeedbackTask(), replies, **settings))


@pytest.mark.parametrize("line", [RATED, NOT_APPLICABLE])
def test_a_judgement_of_the_form_is_asked_for_once(line):
    """A text without a section, or ratings that are all N/A, are no reason to pay again."""
    dataset = judged_by(line, RATED).generate(TWO_TEXTS, verbose=False)
    assert dataset["raw_labelling_response"][:] == [line]
    assert dataset.run.paid_retries == 0


def test_a_judgement_without_form_is_asked_for_again():
    """What holds no section is a paid retry, and the next reply is the row's."""
    pipe = judged_by(NO_FORM, RATED)
    dataset = pipe.generate(TWO_TEXTS, shuffle_before_labelling=False, verbose=False)
    assert dataset[0]["rating"] == [4.0, None]
    assert dataset[0]["raw_labelling_response"] == RATED
    assert (dataset.run.calls, dataset.run.paid_retries) == (1, 1)
    assert dataset.run.usage == Usage(20, 10)


@pytest.mark.parametrize("is_deterministic", [False, True])
def test_the_last_judgement_without_form_is_kept(is_deterministic):
    """After three the text stays, with one cause; a second run buys nothing and says the same."""
    lines = [NO_FORM, NO_FORM, "Nor now."]
    for replies, retries in ((lines, 2), ([], 0)):
        pipe = judged_by(*replies, is_deterministic=is_deterministic)
        dataset = pipe.generate(TWO_TEXTS, resume="always", verbose=False)
        assert dataset[0]["rating"] == dataset[0]["rationale"] == [None, None]
        assert dataset[0]["raw_labelling_response"] == "Nor now."
        assert dataset.run.failed_by_cause == {"section_missing": 1}
        assert (dataset.run.calls, dataset.run.paid_retries) == (0, retries)


def judged_oddly(first: int, last: int) -> Pipeline:
    """A pipeline whose judge keeps to no form for the rows from `first` on, up to `last`."""

    def script(call) -> str:
        number = int(re.search(r"row (\d+)", str(call.prompt))[1])
        return NO_FORM if first <= number < last else RATED

    judge = ScriptedLLM(UltraFeedbackTask(), script, num_threads=1)
    judge.retry_policy = RetryPolicy(transient_base_s=0.0)
    return Pipeline(labeller=judge)


def rated_rows(count: int) -> list[dict[str, object]]:
    """Rows with a text each."""
    return [{"input": f"row {number} of all", "generations": ["one"]} for number in range(count)]


def test_odd_rows_that_stand_together_stop_no_run():
    """A judge that does well finds 25 neighbours that it says nothing useful about; they fail."""
    dataset = judged_oddly(20, 45).generate(rated_rows(100), verbose=False)
    assert dataset.run.failed_by_cause == {"section_missing": 25}
    assert dataset.run.paid_retries == 50


def test_a_judge_without_form_stops_the_run_before_it_is_paid_for_all_rows():
    """After some 20 rows, and gone on with after some others: what was kept is not asked again."""
    given_up: set[str] = set()
    for _ in range(3):
        pipe = judged_oddly(0, 1_000)
        with pytest.raises(
            RunFatalError, match=r"raise max_new_tokens; .* tries other rows"
        ) as told:
            pipe.generate(rated_rows(1_000), verbose=False)
        assert told.value.cause == "too_many_failures"
        asked = Counter(str(call.prompt) for call in pipe.labeller.calls)
        assert 20 <= len(asked) <= 60
        assert given_up.isdisjoint(asked)
        given_up |= {prompt for prompt, times in asked.items() if times == 3}
    assert len(given_up) >= 20


def test_asking_again_stays_below_the_budget():
    """Each try has to be affordable: the budget ends the row before it is overrun."""
    pipe = judged_by(NO_FORM, NO_FORM, RATED, price=(0.0, 1_000_000.0))
    pipe.labeller.max_new_tokens = 5  # so that a try costs 5 dollars
    with pytest.raises(BudgetExceededError):
        pipe.generate(TWO_TEXTS, max_cost=12.0, verbose=False)
    assert len(pipe.labeller.calls) == 2
