"""Logging in, and what is said when a server fails; with servers that are made up."""

import sys
import traceback
from types import SimpleNamespace

import httpx
import pytest
from argilla_people import free_port, labelled
from pydantic import SecretStr

from distilabel.argilla.layout import Settings
from distilabel.argilla.server import ArgillaServer, log_in
from distilabel.dataset import CustomDataset
from distilabel.errors import (
    ArgillaError,
    ConfigurationError,
    MissingDependencyError,
    MissingKeyError,
)

CANARY = "canary-of-a-key"


def server(*replies: httpx.Response | Exception, waits: list | None = None) -> ArgillaServer:
    """A server that gives these replies, one after another."""
    left = iter(replies)

    def handle(_: httpx.Request) -> httpx.Response:
        reply = next(left)
        if isinstance(reply, Exception):
            raise reply
        return reply

    http = httpx.Client(transport=httpx.MockTransport(handle), base_url="http://u:p@argilla.test/")
    return ArgillaServer(http, pause=(waits if waits is not None else []).append)


def done(**body) -> httpx.Response:
    """A reply of a server that is well."""
    return httpx.Response(200, json=body)


def test_the_package_is_asked_for(monkeypatch):
    """Without the package argilla, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "argilla", None)
    with pytest.raises(MissingDependencyError, match=r"checkout.*pip install '\.\[argilla\]'"):
        labelled(1).push_to_argilla("x", "admin", api_key=CANARY)


def test_a_key_is_asked_for():
    """Without any key, the error says where one can be given."""
    with pytest.raises(MissingKeyError, match="ARGILLA_API_KEY"):
        labelled(1).push_to_argilla("x", "admin")
    with pytest.raises(MissingKeyError):
        CustomDataset.from_argilla("x", "admin", api_url="http://127.0.0.1:1")


def test_a_server_that_is_down():
    """A server that does not answer is named, without credentials, and so is what to do."""
    url = f"http://user:{CANARY}@127.0.0.1:{free_port()}"
    with pytest.raises(
        ArgillaError, match=r"no Argilla server answers at http://127.0.0.1"
    ) as down:
        labelled(1).push_to_argilla("x", "admin", api_url=url, api_key=CANARY)
    shown = "".join(
        traceback.TracebackException.from_exception(down.value, capture_locals=True).format()
    )
    ours = shown[shown.index("custom.py") :]  # above is this test, which knows the key
    assert "SecretStr" in ours
    assert down.value.__cause__ is down.value.__context__ is None
    assert f"'{CANARY}'" not in ours
    assert CANARY not in str(down.value)


def test_a_key_that_no_header_can_hold():
    """A key with characters that no header can hold is told without showing it."""
    with pytest.raises(ConfigurationError, match="Copy it again") as wrong:
        labelled(1).push_to_argilla("x", "admin", api_key=f"{CANARY}\n\u2026")
    assert CANARY not in str(wrong.value)


def test_what_the_program_logged_in_with_is_used(monkeypatch):
    """A client that is given comes first, then one that the program made before."""
    import argilla

    clients = [SimpleNamespace(http_client=httpx.Client(base_url=f"http://{n}")) for n in "ab"]
    monkeypatch.setattr(argilla.Argilla, "_default_client", clients[0])
    with log_in() as found:
        assert found.url == "http://a"
    with log_in(client=clients[1]) as found:
        assert found.url == "http://b"
    assert not clients[0].http_client.is_closed
    with pytest.raises(ArgillaError), log_in(api_url="http://127.0.0.1:1", api_key=SecretStr("k")):
        pass
    assert argilla.Argilla._default_client is clients[0]


RECORD = {"external_id": "1", "suggestions": []}


def test_a_batch_is_sent_again():
    """A batch is sent again if the connection breaks or the server is busy, with waits."""
    waits = []
    again = server(httpx.ReadTimeout("slow"), httpx.Response(503), done(items=[]), waits=waits)
    again.put("d", [RECORD])
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("replies", "status", "match"),
    [
        ([httpx.ConnectError("no")] * 3, None, "gave no answer .ConnectError.*push again"),
        ([httpx.Response(500, text="a\x1b[31m")], 500, "failed with 500 .a .31m"),
        ([httpx.Response(502)] * 3, 502, "push again"),
        ([httpx.Response(401)], 401, "Log in again"),
        ([httpx.Response(403)], 403, "does not let you"),
        ([httpx.Response(422, text="bad")], 422, "refused the request with 422: bad"),
        ([httpx.Response(200, text="<html>")], 500, "is this an Argilla server"),
    ],
)
def test_what_is_said_when_a_server_fails(replies, status, match):
    """Each failure says whose fault it is and what to do, and shows no credentials."""
    with pytest.raises(ArgillaError, match=match) as failed:
        server(*replies).put("d", [RECORD])
    assert failed.value.status == status
    assert "u:p" not in str(failed.value)
    assert "\x1b" not in str(failed.value)


def test_a_data_set_is_made_whole_or_not_at_all():
    """A data set that could not be made is taken away again."""
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        failed = request.url.path.endswith("questions")
        return httpx.Response(422 if failed else 200, json={"id": "d"})

    http = httpx.Client(transport=httpx.MockTransport(handle), base_url="http://argilla.test")
    with pytest.raises(ArgillaError, match="422"):
        ArgillaServer(http).create("x", "w", Settings([{}], [{}], [], []))
    assert asked[-1] == ("DELETE", "/api/v1/datasets/d")


def test_a_draft_is_told():
    """A data set of this name that is a draft takes no records, and the error says so."""
    draft = {"name": "x", "workspace_id": "w", "status": "draft", "id": "d"}
    with pytest.raises(ArgillaError, match="is a draft"):
        server(done(items=[draft])).find("x", "w")


def test_names_of_people_as_far_as_they_may_be_seen():
    """Who may not see the names of people gets those of the workspace, or none."""
    nobody = server(httpx.Response(403), httpx.Response(403))
    assert nobody.usernames("w") == {}
    some = server(httpx.Response(403), done(items=[{"id": "1", "username": "ann"}]))
    assert some.usernames("w") == {"1": "ann"}


def test_how_much_was_pushed_is_told():
    """A push that fails in the middle says how many records the server has."""
    replies = [
        done(items=[{"name": "admin", "id": "w"}]),
        done(items=[{"name": "x", "workspace_id": "w", "status": "ready", "id": "d"}]),
    ]
    rows = labelled(300)
    wanted = rows.to_argilla().layout.settings()
    kinds = (wanted.fields, wanted.questions, wanted.metadata, wanted.vectors)
    found = [[{**each, "id": each["name"]} for each in items] for items in kinds]
    replies += [done(items=items) for items in found]
    replies += [done(items=[]), httpx.Response(500)]
    left = iter(replies)
    transport = httpx.MockTransport(lambda _: next(left))
    client = SimpleNamespace(http_client=httpx.Client(transport=transport, base_url="http://a"))
    with pytest.raises(ArgillaError) as failed:
        rows.push_to_argilla("x", "admin", client=client)
    assert failed.value.records_pushed == 256
