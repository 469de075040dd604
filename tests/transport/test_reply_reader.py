"""Replies read from bytes: every framing, cut at every place, and what is refused."""

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilabel.transport import HttpReply
from distilabel.transport.reply_body import BrokenOffError, InflatedBody, ReplyTooLargeError
from distilabel.transport.reply_head import HEAD_MAX_BYTES, BadReplyError
from distilabel.transport.reply_reader import ReplyReader

BODY = b'{"choices": [{"message": {"content": "Hello."}}]}'
OK = b"HTTP/1.1 200 OK\r\n"


def bare_deflate(data: bytes) -> bytes:
    """Deflate without its wrapper, as some servers send it."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def sized(body: bytes, *lines: bytes, start: bytes = OK) -> bytes:
    """A reply with a length."""
    fields = b"".join(line + b"\r\n" for line in lines)
    return start + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, *lines: bytes, step: int = 7, end: bytes = b"0\r\n\r\n") -> bytes:
    """A reply in chunks."""
    fields = b"".join(line + b"\r\n" for line in lines)
    chunks = [body[k : k + step] for k in range(0, len(body), step)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return OK + fields + b"Transfer-Encoding: chunked\r\n\r\n" + framed + end


def until_close(body: bytes, *lines: bytes, start: bytes = OK) -> bytes:
    """A reply that ends with the connection."""
    return start + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


GZIP, DEFLATE = b"content-encoding: gzip", b"Content-Encoding: deflate"
WHOLE = {
    "a length": sized(BODY),
    "a length and fields": sized(BODY, b"Date: today", b"x-empty:", b"X-Tab:\ta\tb "),
    "no reason": sized(BODY, start=b"HTTP/1.1 200\r\n"),
    "a name in odd letters": OK + b"cONTENT-lENGTH:  %d \r\n\r\n" % len(BODY) + BODY,
    "chunks": chunked(BODY),
    "chunks of a byte": chunked(BODY, step=1),
    "a chunk": chunked(BODY, step=1000),
    "chunks with extensions": chunked(BODY).replace(b"7\r\n", b"0007 ; name=value\r\n"),
    "trailers": chunked(BODY, end=b"000\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\n"),
    "gzip": sized(gzip.compress(BODY), GZIP),
    "gzip in chunks": chunked(gzip.compress(BODY), GZIP),
    "gzip twice over": sized(gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]), GZIP),
    "deflate": sized(zlib.compress(BODY), DEFLATE),
    "bare deflate": sized(bare_deflate(BODY), DEFLATE),
    "identity": sized(BODY, b"content-encoding: identity"),
    "an interim reply": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + sized(BODY),
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + chunked(BODY),
}
UNTIL_CLOSE = {
    "no length": until_close(BODY),
    "http/1.0": until_close(BODY, b"Server: old", start=b"HTTP/1.0 200 OK\r\n"),
    "gzip": until_close(gzip.compress(BODY), GZIP),
}


def fed(pieces: list[bytes]) -> HttpReply | None:
    """What comes of these pieces; nothing before the last one."""
    reader = ReplyReader()
    for piece in pieces[:-1]:
        assert reader.feed(piece) is None
    return reader.feed(pieces[-1])


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_a_reply_is_the_same_wherever_it_is_cut(data):
    """In one piece, in two cut at every place, and byte by byte, it gives the same reply."""
    cuts = [[data], *([data[:at], data[at:]] for at in range(1, len(data)))]
    for pieces in [*cuts, [bytes([byte]) for byte in data]]:
        reply = fed(pieces)
        assert reply is not None
        assert (reply.status, reply.body) == (200, BODY)


@pytest.mark.parametrize("data", UNTIL_CLOSE.values(), ids=UNTIL_CLOSE.keys())
def test_a_reply_without_a_length_ends_with_the_connection(data):
    """Cut at every place and byte by byte, the end of the connection makes it whole."""
    cuts = [[data], *([data[:at], data[at:]] for at in range(1, len(data)))]
    for pieces in [*cuts, [bytes([byte]) for byte in data]]:
        reader = ReplyReader()
        assert [reader.feed(piece) for piece in pieces] == [None] * len(pieces)
        reply = reader.end()
        assert (reply.status, reply.body, reader.is_reusable) == (200, BODY, False)


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_a_reply_that_ends_early_is_no_reply(data):
    """After any part of a reply with a length or in chunks, the end is an error."""
    for at in range(1, len(data)):
        reader = ReplyReader()
        assert reader.feed(data[:at]) is None
        with pytest.raises(BrokenOffError):
            reader.end()


def test_a_connection_carries_replies_of_every_kind_one_after_another():
    """What one reply needed has no bearing on the next."""
    reader = ReplyReader()
    for _ in range(2):
        for data in WHOLE.values():
            half = len(data) // 2
            assert reader.feed(data[:half]) is None
            assert reader.is_begun
            reply = reader.feed(data[half:])
            assert reply is not None
            assert (reply.body, reader.is_reusable, reader.is_begun) == (BODY, True, False)


@pytest.mark.parametrize("status", [204, 304])
def test_a_reply_without_a_body_ends_with_its_head(status):
    """Whatever its fields say of a body that it would have."""
    for line in (b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n", b""):
        reader = ReplyReader()
        reply = reader.feed(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, line))
        assert reply is not None
        assert (reply.status, reply.body, reader.is_reusable) == (status, b"", True)


@pytest.mark.parametrize(
    ("start", "line", "is_reusable"),
    [
        (OK, b"X: y", True),
        (OK, b"Connection: keep-alive", True),
        (OK, b"Connection: Close", False),
        (OK, b"Connection: upgrade, close", False),
        (b"HTTP/1.0 200 OK\r\n", b"X: y", False),
        (b"HTTP/1.0 200 OK\r\n", b"Connection: Keep-Alive", True),
        (b"HTTP/1.0 200 OK\r\n", b"Connection: keep-alive, close", False),
    ],
)
def test_the_server_says_whether_the_connection_goes_on(start, line, is_reusable):
    """By its version, and by the field "Connection"."""
    reader = ReplyReader()
    assert reader.feed(sized(BODY, line, start=start)) is not None
    assert reader.is_reusable is is_reusable


MALFORMED = {
    "no http": b"220 smtp ready\r\n",
    "a version unheard of": b"HTTP/2 200 OK\r\n\r\n",
    "a version to come": b"HTTP/1.2 200 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a folded line": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "no colon": OK + b"Content-Length\r\n\r\n",
    "no name": OK + b": x\r\n\r\n",
    "a lone line feed": OK + b"X: a\nContent-Length: 0\r\n\r\n",
    "a lone carriage return": OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "a nul": OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "one length twice": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": OK + b"Content-Length: 1, 1\r\n\r\na",
    "a length below zero": OK + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": OK + b"Content-Length: +1\r\n\r\na",
    "a length in other digits": OK + "Content-Length: \u0661\r\n\r\na".encode(),
    "a length without end": OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "an empty length": OK + b"Content-Length:\r\n\r\n",
    "a length, then chunks": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunks, then a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "no coding of ours": OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunks in http/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a chunk without a number": chunked(b"").replace(b"0\r\n", b"zz\r\n"),
    "a chunk of 0x": chunked(b"").replace(b"0\r\n", b"0x1\r\n"),
    "a chunk below zero": chunked(b"").replace(b"0\r\n", b"-1\r\n"),
    "a chunk that is too long": chunked(BODY).replace(b"7\r\n", b"6\r\n", 1),
    "an endless chunk line": chunked(b"", end=b"1;" + b"x" * 5000),
    "a trailer that is none": chunked(BODY, end=b"0\r\nno colon\r\n\r\n"),
    "an endless trailer": chunked(BODY, end=b"0\r\nX: " + b"y" * HEAD_MAX_BYTES),
    "an endless head": OK + b"X: " + b"y" * HEAD_MAX_BYTES,
    "a head too large": OK + b"X: " + b"y" * HEAD_MAX_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "interim replies without end": b"HTTP/1.1 102 Processing\r\n\r\n" * 100,
    "brotli": sized(BODY, b"Content-Encoding: br"),
    "gzip in zstd": sized(BODY, b"Content-Encoding: gzip, zstd"),
    "gzip in gzip": sized(BODY, GZIP, GZIP),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_is_refused(data):
    """At once if it comes in one piece, by its end if it comes byte by byte."""
    with pytest.raises(BadReplyError):
        ReplyReader().feed(data)
    with pytest.raises(BadReplyError):
        fed([bytes([byte]) for byte in data])


@pytest.mark.parametrize("more", [b"x", sized(BODY), b"\r\nx"], ids=["a byte", "a reply", "lines"])
@pytest.mark.parametrize("data", [sized(BODY), chunked(BODY)], ids=["length", "chunks"])
def test_what_comes_with_a_reply_and_is_not_of_it_spoils_it(data, more):
    """Where the reply ends is then in doubt."""
    with pytest.raises(BadReplyError):
        ReplyReader().feed(data + more)
    with pytest.raises(BadReplyError):
        fed([data[:-1], data[-1:] + more])


@pytest.mark.parametrize("end", [b"\r\n", b"\r\n\r\n", b"\n"])
def test_an_empty_line_after_a_reply_does_no_harm(end):
    """Old servers send one; the connection is not used again."""
    for data in (sized(BODY), chunked(BODY)):
        reader = ReplyReader()
        reply = reader.feed(data + end)
        assert reply is not None
        assert (reply.body, reader.is_reusable) == (BODY, False)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_garbage_is_not_decompressed(encoding):
    """What is no compressed data is an error of its own."""
    data = sized(b"no such thing", f"content-encoding: {encoding}".encode())
    with pytest.raises(BrokenOffError):
        ReplyReader().feed(data)


def test_what_follows_deflate_is_refused():
    """Unlike gzip it has one member."""
    with pytest.raises(BrokenOffError):
        ReplyReader().feed(sized(zlib.compress(BODY) + b"x", DEFLATE))


def test_compressed_data_that_stops_early_gives_what_there_was():
    """The reply was whole and is paid for; who reads it will see what is missing."""
    reply = ReplyReader().feed(sized(gzip.compress(BODY * 50)[:-20], GZIP))
    assert reply is not None
    assert (BODY * 50).startswith(reply.body)


def test_a_body_over_the_cap_is_given_up_on(monkeypatch):
    """By its length at once, by its chunks as they come, by its end, and once decompressed."""
    for module in ("reply_body", "reply_reader"):
        monkeypatch.setattr(f"distilabel.transport.{module}.BODY_MAX_BYTES", 1000)
    small, large = b"x" * 1000, b"x" * 1001
    for body, is_too_large in ((small, False), (large, True)):
        packed = gzip.compress(body)
        assert len(packed) < 100
        for data in (
            sized(body),
            chunked(body),
            until_close(body),
            sized(packed, GZIP),
            chunked(packed, GZIP, step=1),
            sized(zlib.compress(body), DEFLATE),
        ):
            reader = ReplyReader()
            if not is_too_large:
                reply = reader.feed(data) or reader.end()
                assert reply.body == body
                continue
            with pytest.raises(ReplyTooLargeError):
                reader.feed(data)


def test_a_bomb_is_not_unpacked_beyond_the_cap(monkeypatch):
    """A body of gigabytes in kilobytes takes no more memory than the cap."""
    monkeypatch.setattr("distilabel.transport.reply_body.BODY_MAX_BYTES", 1 << 16)
    body = InflatedBody(b"gzip")
    with pytest.raises(ReplyTooLargeError):
        body.add(gzip.compress(bytes(1 << 24)))
    assert len(body.whole()) == (1 << 16) + 1


def test_fields_are_looked_up_by_lower_case_name():
    """Those not sent are missed, those sent twice are joined, and all can be listed."""
    lines = (b"X-Request-ID: req_1", b"X-Many: a", b"x-many:b ", b"X-Latin: \xe9")
    reply = ReplyReader().feed(sized(BODY, *lines))
    assert reply is not None
    headers = reply.headers
    assert headers.get("retry-after") is None
    assert headers.get("retry-after", "0") == "0"
    assert (headers["x-request-id"], headers["x-many"]) == ("req_1", "a, b")
    assert headers.get("request-id") is None
    assert headers["x-latin"] == "é"
    assert "x-many" in headers
    assert "id" not in headers
    with pytest.raises(KeyError):
        headers["date"]
    assert dict(headers) == {
        "x-request-id": "req_1",
        "x-many": "a, b",
        "x-latin": "é",
        "content-length": str(len(BODY)),
    }


bodies = st.binary(max_size=200) | st.just(BODY * 20)
names = st.from_regex(r"[Xx]-[A-Za-z0-9_.~-]{1,12}", fullmatch=True)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


@st.composite
def replies(draw):
    """A valid reply: its bytes, and what they say."""
    body, status = draw(bodies), draw(st.integers(200, 599).filter(lambda n: n not in {204, 304}))
    fields = draw(st.dictionaries(names, values, max_size=5))
    packing = draw(st.sampled_from([None, "gzip", "deflate", "bare"]))
    pack = {None: bytes, "gzip": gzip.compress, "deflate": zlib.compress, "bare": bare_deflate}
    sent = pack[packing](body)
    space = st.sampled_from(["", " ", "\t "])
    lines = [f"{name}:{draw(space)}{value}" for name, value in fields.items()]
    if packing is not None:
        lines.append(f"Content-Encoding: {'gzip' if packing == 'gzip' else 'deflate'}")
    framing = draw(st.sampled_from(["length", "chunks", "end"]))
    if framing == "length":
        lines.append(f"Content-Length: {len(sent)}")
    elif framing == "chunks":
        lines.append("transfer-encoding: Chunked")
        pieces, sent = draw(split(sent)), b""
        for piece in filter(None, pieces):
            sent += b"%X%b\r\n%b\r\n" % (len(piece), draw(st.sampled_from([b"", b";a=b"])), piece)
        sent += b"0\r\n" + draw(st.sampled_from([b"", b"X-Trailer: 1\r\n"])) + b"\r\n"
    head = [f"HTTP/1.1 {status} {draw(values)}", *draw(st.permutations(lines)), "", ""]
    data = "\r\n".join(head).encode() + sent
    wanted = {}
    for name, value in fields.items():
        wanted.setdefault(name.lower(), []).append(value.strip())
    return data, framing == "end", status, body, wanted


@st.composite
def split(draw, data):
    """Bytes in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_was_encoded_is_decoded(data):
    """Any status, fields and body, in any framing, compressed or not, cut anywhere, come back."""
    raw, ends_with_connection, status, body, wanted = data.draw(replies())
    reader = ReplyReader()
    came = [reader.feed(piece) for piece in data.draw(split(raw)) if piece]
    reply = reader.end() if ends_with_connection else came.pop()
    assert came == [None] * len(came)
    assert (reply.status, reply.body) == (status, body)
    for name, sent in wanted.items():
        assert sorted(reply.headers[name].split(", ")) == sorted(", ".join(sent).split(", "))
    assert reader.is_reusable is not ends_with_connection


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_have_a_typed_outcome(data):
    """Spoiled replies and noise give a reply, nothing yet, or one of three errors."""
    raw = bytearray(data.draw(replies())[0] + data.draw(st.binary(max_size=10)))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    reader = ReplyReader()
    try:
        for piece in data.draw(split(bytes(raw))):
            if piece and reader.feed(piece) is not None:
                return
        reader.end()
    except (BadReplyError, BrokenOffError, ReplyTooLargeError):
        pass
