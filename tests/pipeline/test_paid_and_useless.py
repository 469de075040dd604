"""Replies that were paid for and are of no use: counted, all the same."""

from distilabel.errors import InvalidReplyError
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
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
