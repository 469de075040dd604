"""A client of the user's in several event loops: no reply is paid for and lost."""

import asyncio
import gc
import threading
from collections.abc import Callable
from functools import partial

import anyio
import httpx
import httpx2
import openai
import pytest

from distilabel.errors import ConfigurationError
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import SimulatedEndpoint

KEY = "sk-of-the-test"
KINDS = ["httpx", "httpx2", "openai", "openai-over-httpx"]
ROWS = 5


def _client(kind: str, endpoint: SimulatedEndpoint) -> object:
    """A client that nobody closes. Certificates take long to load, and loopback needs none."""
    url = endpoint.openai_url
    match kind:
        case "httpx":
            return httpx.AsyncClient(verify=False)  # noqa: S501
        case "httpx2":
            return httpx2.AsyncClient(verify=False)
        case "openai":
            http = openai.DefaultAsyncHttpxClient(verify=False)
            return openai.AsyncOpenAI(api_key=KEY, base_url=url, http_client=http)
        case _:
            http = httpx.AsyncClient(verify=False)  # noqa: S501
            return openai.AsyncOpenAI(api_key=KEY, base_url=url, http_client=http)


@pytest.fixture
def given() -> Callable[..., OpenAILLM]:
    """Makes a generator that goes through a client of the user's."""

    def make(endpoint: SimulatedEndpoint, client: object) -> OpenAILLM:
        return OpenAILLM(
            TextGenerationTask(),
            "m",
            client,
            openai_api_key=KEY,
            base_url=endpoint.openai_url,
        )

    return make


def _rows(name: object) -> list[dict[str, str]]:
    return [{"input": f"{name} {k}"} for k in range(ROWS)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_serves_one_loop_after_another(serve, given, kind) -> None:
    """Three runs in a loop each have all their rows, and each row is asked for once."""
    endpoint = serve(reply=lambda _: "fine")
    pipe = Pipeline(given(endpoint, _client(kind, endpoint)))
    for turn in range(3):
        made = pipe.generate(_rows(turn), verbose=False)
        assert made.run.failed_by_cause == {}
        assert endpoint.ledger.requests == ROWS * (turn + 1)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_connections_that_the_user_left_in_a_closed_loop_are_not_used(serve, given, kind) -> None:
    """What the client did before a run, in a loop of the user's own, costs no row."""
    endpoint = serve(reply=lambda _: "fine")
    client = _client(kind, endpoint)
    http = getattr(client, "_client", client)

    async def by_the_user() -> None:
        url = f"{endpoint.openai_url}/models"
        key = {"Authorization": f"Bearer {KEY}"}
        async with anyio.create_task_group() as group:
            for _ in range(ROWS):
                group.start_soon(partial(http.get, url, headers=key))

    asyncio.run(by_the_user())
    made = Pipeline(given(endpoint, client)).generate(_rows("after"), verbose=False)
    assert made.run.failed_by_cause == {}
    assert endpoint.ledger.requests == ROWS
    gc.collect()  # the sockets that nobody could close, while the warnings of them are off


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_in_use_is_refused_in_another_loop(serve, given, kind) -> None:
    """It is said before any call and with what to do; after the first run it serves the second."""
    endpoint = serve(reply=lambda _: "fine")
    client = _client(kind, endpoint)
    first, second = given(endpoint, client), given(endpoint, client)
    is_open, may_end = threading.Event(), threading.Event()

    async def hold() -> None:
        async with first.session():
            is_open.set()
            await asyncio.to_thread(may_end.wait)

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    try:
        assert is_open.wait(20)
        with pytest.raises(ConfigurationError, match="in place of client="):
            second.generate(_rows("refused"))
    finally:
        may_end.set()
        thread.join()
    assert endpoint.ledger.requests == 0
    assert len(second.generate(_rows("taken"))) == ROWS
    assert endpoint.ledger.requests == ROWS


def test_runs_in_many_threads_lose_no_reply(serve, given) -> None:
    """Of eight at once with one client, each is refused whole or has all of its rows."""
    endpoint = serve(reply=lambda _: "fine")
    llm = given(endpoint, _client("openai", endpoint))
    begin = threading.Barrier(8)
    ends: list[object] = []

    def run(name: int) -> None:
        begin.wait(20)
        try:
            ends.append(Pipeline(llm).generate(_rows(name), verbose=False).run.failed_by_cause)
        except ConfigurationError:
            ends.append("refused")

    threads = [threading.Thread(target=run, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served = ends.count({})
    assert served >= 1
    assert served + ends.count("refused") == 8
    assert endpoint.ledger.requests == served * ROWS


async def test_two_models_share_a_client_in_one_loop(serve, given) -> None:
    """The one that ends first leaves the client to the other."""
    endpoint = serve(reply=lambda _: "fine")
    client = _client("httpx", endpoint)
    first, second = given(endpoint, client), given(endpoint, client)
    async with second.session():
        await first.agenerate(_rows("first"))
        await second.agenerate(_rows("second"))
    assert endpoint.ledger.requests == 2 * ROWS
    await client.aclose()


def test_a_client_whose_loop_died_is_free_again(serve, given) -> None:
    """A loop that was closed without an end of its sessions holds nothing."""
    endpoint = serve(reply=lambda _: "fine")
    llm = given(endpoint, _client("httpx2", endpoint))
    loop = asyncio.new_event_loop()
    session = llm.session()
    loop.run_until_complete(session.__aenter__())
    loop.close()
    assert len(llm.generate(_rows("later"))) == ROWS
    assert endpoint.ledger.requests == ROWS


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_client_without_a_pool_is_used_as_it_is(serve, given, module) -> None:
    """A transport of another build has nothing that could be closed, and works in each loop."""
    body = {"choices": [{"message": {"content": "mocked"}}]}
    mock = module.MockTransport(lambda _: module.Response(200, json=body))
    llm = given(serve(), module.AsyncClient(transport=mock))
    for _ in range(2):
        outputs = llm.generate(_rows("mock"))
        assert [[each["raw_output"] for each in row] for row in outputs] == [["mocked"]] * ROWS
