"""The parser reads what clients send, however it is cut; what it cannot read it refuses."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.testing import SimulatedEndpoint
from distilabel.testing.http1 import ProtocolError, RequestParser, reply_bytes

SIZED = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
    b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
)
BARE = b"\r\nGET http://host:1/d HTTP/1.0\r\n\r\n"
EMPTY_CHUNKED = b"POST /e HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
STREAM = SIZED + CHUNKED + BARE + EMPTY_CHUNKED + SIZED


def parse(pieces: list[bytes]) -> list[tuple[str, str, bytes, bool]]:
    """The requests found in a stream: method, path, body, whether the connection is kept."""
    parser, found = RequestParser(), []
    for piece in pieces:
        parser.feed(piece)
        while (request := parser.next_request()) is not None:
            head = request.head
            found.append((request.method, request.path, request.body, head.is_kept_alive))
    assert parser.buffered_bytes == 0
    return found


EXPECTED = [
    ("POST", "/a", b"hello", True),
    ("POST", "/c", b"hello world", True),
    ("GET", "/d", b"", False),
    ("POST", "/e", b"", True),
    ("POST", "/a", b"hello", True),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_cut_gives_the_same_requests(cuts):
    """Pipelined requests come out the same wherever the stream is cut."""
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(places)]
    assert parse(pieces) == EXPECTED


def test_byte_by_byte():
    """One byte at a time is no different."""
    assert parse([STREAM[i : i + 1] for i in range(len(STREAM))]) == EXPECTED


def test_headers_are_joined_and_lowered():
    """Repeated headers are joined by a comma, names are in lower case, the query is kept."""
    parser = RequestParser()
    parser.feed(CHUNKED + SIZED)
    chunked, sized = parser.next_request(), parser.next_request()
    assert chunked.head.headers()["x-a"] == "1, 2"
    assert sized.head.value(b"host") == b"x"
    assert sized.head.value(b"nothing") is None
    assert sized.head.query == "b=c"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n+5\r\nhello\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nhello\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"x" * 300, 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 101\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n65\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 101, 413),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 300, 431),
    ],
)
def test_what_cannot_be_read_is_refused(data, status):
    """Heads and bodies that contradict themselves, or are too large, are refused with a status."""
    parser = RequestParser(head_max_bytes=200, body_max_bytes=100)
    parser.feed(data)
    with pytest.raises(ProtocolError) as refused:
        parser.next_request()
    assert refused.value.status == status


def test_an_expectation_is_met_once():
    """100-continue is asked for once, and not after the body has begun."""
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.next_request() is None
    assert parser.take_expectation()
    assert not parser.take_expectation()
    parser.feed(b"ok")
    assert parser.next_request().body == b"ok"


def test_replies_have_a_reason_even_if_unknown():
    """A status that nobody has named is sent all the same."""
    assert reply_bytes(299, (), b"").startswith(b"HTTP/1.1 299 Unknown\r\n")


def test_the_wire_pipelining_expectation_and_close(connect, post, read_reply):
    """Over a socket: pipelined requests are answered in order, 100 precedes, close closes."""
    with SimulatedEndpoint(reply=lambda request: request.prompt) as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(post("first") + post("second"))
        assert [b"first" in read_reply(connection)[2]] == [True]
        waiting = post("third").replace(
            b"host: x\r\n", b"expect: 100-continue\r\nconnection: close\r\n"
        )
        head, _, body = waiting.partition(b"\r\n\r\n")
        connection = connect(endpoint.url)
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        status, _, reply = read_reply(connection)
        assert (status, b"third" in reply) == (200, True)
        assert connection.recv(1) == b""


def test_a_request_that_is_none_is_answered_and_closed(connect, read_reply):
    """Nonsense gets a 400 in OpenAI's shape, and the connection is closed."""
    with SimulatedEndpoint() as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(b"nonsense\r\n\r\n")
        status, _, body = read_reply(connection)
        assert (status, b'"error"' in body) == (400, True)
        assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /nowhere", 404),
        (b"GET /endpoints/x/nowhere", 404),
        (b"GET /v1/chat/completions", 405),
        (b"DELETE /v2/endpoint/org/name", 405),
        (b"GET /v2/elsewhere", 404),
        (b"GET /_sim/nothing", 404),
        (b"POST /v1/chat/completions", 400),
        (b"POST /", 400),
    ],
)
def test_other_paths_and_methods_are_refused(connect, read_reply, request_line, status):
    """Unknown paths are 404, wrong methods 405, missing bodies 400."""
    with SimulatedEndpoint() as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(request_line + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        assert read_reply(connection)[0] == status
