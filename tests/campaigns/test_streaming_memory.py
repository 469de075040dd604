"""A stream holds the rows in hand and nothing else, however many have gone through it."""

from collections.abc import Iterator

import pytest

from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import SimulatedEndpoint

TEXT_CHARS = 1_000
GROWTH_MAX_MB = 4.0  # 15,000 rows kept would be over 30 MB


def prompts(rows: int) -> Iterator[dict[str, str]]:
    """Rows that are made when they are asked for."""
    for k in range(rows):
        yield {"input": f"{k} ".ljust(TEXT_CHARS, "x")}


async def stream_growth_mb(rss_mb, rows: int, mark: int) -> float:
    """MB of memory that a stream has gained between row `mark` and its end."""
    with SimulatedEndpoint.process(ledger="counters") as endpoint:
        llm = OpenAILLM(TextGenerationTask(), "writer", base_url=endpoint.openai_url)
        seen, before_mb = 0, 0.0
        async with Pipeline(llm).stream(prompts(rows), batch_size=64) as stream:
            async for row in stream:
                assert not row.errors
                seen += 1
                if seen == mark:
                    before_mb = rss_mb()
            growth_mb = rss_mb() - before_mb
    assert seen == rows
    return growth_mb


async def test_a_stream_of_20_000_rows_holds_no_more_than_one_of_5_000(rss_mb):
    """Memory after 20,000 rows of a generator is that after 5,000."""
    assert await stream_growth_mb(rss_mb, 20_000, 5_000) < GROWTH_MAX_MB


@pytest.mark.campaign
@pytest.mark.timeout(900)
async def test_a_stream_of_100_000_rows_holds_no_more_than_one_of_10_000(rss_mb):
    """Memory after 100,000 rows of a generator is that after 10,000."""
    assert await stream_growth_mb(rss_mb, 100_000, 10_000) < GROWTH_MAX_MB
