"""The same outcomes through every way to reach a server: our own client, or one of the user's."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import httpx2
import openai
import pytest

from distilabel.errors import ConfigurationError, RunFatalError
from distilabel.llm import InferenceEndpointsLLM, OpenAILLM, http
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import (
    Drip,
    Faults,
    Hangup,
    Html,
    Huge,
    MalformedJson,
    NeverAnswers,
    Reset,
    SimRequest,
    SimulatedEndpoint,
    Status,
    Truncated,
)

USERS = ["httpx", "httpx2", "openai", "openai-five-retries", "openai-over-httpx"]
LANES = ["own", "aiohttp", *USERS]
KEY = "sk-of-the-test"


@asynccontextmanager
async def _client(lane: str, endpoint: SimulatedEndpoint) -> AsyncIterator[object | None]:
    """The user's client for a lane, which the user closes.

    Loading certificates takes longer than most of these tests: none is needed on loopback.
    """
    url = endpoint.openai_url
    match lane:
        case "httpx":
            async with httpx.AsyncClient(verify=False) as client:  # noqa: S501
                yield client
        case "httpx2":
            async with httpx2.AsyncClient(verify=False) as client:
                yield client
        case "openai" | "openai-five-retries":
            retries = 5 if lane == "openai-five-retries" else 2
            async with (
                openai.DefaultAsyncHttpxClient(verify=False) as http,
                openai.AsyncOpenAI(
                    api_key=KEY, base_url=url, max_retries=retries, http_client=http
                ) as client,
            ):
                yield client
        case "openai-over-httpx":
            async with (
                httpx.AsyncClient(verify=False) as http,  # noqa: S501
                openai.AsyncOpenAI(api_key=KEY, base_url=url, http_client=http) as client,
            ):
                yield client
        case _:
            yield None


@pytest.fixture
def ask(quick, monkeypatch) -> Callable:
    """Asks for one row through a lane: the row, or the error that stopped the run."""

    async def run(lane: str, endpoint: SimulatedEndpoint, n: int = 1, retries: int = 5, **settings):
        if lane == "aiohttp":  # the lane for proxies, without one
            monkeypatch.setattr(http, "proxy_for", lambda _: "some proxy")
        async with _client(lane, endpoint) as client:
            llm = OpenAILLM(
                TextGenerationTask(),
                model="m",
                client=client,
                openai_api_key=KEY,
                base_url=endpoint.openai_url,
                **settings,
            )
            llm.retry_policy = dataclasses.replace(quick, transient_retries_max=retries)
            pipe = Pipeline(llm)
            try:
                async with pipe.stream([{"input": "a"}], num_generations=n) as rows:
                    return await anext(rows)
            finally:
                statistics = llm.permits.statistics()
                assert statistics.in_use == statistics.waiting == 0

    return run


def _texts(request: SimRequest) -> list[str]:
    return [f"text {k}" for k in range(request.n)]


@pytest.mark.parametrize("lane", LANES)
async def test_every_lane_sends_the_same_request(serve, ask, lane) -> None:
    """Model, messages, n, parameters and key arrive alike, and one request is made."""
    seen: list[SimRequest] = []

    def reply(request: SimRequest) -> list[str]:
        seen.append(request)
        return _texts(request)

    endpoint = serve(reply=reply, require_key=KEY)
    row = await ask(lane, endpoint, n=3, temperature=0.5, seed=7, stop=["end"])
    assert row["generations"] == ["text 0", "text 1", "text 2"]
    assert endpoint.ledger.requests == 1
    body = dict(seen[0].body)
    messages = body.pop("messages")
    assert [message["role"] for message in messages] == ["system", "user"]
    assert body == {
        "model": "m",
        "n": 3,
        "temperature": 0.5,
        "seed": 7,
        "stop": ["end"],
        "max_tokens": 128,
        "top_p": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    }


CORE = [
    (Status(400), "http_400", 1),
    (Status(413), "context_length", 1),
    (Status(500), "http_500", 6),
    (Status(503), "http_503", 6),
    (Status(408), "http_408", 6),
    (Html(), "not_json", 3),
    (MalformedJson(), "not_json", 3),
    (Status(200, b""), "not_json", 3),
    (Status(200, {}), "no_choices", 3),
    (Status(200, {"choices": None}), "no_choices", 3),
    (Status(200, {"choices": [{"message": {"content": None}}]}), "content_none", 3),
    (Reset(), "connection", 6),
    (Hangup(), "connection", 6),
    (Truncated(), "truncated", 6),
    (NeverAnswers(), "timeout", 2),
    (Drip(0.02, 3), "timeout", 2),
    (Status(200, b"no gzip", {"content-encoding": "gzip"}), "truncated", 6),
]


@pytest.mark.parametrize("lane", ["own", "aiohttp", "httpx", "httpx2", "openai-five-retries"])
@pytest.mark.parametrize(("fault", "cause", "calls"), CORE, ids=lambda value: str(value)[:40])
async def test_every_lane_has_the_same_failures(serve, ask, lane, fault, cause, calls) -> None:
    """Cause and number of requests are the same, and no client retries on its own account."""
    endpoint = serve(script=Faults.always(fault))
    patience = {"timeout": 0.15, "retries": 1} if cause == "timeout" else {}
    row = await ask(lane, endpoint, **patience)
    assert row["generations"] == [None]
    causes = [error.cause for error in row.errors]
    if lane.startswith("httpx") and isinstance(fault, Hangup):
        cause = "truncated"  # httpx does not tell a connection that broke from a reply that did
    assert causes == [cause]
    assert [error.attempts for error in row.errors] == [calls]
    assert endpoint.ledger.requests == calls


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (Status(402), "payment_required"),
        (Status(404), "not_found"),
        (Status(429, {"error": {"code": "insufficient_quota"}}), "insufficient_quota"),
        (Status(429, headers={"retry-after": "7200"}), "wait_too_long"),
    ],
)
async def test_every_lane_has_the_same_fatal_errors(serve, ask, lane, fault, cause) -> None:
    """What no row can survive is found with one request, whatever the client."""
    endpoint = serve(script=Faults.always(fault))
    with pytest.raises(RunFatalError) as caught:
        await ask(lane, endpoint)
    assert caught.value.cause == cause
    assert endpoint.ledger.requests == 1


@pytest.mark.parametrize("lane", LANES)
async def test_every_lane_recovers(serve, ask, lane) -> None:
    """A throttle, a reset, a 500 and a useless reply on the way do no harm."""
    faults = [Status(429, retry_after_s=0.001), Reset(), Status(500), Html(), None]
    endpoint = serve(reply=_texts, script=Faults.sequence(faults))
    row = await ask(lane, endpoint)
    assert row["generations"] == ["text 0"]
    assert row.errors == ()
    assert endpoint.ledger.requests == 5


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_lane_follows_a_redirect(serve, ask, lane, status) -> None:
    """The key does not go to another server, and neither does the prompt."""
    other = serve(reply=_texts)
    elsewhere = {"location": f"{other.openai_url}/chat/completions"}
    endpoint = serve(script=Faults.always(Status(status, b"", elsewhere)))
    with pytest.raises(RunFatalError) as caught:
        await ask(lane, endpoint)
    assert caught.value.cause == "redirect"
    assert endpoint.ledger.requests == 1
    assert sum(other.ledger.by_route.values()) == 0


@pytest.mark.parametrize("lane", LANES)
async def test_a_server_that_is_not_there_is_a_transient_failure(serve, ask, lane) -> None:
    """A refused connection is tried six times, and says which server it was."""
    endpoint = serve()
    endpoint.__exit__(None, None, None)
    row = await ask(lane, endpoint)
    (error,) = row.errors
    assert error.cause in {"connect", "connection"}
    assert error.attempts == 6
    assert endpoint.openai_url in error.message


@pytest.mark.parametrize("lane", USERS)
async def test_a_client_of_the_users_stays_open(serve, quick, lane) -> None:
    """After two runs the client still works for its owner."""
    endpoint = serve(reply=_texts)
    async with _client(lane, endpoint) as client:
        llm = OpenAILLM(
            TextGenerationTask(), "m", client, openai_api_key=KEY, base_url=endpoint.openai_url
        )
        for _ in range(2):
            assert (await llm.agenerate([{"input": "a"}]))[0][0]["raw_output"] == "text 0"
        if lane.startswith("openai"):
            assert [model.id async for model in await client.models.list()]
        else:
            assert (await client.get(f"{endpoint.openai_url}/models")).status_code == 200


async def test_the_sdks_base_url_is_used_and_shown(serve) -> None:
    """An `AsyncOpenAI` for another server needs no further URL, and no field of OpenAI's alone."""
    bodies: list[dict] = []

    def reply(request: SimRequest) -> str:
        bodies.append(dict(request.body))
        return "fine"

    endpoint = serve(reply=reply)
    async with openai.AsyncOpenAI(api_key=KEY, base_url=endpoint.openai_url) as client:
        llm = OpenAILLM(TextGenerationTask(), "m", client)
        assert endpoint.openai_url in repr(llm)
        assert (await llm.agenerate([{"input": "a"}]))[0][0]["raw_output"] == "fine"
    assert "max_completion_tokens" not in bodies[0]
    assert bodies[0]["max_tokens"] == 128


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (httpx.Client, "httpx.AsyncClient"),
        (httpx2.Client, "httpx2.AsyncClient"),
        (lambda: openai.OpenAI(api_key=KEY), "AsyncOpenAI"),
        (object, "not object"),
        (lambda: "client", "not str"),
    ],
)
def test_sync_clients_are_refused_when_the_llm_is_made(make, says) -> None:
    """A client that would block the loop, or that is none, is refused with what to give instead."""
    client = make()
    with pytest.raises(ConfigurationError, match=says):
        OpenAILLM(TextGenerationTask(), client=client, openai_api_key=KEY)
    if hasattr(client, "close"):
        client.close()


