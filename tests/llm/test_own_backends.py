"""Backends of one's own that misbehave: a failure of the call, and never of the run."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from distilabel.errors import ConfigurationError, RunStoppedError
from distilabel.llm import LLM, Call
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask

ROWS = [{"input": f"row {index}"} for index in range(4)]


class Odd(LLM):
    """Returns for one of the rows what it is told to, and raises it if it can be raised."""

    model_name = "odd"

    def __init__(self, task, result, **limits) -> None:
        super().__init__(task, **limits)
        self.result = result
        self.asked = 0

    async def complete(self, call: Call) -> list[str]:
        if "row 1" not in str(call.prompt):
            return ["fine"]
        self.asked += 1
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.mark.parametrize("checkpoints", [True, False])
@pytest.mark.parametrize(
    ("result", "says"),
    [
        ([None], "of type list of NoneType;"),
        (["good", 5], "of type list of int, str;"),
        (None, "of type NoneType;"),
        (5, "of type int;"),
        ({"text": "secret"}, "of type dict;"),
        (b"secret", "of type bytes of int;"),
    ],
)
def test_what_is_no_list_of_texts_is_an_invalid_reply(quick, result, says, checkpoints):
    """It is asked for again as such a one is, and then is the failure of that row alone."""
    llm = Odd(TextGenerationTask(), result)
    llm.retry_policy = quick
    with Pipeline(llm).iterate(ROWS, enable_checkpoints=checkpoints, verbose=False) as stream:
        found = sorted(stream, key=lambda row: row.index)
    assert [row["generations"] for row in found] == [["fine"], [None], ["fine"], ["fine"]]
    (error,) = found[1].errors
    assert (error.cause, error.attempts, llm.asked) == ("backend_reply", 3, 3)
    assert "the backend Odd" in error.message
    assert says in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_cancelled_task_of_the_backends_own_fails_its_call(checkpoints):
    """The run was not cancelled, and goes on with the other rows."""
    llm = Odd(TextGenerationTask(), asyncio.CancelledError("inner"))
    result = Pipeline(llm).generate(ROWS, enable_checkpoints=checkpoints, verbose=False)
    assert result["generations"][:] == [["fine"], [None], ["fine"], ["fine"]]
    assert result.run.failed_by_cause == {"backend_error": 1}


class Hanging(LLM):
    """Never answers."""

    model_name = "hanging"
    is_cancelled = False

    async def complete(self, call: Call) -> list[str]:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        return []


async def test_a_cancelled_run_is_no_failure_of_a_call():
    """What cancels the call from outside goes through."""
    llm = Hanging(TextGenerationTask())
    with anyio.move_on_after(0) as scope:
        await llm.attempt(Call("Hi"))
    assert scope.cancelled_caught
    assert llm.is_cancelled


class Cancelling(Odd):
    """Has a cancellation of its own come out where none should."""

    async def attempt(self, call: Call):
        raise asyncio.CancelledError(call)


def test_what_no_signal_has_stopped_is_no_interrupt():
    """A run that is cancelled from within ends with an error of ours, and not as by Ctrl-C."""
    with pytest.raises(RunStoppedError):
        Pipeline(Cancelling(TextGenerationTask(), None)).generate(ROWS, verbose=False)


class Nameless(LLM):
    """Does not say which model it is."""

    async def complete(self, call: Call) -> list[str]:
        return ["fine"] * call.num_generations


@pytest.mark.parametrize("place", ["generator", "labeller", None])
def test_a_backend_without_a_name_is_told_so(place):
    """What it lacks is named before any call is made."""
    llm = Nameless(TextGenerationTask())
    with pytest.raises(ConfigurationError, match="the backend Nameless has no model_name"):
        llm.generate(ROWS) if place is None else Pipeline(**{place: llm})


@pytest.mark.parametrize("prompt_format", ["openai", "zephyr"])
def test_a_lone_surrogate_is_the_rows_own(serve, writer, prompt_format):
    """A text that no request can carry is told to be the row's, and nothing is sent."""
    endpoint = serve()
    llm = writer(endpoint, prompt_format=prompt_format)
    with Pipeline(llm).iterate([{"input": "a\ud800b"}], verbose=False) as stream:
        (row,) = stream
    (error,) = row.errors
    assert error.cause == "lone_surrogate"
    assert "the row's text" in error.message
    assert "backend" not in error.message
    assert endpoint.ledger.requests == 0


def test_a_text_that_a_backend_cannot_encode_is_the_backends_fault():
    """Only a lone surrogate is what no request can carry."""
    error = UnicodeEncodeError("latin-1", "\u20ac", 0, 1, "not in range")
    result = Pipeline(Odd(TextGenerationTask(), error)).generate(ROWS, verbose=False)
    assert result.run.failed_by_cause == {"backend_error": 1}
