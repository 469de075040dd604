"""TLS over connections of our own: whom it trusts, what it says, what a refusal means."""

import shutil
import ssl
import subprocess

import anyio
import pytest
from wire_kit import FINE, RawServer

from distilabel.errors import RunFatalError, TransientError
from distilabel.transport import Timeouts
from distilabel.transport.wire_lane import WireLane

CANARY = "sk-canary-71500ff"
NO_OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make keys")
pytestmark = NO_OPENSSL


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost and 127.0.0.1 that signs itself, and its key."""
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return place / "cert.pem", place / "key.pem"


@pytest.fixture
def context(certificate):
    """What a server with that certificate speaks TLS with."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificate)
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


@pytest.fixture
def _trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))


async def outcome(url: str, timeouts: Timeouts | None = None, calls: int = 1):
    """The replies of a fresh lane, which is closed again."""
    lane = WireLane(timeouts or Timeouts(), {"Authorization": CANARY})
    try:
        return [(await lane.post(url, {}, b"x" * 100_000)).body for _ in range(calls)]
    finally:
        await lane.aclose()
        assert not any(origin.connections for origin in lane._origins.values())


@pytest.mark.usefixtures("_trusted")
async def test_a_trusted_server_is_spoken_to(context) -> None:
    """Over one connection, which speaks HTTP/1.1 although the server would do more."""
    spoken: list[tuple[str | None, str | None]] = []

    def answer(served) -> None:
        tls = served.transport.get_extra_info("ssl_object")
        spoken.append((tls.version(), tls.selected_alpn_protocol()))
        served.write(FINE)

    async with RawServer(answer, tls=context) as server:
        assert await outcome(server.url, calls=3) == [b"fine"] * 3
        assert len(server.connections) == 1
        assert spoken == [("TLSv1.3", "http/1.1")] * 3
        await server.all_lost()


@pytest.mark.usefixtures("_trusted")
async def test_a_server_is_told_the_name_that_is_asked_for(context) -> None:
    """Several sites may live at one address."""
    names: list[str | None] = []
    context.sni_callback = lambda _tls, name, _context: names.append(name)
    async with RawServer(tls=context) as server:
        await outcome(server.url.replace("127.0.0.1", "localhost"))
        assert names == ["localhost"]


async def test_a_server_that_is_not_trusted_stops_the_run(context) -> None:
    """Nothing is sent to it, and the error shows no key."""
    async with RawServer(tls=context) as server:
        with pytest.raises(RunFatalError) as failed:
            await outcome(server.url)
        assert failed.value.cause == "tls"
        assert isinstance(failed.value.__cause__, ssl.SSLCertVerificationError)
        assert CANARY not in str(failed.value)
        assert server.requests == []


@pytest.mark.usefixtures("_trusted")
async def test_a_certificate_for_another_name_is_not_accepted(context, monkeypatch) -> None:
    """Trusted or not."""
    async with RawServer(tls=context) as server:
        address = ("127.0.0.1", server.port)
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", address)])
        with pytest.raises(RunFatalError) as failed:
            await outcome("https://models.example/v1")
        assert failed.value.cause == "tls"
        assert server.requests == []


async def test_a_server_without_tls_is_no_https_server() -> None:
    """It is the URL that is wrong, or the server: no retry mends that."""

    def greet(served) -> None:
        served.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with RawServer(greets=greet) as server:
        with pytest.raises(RunFatalError, match="TLS") as failed:
            await outcome(server.url.replace("http:", "https:"))
        assert failed.value.cause == "tls"


@pytest.mark.usefixtures("_trusted")
async def test_a_handshake_that_takes_too_long_is_given_up_on() -> None:
    """A server that takes connections and says nothing costs the time to connect, no more."""
    async with RawServer() as server:
        with pytest.raises(TransientError) as failed:
            await outcome(server.url.replace("http:", "https:"), Timeouts(connect_s=0.05))
        assert failed.value.cause == "connect_timeout"
        await server.all_lost()


@pytest.mark.usefixtures("_trusted")
async def test_a_handshake_that_breaks_off_may_be_tried_again() -> None:
    """A server that is being restarted does that."""
    async with RawServer(greets=lambda served: served.close()) as server:
        with pytest.raises(TransientError) as failed:
            await outcome(server.url.replace("http:", "https:"))
        assert failed.value.cause == "connect"


@pytest.mark.usefixtures("_trusted")
async def test_a_reply_that_breaks_off_is_no_reply(context) -> None:
    """Whether the end comes in good order or not."""

    def answer(served) -> None:
        served.write(FINE[:-1])
        served.close()

    async with RawServer(answer, tls=context) as server:
        with pytest.raises(TransientError) as failed:
            await outcome(server.url)
        assert failed.value.cause == "truncated"


async def test_certificates_are_read_again_when_they_are_elsewhere(
    context, certificate, monkeypatch
) -> None:
    """A program may set the variable after its first call."""
    async with RawServer(tls=context) as server:
        with pytest.raises(RunFatalError):
            await outcome(server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert await outcome(server.url) == [b"fine"]


@pytest.mark.usefixtures("_trusted")
async def test_a_hundred_calls_at_once_over_tls(context) -> None:
    """Each gets its reply, and all connections are closed at the end."""
    replies: list[bytes] = []
    async with RawServer(tls=context) as server:
        lane = WireLane(Timeouts(), {})

        async def call() -> None:
            replies.append((await lane.post(server.url, {}, b"{}")).body)

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(call)
        await lane.aclose()
        await server.all_lost()
    assert replies == [b"fine"] * 100
