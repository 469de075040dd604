"""Every fault does on the wire what it says, seen through raw sockets."""

import gzip
import json
import socket
import time

import pytest

from distilabel.testing import (
    Delay,
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


def drain(connection: socket.socket) -> tuple[bytes, str]:
    """Everything until the end, and how it ended."""
    data = b""
    try:
        while piece := connection.recv(1 << 20):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    except TimeoutError:
        return data, "silence"
    return data, "closed"


@pytest.fixture
def ask(connect, post):
    """Sends one request to an endpoint with a fault, and gives what came and how it ended."""

    def send(fault, timeout_s: float = 5.0):
        with SimulatedEndpoint(script=Faults.always(fault), reply=lambda _: "good") as endpoint:
            connection = connect(endpoint.url)
            connection.settimeout(timeout_s)
            connection.sendall(post())
            result = drain(connection)
            connection.close()
            endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
        return *result, endpoint.ledger

    return send


def test_a_reset_before_the_reply(ask):
    """Reset sends nothing and resets the connection; no status is noted."""
    data, end, ledger = ask(Reset())
    assert (data, end) == (b"", "reset")
    assert ledger.statuses == {0: 1}
    assert ledger.paid == 0


def test_a_reset_after_some_bytes(ask):
    """Reset(after_bytes) sends exactly so many bytes; the 200 is paid, but not delivered."""
    data, end, ledger = ask(Reset(after_bytes=100))
    assert (len(data), end) == (100, "reset")
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (ledger.paid, ledger.delivered) == (1, 0)


def test_a_hangup(ask):
    """Hangup closes in good order without a reply."""
    assert ask(Hangup())[:2] == (b"", "closed")


@pytest.mark.parametrize("keep_bytes", [0, 10, None])
def test_a_truncated_body(ask, keep_bytes):
    """Truncated announces the whole body, sends a part, and closes."""
    data, end, ledger = ask(Truncated(keep_bytes))
    head, _, body = data.partition(b"\r\n\r\n")
    announced = int(head.rpartition(b"content-length: ")[2])
    assert len(body) == (announced // 2 if keep_bytes is None else keep_bytes)
    assert end == "closed"
    assert (ledger.paid, ledger.delivered, ledger.statuses) == (1, 0, {200: 1})
    assert not ledger.calls[0].is_delivered


def test_silence(ask):
    """NeverAnswers keeps the connection open and says nothing until the client goes away."""
    data, end, ledger = ask(NeverAnswers(), timeout_s=0.03)
    assert (data, end) == (b"", "silence")
    assert ledger.statuses == {0: 1}


def test_a_drip(connect, post):
    """Drip sends the reply a few bytes at a time; who leaves in the middle has paid for it."""
    script = Faults.always(Drip(every_s=0.01, bytes_each=4))
    with SimulatedEndpoint(script=script) as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(post())
        assert connection.recv(1000) == b"HTTP"
        connection.close()
        endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
    assert (endpoint.ledger.paid, endpoint.ledger.delivered) == (1, 0)


def on_a_kept_connection(connect, post, read_reply, fault, count=2):
    """The replies to several requests on one connection, each with the fault."""
    with SimulatedEndpoint(script=Faults.always(fault), reply=lambda _: "good") as endpoint:
        connection = connect(endpoint.url)
        replies = []
        for _ in range(count):
            connection.sendall(post())
            replies.append(read_reply(connection))
        endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
    return replies, endpoint.ledger


def test_a_drip_ends_whole_when_it_is_waited_for(connect, post, read_reply):
    """A patient client gets the whole reply out of a drip, and may use the connection again."""
    fault = Drip(every_s=0.0001, bytes_each=50)
    replies, ledger = on_a_kept_connection(connect, post, read_reply, fault)
    for status, _, body in replies:
        assert status == 200
        assert json.loads(body)["choices"][0]["message"]["content"] == "good"
    assert ledger.delivered == 2


def test_any_status_with_any_body_and_headers(connect, post, read_reply):
    """Status sends its code, body and headers, at once, and keeps the connection."""
    fault = Status(418, {"tea": True}, {"X-Pot": "short"}, retry_after_s=1.25)
    replies, ledger = on_a_kept_connection(connect, post, read_reply, fault)
    for status, headers, body in replies:
        assert (status, json.loads(body)) == (418, {"tea": True})
        assert headers["x-pot"] == "short"
        assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1250")
    assert ledger.statuses == {418: 2}


def test_malformed_json(connect, post, read_reply):
    """MalformedJson is whole for HTTP and broken for a JSON parser."""
    replies, _ = on_a_kept_connection(connect, post, read_reply, MalformedJson())
    for status, headers, body in replies:
        assert (status, headers["content-type"]) == (200, "application/json")
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)


def test_html(connect, post, read_reply):
    """Html is a 200 that says text/html."""
    replies, _ = on_a_kept_connection(connect, post, read_reply, Html())
    assert replies[0][1]["content-type"].startswith("text/html")
    assert replies[0][2].startswith(b"<html>")


def test_a_huge_body(connect, post, read_reply):
    """Huge sends so many megabytes of valid JSON, without holding them all in memory."""
    ((_, _, body),), ledger = on_a_kept_connection(connect, post, read_reply, Huge(3), count=1)
    assert len(body) == 3 << 20
    assert set(json.loads(body)["choices"][0]["message"]["content"]) == {"x"}
    assert ledger.delivered == 1


def test_a_huge_body_that_is_small_on_the_wire(connect, post, read_reply):
    """Compressed, Huge is a few kilobytes that unpack to so many megabytes."""
    fault = Huge(4, is_compressed=True)
    ((_, headers, body),), _ = on_a_kept_connection(connect, post, read_reply, fault, count=1)
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 20_000
    assert len(gzip.decompress(body)) == 4 << 20


def test_a_delay_then_another_fault(ask):
    """Delay waits, then does what comes after it."""
    begun_s = time.monotonic()
    data, end, _ = ask(Delay(0.03, then=Hangup()))
    assert (data, end) == (b"", "closed")
    assert time.monotonic() - begun_s >= 0.03


def test_a_huge_reply_that_is_not_read_is_not_delivered(connect, post):
    """A client that leaves in the middle of a reply has paid for it and has not got it."""
    with SimulatedEndpoint(script=Faults.always(Huge(32))) as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(post())
        connection.recv(1000)
        connection.close()
        endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
    assert (endpoint.ledger.paid, endpoint.ledger.delivered) == (1, 0)
    assert endpoint.ledger.abandoned == 0


def test_faults_on_other_routes(connect, read_reply):
    """on_route reaches the routes that are no generations."""
    script = Faults.on_route("models", Status(503))
    with SimulatedEndpoint(script=script) as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert read_reply(connection)[0] == 503


def test_a_script_sees_the_request_but_no_key(connect, post, read_reply):
    """A script is shown index, attempt, route, model, n, prompt, body and headers without a key."""
    seen: list[SimRequest] = []
    raw = post("tell me", n=2, max_tokens=9).replace(
        b"host: x\r\n", b"Host: x\r\nAuthorization: Bearer sk-canary\r\n"
    )
    with SimulatedEndpoint(script=seen.append) as endpoint:
        connection = connect(endpoint.url)
        for _ in range(2):
            connection.sendall(raw)
            read_reply(connection)
    first, second = seen
    assert (first.index, first.attempt, second.index, second.attempt) == (0, 1, 1, 2)
    assert (first.route, first.model, first.n, first.max_tokens) == ("chat", "m", 2, 9)
    assert first.prompt == "tell me"
    assert first.body["n"] == 2
    assert first.headers["host"] == "x"
    assert first.headers["authorization"] == "[hidden]"
    assert "sk-canary" not in repr(first)


def test_a_script_that_raises_is_a_500_that_says_so(connect, post, read_reply):
    """What goes wrong in the test's own script is not hidden."""

    def broken(request):
        raise LookupError("no such row")

    with SimulatedEndpoint(script=broken) as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(post())
        status, _, body = read_reply(connection)
    assert status == 500
    assert b"LookupError: no such row" in body


REQUESTS = [SimRequest(index=i, attempt=1, route="chat") for i in range(1000)]


def test_a_rate_is_kept_and_repeats():
    """Faults.rate hits about its share, the same requests every time, others with another seed."""
    hits = [bool(Faults.rate(0.2, Reset(), seed=1)(request)) for request in REQUESTS]
    assert 150 < sum(hits) < 250
    assert hits == [bool(Faults.rate(0.2, Reset(), seed=1)(request)) for request in REQUESTS]
    assert hits != [bool(Faults.rate(0.2, Reset(), seed=2)(request)) for request in REQUESTS]
    assert not any(Faults.rate(0.0, Reset())(request) for request in REQUESTS)
    assert all(Faults.rate(1.0, Reset())(request) for request in REQUESTS)


def test_ready_made_scripts():
    """first, sequence, on_index and any_of choose by the order of arrival."""
    reset, html = Reset(), Html()
    assert [Faults.first(2, reset)(request) for request in REQUESTS[:3]] == [reset, reset, None]
    sequence = Faults.sequence([None, html, reset])
    assert [sequence(request) for request in REQUESTS[:4]] == [None, html, reset, None]
    either = Faults.any_of(Faults.first(1, reset), Faults.always(html))
    assert [either(request) for request in REQUESTS[:2]] == [reset, html]
    assert Faults.always(reset)(SimRequest(index=0, attempt=1, route="models")) is None
