"""huggingface_hub's own clients read what the simulated endpoint sent."""

from collections.abc import Iterator

import anyio.to_thread
import huggingface_hub
import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import (
    HfHubHTTPError,
    InferenceEndpointError,
    OverloadedError,
    ValidationError,
)

from distilabel.testing import Faults, HubEndpoint, SimulatedEndpoint, Status

TOKEN = "hf_canary"


@pytest.fixture
def hub(monkeypatch) -> Iterator[SimulatedEndpoint]:
    """A hub with endpoints in several states, where huggingface_hub looks for it."""
    endpoints = [
        HubEndpoint("up", "org"),
        HubEndpoint("asleep", "org", state="paused", polls_to_run=2),
        HubEndpoint("zero", "org", state="scaledToZero", polls_to_run=1),
        HubEndpoint("broken", "org", state="paused", polls_to_run=0, comes_up="failed"),
        HubEndpoint("mine"),
    ]
    with SimulatedEndpoint(endpoints=endpoints, reply=lambda r: f"<{r.prompt}>") as simulated:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", simulated.endpoints_url)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", simulated.url)
        yield simulated
        huggingface_hub.close_session()


async def test_text_generation_at_the_root_and_at_generate():
    """The text is read at the URL itself (a list) and at /generate (an object)."""
    async with SimulatedEndpoint(reply=lambda request: f"<{request.prompt}>") as endpoint:
        for url in (endpoint.url, endpoint.url + "/generate", endpoint.endpoint_url("any")):
            async with AsyncInferenceClient(model=url, token=TOKEN) as client:
                assert await client.text_generation("héllo", max_new_tokens=9) == "<héllo>"
    assert endpoint.ledger.by_route == {"text-generation": 3}


async def test_text_generation_with_details():
    """With details the finish reason, the count and tokens that add up to the text come along."""
    async with (
        SimulatedEndpoint() as endpoint,
        AsyncInferenceClient(base_url=endpoint.url, token=TOKEN) as client,
    ):
        output = await client.text_generation("p", details=True, max_new_tokens=7, seed=11)
    assert output.details is not None
    assert output.details.finish_reason == "length"
    assert output.details.generated_tokens == len(output.details.tokens) == 7
    assert "".join(token.text for token in output.details.tokens) == output.generated_text
    assert output.details.seed == 11


async def test_best_of_and_the_full_text():
    """Other sequences are among the details; the full text begins with the prompt."""
    replies = ["one", "two"]
    async with (
        SimulatedEndpoint(reply=lambda _: replies) as endpoint,
        AsyncInferenceClient(base_url=endpoint.url, token=TOKEN) as client,
    ):
        output = await client.text_generation("p:", details=True, best_of=2, return_full_text=True)
    assert output.generated_text == "p:one"
    assert [other.generated_text for other in output.details.best_of_sequences] == ["p:two"]


async def test_chat_under_the_endpoints_own_url():
    """chat_completion on an endpoint's URL finds its chat route, and needs no model."""
    async with SimulatedEndpoint(reply=lambda request: f"<{request.prompt}>") as endpoint:
        url = endpoint.endpoint_url("mine")
        async with AsyncInferenceClient(base_url=url, token=TOKEN) as client:
            reply = await client.chat_completion([{"role": "user", "content": "hi"}], max_tokens=5)
    assert reply.choices[0].message.content == "<hi>"
    assert reply.usage.completion_tokens == 1
    assert endpoint.ledger.by_route == {"chat": 1}


async def test_errors_have_tgis_shape():
    """A 429 is read as OverloadedError, an input too long as ValidationError."""
    script = Faults.on_attempt(1, Status(429))
    async with (
        SimulatedEndpoint(script=script, max_prompt_chars=10) as endpoint,
        AsyncInferenceClient(base_url=endpoint.url, token=TOKEN) as client,
    ):
        with pytest.raises(OverloadedError):
            await client.text_generation("short")
        assert await client.text_generation("short")
        with pytest.raises(OverloadedError):
            await client.text_generation("much too long")
        with pytest.raises(ValidationError):
            await client.text_generation("much too long")