@pytest.mark.parametrize("kind", [httpx, httpx2])
async def test_inference_endpoints_take_a_client_too(serve_hub, kind) -> None:
    """Requests to the endpoint go through the user's client, with the token."""
    endpoint = serve_hub(reply=lambda _: "fine", require_key="hf_x")
    async with kind.AsyncClient() as client:
        llm = InferenceEndpointsLLM(
            "mine", TextGenerationTask(), "me", token="hf_x", client=client, prompt_format="notus"
        )
        assert (await llm.agenerate([{"input": "a"}]))[0][0]["raw_output"] == "fine"
    assert endpoint.ledger.by_route == {"hub": 1, "text-generation": 1}


@pytest.mark.parametrize(
    ("spared", "proxied", "direct"), [("", 1, 0), ("127.0.0.1", 0, 1), ("models.example", 1, 0)]
)
async def test_a_proxy_that_the_environment_names_is_used(
    serve, writer, monkeypatch, spared, proxied, direct
) -> None:
    """Unless `NO_PROXY` spares the server; both ways give the same row."""
    seen: list[str] = []
    endpoint = serve(reply=lambda _: "direct")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head.partition(b" HTTP/")[0].decode())
        body = b'{"choices": [{"message": {"content": "relayed"}}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", spared)
        llm = writer(endpoint)
        ((output,),) = await llm.agenerate([{"input": "a"}])
    assert output["raw_output"] == ("relayed" if proxied else "direct")
    assert seen == [f"POST {endpoint.openai_url}/chat/completions"] * proxied
    assert endpoint.ledger.requests == direct


