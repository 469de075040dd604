"""What of a backend decides its replies, and so what may be reused."""

from distilabel.llm import LLM, Call
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask


class Warm(LLM):
    """A backend with a parameter, a key and a counter."""

    model_name = "warm"

    def __init__(self, task, temperature=1.0, *, api_key="", **limits) -> None:
        super().__init__(task, **limits)
        self.temperature = temperature
        self.api_key = api_key
        self.calls = 0

    async def complete(self, call: Call) -> list[str]:
        self.calls += 1
        return [f"at {self.temperature}"] * call.num_generations


ROWS = [{"input": "Hi"}]


def test_settings_are_what_the_constructor_was_given():
    """Numbers and texts count, by whatever way they were passed; keys, limits and state do not."""
    llm = Warm(TextGenerationTask(), 0.5, api_key="sk-canary", num_threads=3)
    assert llm.settings() == {"model": "warm", "temperature": 0.5}
    assert "sk-canary" not in repr(llm)
    llm.calls = 9
    assert llm.settings() == {"model": "warm", "temperature": 0.5}


def test_another_parameter_is_another_backend():
    """With another temperature nothing is reused; with the same one everything is."""
    first = Pipeline(Warm(TextGenerationTask(), temperature=0.1))
    other = Pipeline(Warm(TextGenerationTask(), temperature=0.9))
    again = Pipeline(Warm(TextGenerationTask(), temperature=0.1))
    assert first.generate(ROWS, verbose=False)[0]["generations"] == ["at 0.1"]
    changed = other.generate(ROWS, resume="always", verbose=False)
    assert (changed[0]["generations"], changed.run.calls_reused) == (["at 0.9"], 0)
    same = again.generate(ROWS, resume="always", verbose=False)
    assert (same[0]["generations"], same.run.calls_reused) == (["at 0.1"], 1)