async def get(name: str, namespace: str | None = "org") -> huggingface_hub.InferenceEndpoint:
    """The endpoint as the hub describes it, asked in a thread as it blocks."""
    return await anyio.to_thread.run_sync(
        lambda: huggingface_hub.get_inference_endpoint(name, namespace=namespace, token=TOKEN)
    )


async def test_a_running_endpoint_has_a_url_that_serves(hub):
    """get_inference_endpoint gives the URL, and its own async client generates there."""
    endpoint = await get("up")
    assert (endpoint.status, endpoint.url) == ("running", hub.endpoint_url("up"))
    async with endpoint.async_client as client:
        assert await client.text_generation("x") == "<x>"


async def test_a_namespace_of_none_is_asked_of_whoami(hub):
    """Without a namespace the user's own is looked up, and the endpoint found there."""
    endpoint = await get("mine", namespace=None)
    assert endpoint.namespace == "simulated-user"
    assert hub.ledger.by_route == {"whoami": 1, "hub": 1}
    assert hub.ledger.requests == 0


async def test_a_paused_endpoint_comes_up_after_its_polls(hub):
    """Resumed, it says initializing for two polls, without a URL, then running with one."""
    endpoint = await get("asleep")
    assert (endpoint.status, endpoint.url) == ("paused", None)
    with pytest.raises(InferenceEndpointError):
        _ = endpoint.async_client
    await anyio.to_thread.run_sync(endpoint.resume)
    states = [endpoint.status]
    for _ in range(3):
        await anyio.to_thread.run_sync(endpoint.fetch)
        states.append(endpoint.status)
    assert states == ["initializing", "initializing", "initializing", "running"]
    assert endpoint.url == hub.endpoint_url("asleep")


async def test_resuming_what_runs_is_accepted_as_the_hub_says_it(hub):
    """The hub's 400 "already running" is what the client looks for; it then fetches instead."""
    endpoint = await get("up")
    await anyio.to_thread.run_sync(endpoint.resume)
    assert endpoint.status == "running"
    with pytest.raises(HfHubHTTPError):
        await anyio.to_thread.run_sync(lambda: endpoint.resume(running_ok=False))


async def test_an_endpoint_can_fail_to_come_up(hub):
    """One that comes up as failed says so, without a URL."""
    endpoint = await get("broken")
    await anyio.to_thread.run_sync(endpoint.resume)
    await anyio.to_thread.run_sync(endpoint.fetch)
    assert (endpoint.status, endpoint.url) == ("failed", None)


async def test_pausing_and_scaling_to_zero(hub):
    """Pausing and scaling to zero change the state, and the URL is gone."""
    endpoint = await get("up")
    await anyio.to_thread.run_sync(endpoint.pause)
    assert (endpoint.status, endpoint.url) == ("paused", None)
    await anyio.to_thread.run_sync(endpoint.scale_to_zero)
    assert endpoint.status == "scaledToZero"


async def test_an_endpoint_at_zero_wakes_by_being_asked(hub):
    """A request to an endpoint scaled to zero is a 503 with estimated_time, and wakes it."""
    async with AsyncInferenceClient(base_url=hub.endpoint_url("zero"), token=TOKEN) as client:
        with pytest.raises(HfHubHTTPError) as loading:
            await client.text_generation("x")
        assert await client.text_generation("x") == "<x>"
    assert loading.value.response.status_code == 503
    assert loading.value.response.json()["estimated_time"] > 0


async def test_an_unknown_endpoint_is_not_found(hub):
    """A name that does not exist, or in another namespace, is a 404."""
    for name, namespace in (("nobody", "org"), ("up", "other")):
        with pytest.raises(HfHubHTTPError) as missing:
            await get(name, namespace)
        assert missing.value.response.status_code == 404