async def test_inference_endpoints_take_no_sdk_of_openai(serve_hub) -> None:
    """An `AsyncOpenAI` is refused there: it knows nothing of the hub."""
    serve_hub()
    async with openai.AsyncOpenAI(api_key=KEY) as client:
        with pytest.raises(ConfigurationError, match="httpx"):
            InferenceEndpointsLLM("mine", TextGenerationTask(), token="hf_x", client=client)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("is_compressed", [False, True])
async def test_every_lane_leaves_a_reply_that_is_too_large(serve, ask, lane, is_compressed) -> None:
    """More than 32 MB, unpacked or as it comes, are not read by any client."""
    endpoint = serve(script=Faults.always(Huge(33, is_compressed=is_compressed)))
    row = await ask(lane, endpoint, retries=0)
    assert [error.cause for error in row.errors] == ["reply_too_large"]
    assert endpoint.ledger.requests == 1


def test_fields_that_are_named_like_secrets_are_not_shown(monkeypatch) -> None:
    """Neither by `settings` nor by `repr`, at any depth; what only sounds alike is."""
    secret = "canary-4711-0815"
    body = {
        "api_key": secret,
        "auth": secret,
        "provider": {"apiKey": secret, "options": [{"access_token": secret}]},
        "user_password": [secret],
        "min_tokens": 7,
        "tokenizer_mode": "slow",
        "author": "me",
        "stop_token_ids": [1, 2],
    }
    llm = OpenAILLM(TextGenerationTask(), "m", base_url="http://127.0.0.1:9/v1", extra_body=body)
    assert secret not in f"{llm.settings()}{llm!r}"
    shown = llm.settings()
    assert shown["min_tokens"] == 7
    assert shown["tokenizer_mode"] == "slow"
    assert shown["author"] == "me"
    assert shown["stop_token_ids"] == [1, 2]


async def test_fields_that_are_named_like_secrets_are_sent(serve, ask) -> None:
    """The server gets them as they are."""
    seen: list[SimRequest] = []

    def reply(request: SimRequest) -> str:
        seen.append(request)
        return "fine"

    await ask("own", serve(reply=reply), extra_body={"api_key": "canary-4711-0815"})
    assert seen[0].body["api_key"] == "canary-4711-0815"
