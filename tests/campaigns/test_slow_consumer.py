"""A consumer that is slower than the endpoint holds everything up, and nothing piles up meanwhile.

The endpoint answers at once and the source never ends, so whatever may be made is made. What was
made is counted by the endpoint itself, in its function that writes the replies.
"""

from collections import Counter
from contextlib import AbstractAsyncContextManager, nullcontext

import anyio
import pytest

from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import SimRequest, SimulatedEndpoint, VirtualClock
from distilabel.testing.replies import DefaultReplies

PERMITS = 16
SLACK = 2  # rows made and not taken, for each permit: the promise
ROWS_PER_S = 20
GROWTH_MAX_MB = 4.0


class Consumer:
    """Takes rows at a steady pace, and notes what was made ahead of it, and the memory."""

    def __init__(self, rss_mb) -> None:
        self._rss_mb = rss_mb
        self._write = DefaultReplies()
        self.made = Counter[str]()
        self.ahead = Counter[str]()
        self.endpoint = SimulatedEndpoint(reply=self.reply, ledger="counters")
        self.growth_mb = 0.0

    def reply(self, request: SimRequest):
        """Count a request for the model it asks for, and answer it as usual."""
        self.made[request.model] += 1
        return self._write(request)

    async def consume(
        self,
        serving: AbstractAsyncContextManager,
        models: tuple[str, ...],
        source,
        rows: int,
        **settings,
    ) -> None:
        """Take so many rows, then leave."""
        tasks = {"writer": TextGenerationTask(), "judge": UltraFeedbackTask.for_honesty()}
        async with serving:
            llms = [
                OpenAILLM(
                    tasks[model],
                    model,
                    base_url=self.endpoint.openai_url,
                    max_new_tokens=32,
                    num_threads=PERMITS,
                )
                for model in models
            ]
            async with Pipeline(*llms).stream(source, **settings) as stream:
                for taken in range(1, rows + 1):
                    row = await anext(stream)
                    assert not row.errors
                    await anyio.sleep(1 / ROWS_PER_S)
                    for model in models:
                        self.ahead[model] = max(self.ahead[model], self.made[model] - taken)
                    if taken == rows // 4:
                        before_mb = self._rss_mb()
                self.growth_mb = self._rss_mb() - before_mb
        assert [llm.permits.statistics().in_use for llm in llms] == [0] * len(llms)


@pytest.fixture
def consumer(rss_mb) -> Consumer:
    """A consumer with an endpoint of its own."""
    return Consumer(rss_mb)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("models", [("writer",), ("writer", "judge")], ids=["one", "two"])
def test_a_slow_consumer_is_not_run_ahead_of(consumer, endless, models, ordered):
    """Through 100 s of 20 rows a second no stage is more than two rows a permit ahead."""
    settings = {"ordered": ordered, "enable_checkpoints": False}  # no thread for the clock to miss
    here = consumer.endpoint.here()
    VirtualClock().run(consumer.consume, here, models, endless(), 2_000, **settings)
    hold(consumer, models, ordered=ordered)


@pytest.mark.campaign
@pytest.mark.parametrize("models", [("writer",), ("writer", "judge")], ids=["one", "two"])
async def test_a_slow_consumer_is_not_run_ahead_of_in_real_time(consumer, endless, models):
    """The same for a minute by the clock on the wall, with checkpoints."""
    async with consumer.endpoint:
        await consumer.consume(nullcontext(), models, endless(), 60 * ROWS_PER_S)
    hold(consumer, models, ordered=False)


def hold(consumer: Consumer, models: tuple[str, ...], *, ordered: bool) -> None:
    """Nothing was more ahead than promised, all that was promised was used, memory is flat."""
    window = SLACK * PERMITS * len(models)
    bounds = dict.fromkeys(models, window)
    if not ordered:
        bounds[models[-1]] = SLACK * PERMITS
    assert consumer.ahead == bounds
    assert consumer.growth_mb < GROWTH_MAX_MB
