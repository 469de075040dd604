"""URLs taken apart, and the heads of requests made of them."""

import pytest

from distilabel.transport.request_head import BadUrlError, RequestHead, Target, read_url


@pytest.mark.parametrize(
    ("url", "is_secure", "host", "port", "authority", "path"),
    [
        ("http://a.example", False, "a.example", 80, "a.example", "/"),
        ("https://a.example/", True, "a.example", 443, "a.example", "/"),
        ("HTTPS://A.Example/V1", True, "a.example", 443, "a.example", "/V1"),
        ("https://a.example:443/v1", True, "a.example", 443, "a.example", "/v1"),
        ("http://a.example:443/v1", False, "a.example", 443, "a.example:443", "/v1"),
        ("http://127.0.0.1:8000/v1", False, "127.0.0.1", 8000, "127.0.0.1:8000", "/v1"),
        ("http://[::1]:8000/v1", False, "::1", 8000, "[::1]:8000", "/v1"),
        ("https://[fe80::1%25eth0]/", True, "fe80::1%eth0", 443, "[fe80::1]", "/"),
        ("http://a.example/v1?x=1&y=a/b#z", False, "a.example", 80, "a.example", "/v1?x=1&y=a/b"),
        ("http://a.example?x=1", False, "a.example", 80, "a.example", "/?x=1"),
        ("http://a.example/%7Eme/ü", False, "a.example", 80, "a.example", "/%7Eme/%C3%BC"),
        ("http://a_b-c.example./", False, "a_b-c.example.", 80, "a_b-c.example.", "/"),
        (
            "https://bücher.example/v1",
            *(True, "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/v1"),
        ),
    ],
)
def test_a_url_says_where_to_go(url, is_secure, host, port, authority, path) -> None:
    """Scheme, host and port for the connection, authority and path for the request."""
    assert read_url(url) == Target(is_secure, host, port, authority, path)


@pytest.mark.parametrize(
    "url",
    [
        *("", "x", "//a.example", "ftp://a.example", "http:a.example", "http://", "http://:80"),
        *("http://a.example:x", "http://a.example:65536", "http://[::1", "http://[a]/"),
        *("http://u@a.example", "http://u:p@a.example", "http://a b.example", "http://a.example/ "),
        *("http://a.example/\n", "http://a.example\r\nX: y", "http://a\0.example", "http://a%41/"),
        *("http://" + "a" * 70 + "ü.example", "http://ü..example"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url) -> None:
    """Whatever could be read in two ways, too."""
    with pytest.raises(BadUrlError):
        read_url(url)


def lines(fixed: dict[str, str], more: dict[str, str]) -> list[str]:
    """The fields of a request."""
    head = RequestHead(read_url("http://a.example/v1"), fixed, more)
    assert head.is_sendable
    return head.request(b"").decode().split("\r\n")[1:-2]


def test_what_a_call_gives_goes_before_what_all_give() -> None:
    """And that before what is usual; each field is sent once, whatever its letters."""
    assert lines({"ACCEPT": "a", "X": "1", "Y": "1"}, {"x": "2"}) == [
        "Host: a.example",
        "ACCEPT: a",
        "Accept-Encoding: gzip, deflate",
        "x: 2",
        "Y: 1",
        "Content-Length: 0",
    ]
    assert lines({"host": "b.example"}, {})[0] == "host: b.example"


def test_nobody_else_says_how_long_the_body_is() -> None:
    """Two lengths are how requests are smuggled."""
    given = {"content-length": "7", "Transfer-Encoding": "chunked"}
    assert lines(given, given)[-1] == "Content-Length: 0"
    assert len(lines(given, given)) == 4


@pytest.mark.parametrize("text", ["a\r\nb: c", "a\nb", "a\rb", "a\0b"])
def test_a_field_that_would_end_early_is_not_sendable(text) -> None:
    """By its name or by its value."""
    target = read_url("http://a.example/v1")
    assert not RequestHead(target, {"X": text}, {}).is_sendable
    assert not RequestHead(target, {}, {text: "x"}).is_sendable


def test_a_head_shows_nothing_of_itself() -> None:
    """It holds keys."""
    head = RequestHead(read_url("http://a.example/v1"), {"Authorization": "canary"}, {})
    assert "canary" not in repr(head)
    assert not hasattr(head, "__dict__")
