"""A reply that breaks off at each of its bytes, over real sockets, through each lane."""

import httpx
import httpx2
import openai
import pytest
from storm_kit import number_of

from distilabel.llm import OpenAILLM, http
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import Reset, SimRequest, Truncated

TEXT = "A short reply."
REPLY_BYTES_MAX = 600
CLIENTS = {
    "own": lambda url: {"base_url": url},
    "aiohttp": lambda url: {"base_url": url},
    "httpx": lambda url: {"base_url": url, "client": httpx.AsyncClient()},
    "httpx2": lambda url: {"base_url": url, "client": httpx2.AsyncClient()},
    "sdk": lambda url: {"client": openai.AsyncOpenAI(base_url=url, api_key="k")},
}


class BreaksOff:
    """Sends the first so many bytes of its first reply to a row, the second one whole."""

    def __init__(self, fault) -> None:
        self._fault = fault

    def __call__(self, request: SimRequest):
        """Break off after as many bytes as the row's number says."""
        return self._fault(number_of(request)) if request.attempt == 1 else None


@pytest.mark.parametrize(
    ("lane", "step"),
    [
        ("own", 7),
        ("aiohttp", 29),
        ("httpx", 29),
        ("httpx2", 29),
        ("sdk", 29),
        *(pytest.param(lane, 1, marks=pytest.mark.campaign) for lane in CLIENTS),
    ],
)
@pytest.mark.parametrize("fault", [Reset, Truncated], ids=["reset", "closed"])
async def test_a_reply_that_breaks_off_at_any_byte_is_asked_for_again(
    serve, quick, monkeypatch, lane, step, fault
):
    """Whatever came before the connection broke, the row gets the whole reply of the next try."""
    if lane == "aiohttp":  # the lane for proxies, without one
        monkeypatch.setattr(http, "proxy_for", lambda _: "some proxy")
    settings = CLIENTS[lane]
    source = [{"input": f"row {offset}"} for offset in range(0, REPLY_BYTES_MAX, step)]
    endpoint = serve(reply=lambda request: TEXT, script=BreaksOff(fault))
    llm = OpenAILLM(TextGenerationTask(), "m", num_threads=8, **settings(endpoint.openai_url))
    llm.retry_policy = quick
    results = await Pipeline(llm).agenerate(source, verbose=False)
    assert results["generations"] == [[TEXT]] * len(source)
    assert results.run.rows_failed == 0
    assert results.run.paid_retries == 0
    again = [call.attempt for call in endpoint.ledger.calls].count(2)
    assert len(source) // 2 <= again <= results.run.retries
    if llm._client is not None:
        await (getattr(llm._client, "aclose", None) or llm._client.close)()
