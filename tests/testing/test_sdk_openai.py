"""OpenAI's own client reads what the simulated endpoint sent."""

from collections.abc import AsyncIterator

import openai
import pytest

from distilabel.testing import (
    Completion,
    Faults,
    Html,
    SimulatedEndpoint,
    Status,
    TokenBucket,
)

MESSAGES = [{"role": "user", "content": "Say something."}]


def client_of(endpoint: SimulatedEndpoint, key: str = "sk-canary") -> openai.AsyncOpenAI:
    """A client of it that does not retry."""
    return openai.AsyncOpenAI(api_key=key, base_url=endpoint.openai_url, max_retries=0)


@pytest.fixture
async def endpoint() -> AsyncIterator[SimulatedEndpoint]:
    """An endpoint with a key, two models and a short context."""
    async with SimulatedEndpoint(
        reply=lambda request: [f"{request.model} choice {k} é" for k in range(request.n)],
        models=["model-a", "org/model-b"],
        require_key="sk-canary",
        max_prompt_chars=1000,
    ) as endpoint:
        yield endpoint


async def test_three_choices_are_read_as_they_were_written(endpoint):
    """With n=3 the client gets the three texts in order, with usage and finish reasons."""
    async with client_of(endpoint) as client:
        reply = await client.chat.completions.create(
            model="model-a", messages=MESSAGES, n=3, max_completion_tokens=5, temperature=0.5
        )
    assert [choice.message.content for choice in reply.choices] == [
        "model-a choice 0 é",
        "model-a choice 1 é",
        "model-a choice 2 é",
    ]
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert {choice.finish_reason for choice in reply.choices} == {"stop"}
    assert reply.model == "model-a"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.prompt_tokens == 4


async def test_request_ids_and_raw_headers_are_there(endpoint):
    """The client finds an x-request-id, and it differs from call to call."""
    async with client_of(endpoint) as client:
        first = await client.chat.completions.create(model="model-a", messages=MESSAGES)
        second = await client.chat.completions.create(model="model-a", messages=MESSAGES)
    assert first._request_id != second._request_id
    assert first._request_id == "req_000000000000"


async def test_models_are_listed_and_retrieved(endpoint):
    """models.list gives the models that exist, models.retrieve one of them, slash included."""
    async with client_of(endpoint) as client:
        listed = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("org/model-b")
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.models.retrieve("model-c")
    assert listed == ["model-a", "org/model-b"]
    assert one.id == "org/model-b"
    assert unknown.value.code == "model_not_found"


async def test_a_wrong_key_is_an_authentication_error(endpoint):
    """A wrong key is answered with OpenAI's 401, and the ledger knows only that there was one."""
    async with client_of(endpoint, "sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.chat.completions.create(model="model-a", messages=MESSAGES)
    assert refused.value.code == "invalid_api_key"
    (call,) = endpoint.ledger.calls
    assert call.has_key
    assert "sk-" not in repr(endpoint.ledger.report())


async def test_an_unknown_model_is_not_found(endpoint):
    """A model that does not exist is a 404 with the code model_not_found."""
    async with client_of(endpoint) as client:
        with pytest.raises(openai.NotFoundError) as refused:
            await client.chat.completions.create(model="model-c", messages=MESSAGES)
    assert refused.value.code == "model_not_found"


async def test_a_long_prompt_exceeds_the_context(endpoint):
    """A prompt over the limit is a 400 with the code context_length_exceeded."""
    long = [{"role": "user", "content": "x" * 1001}]
    async with client_of(endpoint) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="model-a", messages=long)
    assert refused.value.code == "context_length_exceeded"
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    "body",
    [{"messages": []}, {"messages": MESSAGES, "n": 0}, {"messages": MESSAGES, "stream": True}],
)
async def test_a_body_that_cannot_be_served_is_refused(endpoint, body):
    """No messages, a senseless n, and streaming are 400s of the client's own making."""
    async with client_of(endpoint) as client:
        with pytest.raises(openai.BadRequestError):
            await client.post("/chat/completions", body={"model": "model-a", **body}, cast_to=dict)


async def test_a_full_bucket_is_a_rate_limit_error_with_retry_after():
    """Above the rate comes a 429 that says when to come back, and what is left."""
    async with (
        SimulatedEndpoint(capacity=TokenBucket(0.5, 1, tokens_per_min=6000)) as endpoint,
        client_of(endpoint) as client,
    ):
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="m", messages=MESSAGES)
    assert raw.headers["x-ratelimit-limit-requests"] == "1"
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    assert raw.headers["x-ratelimit-limit-tokens"] == "6000"
    headers = refused.value.response.headers
    assert headers["retry-after"] == "2"
    assert 1000 < int(headers["retry-after-ms"]) <= 2000
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert refused.value.code == "rate_limit_exceeded"


async def test_the_clients_own_retries_meet_the_next_attempt():
    """A script by attempt lets the client's second try through: one paid call, none repeated."""
    script = Faults.on_attempt(1, Status(500, headers={"retry-after-ms": "1"}))
    async with SimulatedEndpoint(script=script) as endpoint:
        client = openai.AsyncOpenAI(api_key="x", base_url=endpoint.openai_url, max_retries=1)
        async with client:
            await client.chat.completions.create(model="m", messages=MESSAGES)
    assert endpoint.ledger.statuses == {500: 1, 200: 1}
    assert [call.attempt for call in endpoint.ledger.calls] == [1, 2]
    assert (endpoint.ledger.paid, endpoint.ledger.repeated) == (1, 0)


async def test_error_bodies_of_scripts_reach_the_client():
    """A status with a body of one's own arrives as it is: here insufficient_quota."""
    quota = {"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}
    script = Faults.always(Status(429, quota, retry_after_s=0.5))
    async with SimulatedEndpoint(script=script) as endpoint, client_of(endpoint) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="m", messages=MESSAGES)
    assert refused.value.code == "insufficient_quota"
    assert refused.value.response.headers["retry-after-ms"] == "500"


async def test_html_arrives_as_text():
    """A 200 of HTML is handed out by this client as a plain string, as it does in the field."""
    script = Faults.always(Html("<html>hotel</html>"))
    async with SimulatedEndpoint(script=script) as endpoint, client_of(endpoint) as client:
        reply = await client.chat.completions.create(model="m", messages=MESSAGES)
    assert str(reply) == "<html>hotel</html>"


async def test_short_refused_and_empty_replies_can_be_written():
    """A reply function may give fewer choices than asked for, None, and a finish reason."""
    answers = [Completion(None, "content_filter"), "fine"]
    async with (
        SimulatedEndpoint(reply=lambda _: answers) as endpoint,
        client_of(endpoint) as client,
    ):
        reply = await client.chat.completions.create(model="m", messages=MESSAGES, n=4)
    assert [choice.message.content for choice in reply.choices] == [None, "fine"]
    assert reply.choices[0].finish_reason == "content_filter"


async def test_a_reply_function_that_raises_is_a_500_that_says_so():
    """What goes wrong in the test's own function is not hidden."""

    def broken(request):
        raise KeyError("prompt seven")

    async with SimulatedEndpoint(reply=broken) as endpoint, client_of(endpoint) as client:
        with pytest.raises(openai.InternalServerError, match="KeyError: 'prompt seven'"):
            await client.chat.completions.create(model="m", messages=MESSAGES)
