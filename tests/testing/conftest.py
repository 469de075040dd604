"""What several tests of the simulated endpoint need: a client that shows the bytes."""

import json
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

Connect = Callable[[str], socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens raw connections to a URL, and closes them at the end."""
    opened: list[socket.socket] = []

    def open_connection(url: str) -> socket.socket:
        parts = urlsplit(url)
        connection = socket.create_connection((parts.hostname, parts.port), timeout=5)
        opened.append(connection)
        return connection

    yield open_connection
    for connection in opened:
        connection.close()


@pytest.fixture
def post() -> Callable[..., bytes]:
    """Writes the bytes of a chat completion request."""

    def write(prompt: str = "hello", path: str = "/v1/chat/completions", **further) -> bytes:
        message = {"role": "user", "content": prompt}
        body = json.dumps({"model": "m", "messages": [message], **further}).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    return write


@pytest.fixture
def read_reply() -> Callable[[socket.socket], tuple[int, dict[str, str], bytes]]:
    """Reads one whole reply off a connection: status, headers, body."""

    def read(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _more(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        while len(body) < int(headers.get("content-length", "0")):
            body += _more(connection)
        return int(lines[0].split()[1]), headers, body

    return read


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    assert data, "the connection was closed in the middle of a reply"
    return data
