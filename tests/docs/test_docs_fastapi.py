"""The app of docs/howto-fastapi.md, served by uvicorn on loopback: it streams, and it stops."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from distilabel.testing import Delay, SimRequest, SimulatedEndpoint, Status

PAGE = Path(__file__).parents[2] / "docs" / "howto-fastapi.md"


def app_of_the_page() -> object:
    """The app that the first snippet of the page makes."""
    code = PAGE.read_text().split("```python\n")[1].split("```")[0]
    namespace: dict = {"__name__": "app"}
    exec(compile(code, str(PAGE), "exec"), namespace)  # noqa: S102
    return namespace["app"]


@contextmanager
def served(app: object) -> Iterator[str]:
    """The app behind uvicorn, in a thread with an event loop of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        assert not thread.is_alive()


def by_prompt(request: SimRequest) -> Delay | Status | None:
    """What happens to a prompt is what it says."""
    if "never" in request.prompt:
        return Delay(3600)
    return Status(401) if "locked" in request.prompt else None


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedEndpoint]:
    """A provider that the environment leads to."""
    with SimulatedEndpoint(script=by_prompt) as endpoint:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-docs")
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.openai_url)
        yield endpoint


@pytest.mark.parametrize(("route", "mark"), [("/rows.jsonl", ""), ("/rows", "data: ")])
def test_a_row_is_sent_while_others_hang_and_a_disconnect_ends_the_run(provider, route, mark):
    """The row that is done is there at once; when its reader leaves, no call is left in flight."""
    prompts = ["never 1", "at once", "never 2"]
    with served(app_of_the_page()) as url, httpx.Client(trust_env=False, timeout=30) as client:
        with client.stream("POST", url + route, json={"prompts": prompts}) as reply:
            lines = reply.iter_lines()  # held: dropping it would close the connection
            first = next(lines)
            assert first.startswith(mark)
            assert json.loads(first.removeprefix(mark))["index"] == 1
            provider.wait_until(lambda ledger: ledger.in_flight == 2, timeout_s=30)
        provider.wait_until(lambda ledger: ledger.in_flight == 0, timeout_s=30)
        sent = provider.ledger.report()
        assert (sent.requests, sent.delivered, sent.abandoned) == (3, 1, 2)
        again = client.post(url + route, json={"prompts": ["at once"]})
        assert again.status_code == 200


@pytest.mark.usefixtures("provider")
def test_what_ends_the_run_is_told_in_a_message():
    """A key that is not accepted comes as a last message, since the status was sent before."""
    with served(app_of_the_page()) as url, httpx.Client(trust_env=False, timeout=30) as client:
        reply = client.post(url + "/rows.jsonl", json={"prompts": ["locked"]})
    assert json.loads(reply.text.splitlines()[-1]) == {"error": "RunFatalError"}
