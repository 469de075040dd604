"""Requests over connections of our own: what is sent, kept, given up on, and never sent twice."""

import asyncio
import contextlib
import errno
import resource
import socket
import threading
import traceback

import anyio
import pytest
from wire_kit import FINE, RawServer, sized

from distilabel.errors import CallError, RunFatalError, TransientError
from distilabel.testing import SimulatedEndpoint, virtual_clock
from distilabel.transport import Timeouts, dialling
from distilabel.transport.wire_lane import WireLane

CANARY = "sk-canary-51c0ffee"
JSON = {"Content-Type": "application/json"}


@contextlib.asynccontextmanager
async def opened(timeouts: Timeouts | None = None, **headers):
    """A lane, closed at the end with nothing left of it."""
    lane = WireLane(timeouts or Timeouts(), {"Authorization": f"Bearer {CANARY}", **headers})
    try:
        yield lane
    finally:
        await lane.aclose()
        assert standing(lane) == 0


def standing(lane: WireLane) -> int:
    """How many connections it has."""
    return sum(len(origin.connections) for origin in lane._origins.values())


async def post(lane: WireLane, server: RawServer, body: bytes = b"{}"):
    """One request."""
    return await lane.post(server.url, JSON, body)


async def test_a_request_is_what_was_asked_for() -> None:
    """Line, fields and body are as given, the keys among them, and the reply is what came."""
    async with RawServer() as server, opened(accept="text/x") as lane:
        reply = await post(lane, server, b'{"a": 1}')
        assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"fine", "4")
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        assert line == "POST /v1/chat HTTP/1.1"
        assert sorted(fields) == [
            "Accept-Encoding: gzip, deflate",
            f"Authorization: Bearer {CANARY}",
            "Content-Length: 8",
            "Content-Type: application/json",
            f"Host: 127.0.0.1:{server.port}",
            "accept: text/x",
        ]
        assert body == b'{"a": 1}'


async def test_fields_of_one_call_are_not_those_of_the_next() -> None:
    """The same URL with other fields is another request."""
    async with RawServer() as server, opened() as lane:
        for kind in ("a/b", "c/d", "a/b"):
            await lane.post(server.url, {"Content-Type": kind}, b"")
            assert f"Content-Type: {kind}\r\n".encode() in server.requests[-1]


async def test_a_connection_is_used_again() -> None:
    """Calls one after another take one connection, and calls at once as many as they are."""
    async with RawServer() as server, opened() as lane:
        for _ in range(5):
            await post(lane, server)
        assert len(server.connections) == 1
        await together(lane, server, 3)
        assert len(server.connections) == 3


async def together(lane: WireLane, server: RawServer, count: int) -> None:
    """So many calls at once."""
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(post, lane, server)


async def test_the_connection_used_last_is_used_next() -> None:
    """Those not needed are left to grow old."""
    async with RawServer() as server, opened() as lane:
        await together(lane, server, 3)
        last = max(server.connections, key=lambda served: server.requests.index(served.requests[0]))
        await post(lane, server)
        used = [served for served in server.connections if len(served.requests) == 2]
        assert len(used) == 1
        for _ in range(3):
            await post(lane, server)
        assert len(used[0].requests) == 5
        assert last.requests


@pytest.mark.parametrize(
    "reply",
    [
        sized(b"fine", b"Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        FINE + b"\r\n",
    ],
    ids=["close", "http/1.0", "an empty line"],
)
async def test_a_connection_that_may_not_go_on_is_closed(reply) -> None:
    """Each call takes a new one, and the old ones are gone."""
    async with RawServer(lambda served: served.write(reply)) as server, opened() as lane:
        for _ in range(3):
            assert (await post(lane, server)).body == b"fine"
        assert len(server.connections) == 3
        await server.all_lost()


async def test_a_reply_that_ends_with_its_connection_is_whole() -> None:
    """Without a length the end is the end."""

    def answer(served) -> None:
        served.write(b"HTTP/1.1 200 OK\r\n\r\nfine")
        served.close()

    async with RawServer(answer) as server, opened() as lane:
        assert (await post(lane, server)).body == b"fine"
        assert (await post(lane, server)).body == b"fine"


async def test_a_connection_that_the_server_ended_is_not_used() -> None:
    """Its end, which comes while nothing is under way, costs no call a failure."""
    async with RawServer() as server, opened() as lane:
        for _ in range(3):
            await post(lane, server)
            server.connections[-1].close()
            while standing(lane):
                await anyio.lowlevel.checkpoint()
        assert [len(served.requests) for served in server.connections] == [1, 1, 1]


async def test_an_end_that_was_not_read_yet_is_seen() -> None:
    """A connection that was silent for a moment is looked at before it is used."""
    async with RawServer() as server, opened() as lane:
        await post(lane, server)
        (origin,) = lane._origins.values()
        (connection,) = origin.connections
        connection._transport.pause_reading()  # as if the loop had had no time to
        server.connections[0].close()
        await server.all_lost()
        connection.idle_since_s -= 2.0
        assert (await post(lane, server)).body == b"fine"
        assert len(server.connections) == 2


async def test_a_byte_that_nobody_asked_for_ends_a_connection() -> None:
    """What comes between two replies is not taken for the next one."""
    async with RawServer() as server, opened() as lane:
        await post(lane, server)
        server.connections[0].write(sized(b"evil"))
        await server.all_lost()
        assert (await post(lane, server)).body == b"fine"
        assert len(server.connections) == 2


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_request_whose_connection_is_lost_is_not_sent_again(is_first) -> None:
    """The server may have done the work, on a new connection as on one that was used before."""

    def answer(served) -> None:
        if is_first or len(served.requests) == 2:
            served.close()
        else:
            served.write(FINE)

    async with RawServer(answer) as server, opened() as lane:
        if not is_first:
            await post(lane, server)
        before = len(server.requests)
        with pytest.raises(TransientError) as failed:
            await post(lane, server)
        assert failed.value.cause == "connection"
        assert len(server.requests) == before + 1


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "connection"),
        (b"HTTP/1.1 200 OK\r\nX: ", "connection"),
        (FINE[:-1], "truncated"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "protocol"),
        (b"220 smtp ready\r\n", "protocol"),
        (FINE + FINE, "protocol"),
        (sized(b"", b"Content-Encoding: br"), "protocol"),
        (sized(b"no gzip", b"Content-Encoding: gzip"), "truncated"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "reply_too_large"),
    ],
)
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_every_failure_has_its_cause(data, cause, is_reset) -> None:
    """Its message names the URL, it holds no key in any frame, and its connection is closed."""

    def answer(served) -> None:
        served.write(data)
        if is_reset:
            linger = b"\1\0\0\0\0\0\0\0"
            raw = served.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        served.close()

    async with RawServer(answer) as server, opened() as lane:
        with pytest.raises(TransientError) as failed:
            await post(lane, server)
        assert failed.value.cause == cause
        assert server.url in str(failed.value)
        assert CANARY not in told(failed.value)
        await server.all_lost()


def told(error: BaseException) -> str:
    """What a traceback shows, with the locals of every frame of ours."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    lines = []
    while shown is not None:
        lines += [f"{frame.name} {frame.locals}" for frame in shown.stack]
        lines += shown.format_exception_only()
        shown = shown.__cause__ or shown.__context__
    return "\n".join(lines)


def timed(answer, seconds: float, timeouts: Timeouts, cause: str | None) -> None:
    """A call ends after so many seconds of virtual time, with this cause or with a reply."""

    async def main() -> None:
        async with RawServer(answer) as server, opened(timeouts) as lane:
            await post(lane, server)
            started_s = anyio.current_time()
            if cause is None:
                assert (await post(lane, server)).body == b"fine"
            else:
                with pytest.raises(TransientError) as failed:
                    await post(lane, server)
                assert failed.value.cause == cause
                assert CANARY not in told(failed.value)
            passed_s = anyio.current_time() - started_s
            assert seconds <= passed_s <= seconds + 0.06

    virtual_clock.run(main)


def after(*sendings: tuple[float, bytes]):
    """Answers the first request, and the second with these bytes at these times."""

    def answer(served) -> None:
        if len(served.requests) == 1:
            served.write(FINE)
            return
        for delay_s, data in sendings:
            served.later(delay_s, data)

    return answer


LIMITS = Timeouts(connect_s=5, first_byte_s=120, idle_s=60, total_s=600)
SLOW_HEAD = [(60.0 * k, FINE[k : k + 1]) for k in range(1, 60)]


@pytest.mark.parametrize(
    ("sendings", "seconds", "cause"),
    [
        ([], 120, "timeout"),
        ([(119.9, FINE)], 119.9, None),
        ([(100, FINE[:9])], 160, "timeout"),
        ([(100, FINE[:-1]), (159.9, FINE[-1:])], 159.9, None),
        ([(59.0 * k, FINE[k - 1 : k]) for k in range(1, 40)], 600, "timeout"),
        ([(1, b"HTTP/1.1 102 Processing\r\n\r\n"), (110, FINE)], 110, None),
        ([(1, b"HTTP/1.1 102 Processing\r\n\r\n")], 120, "timeout"),
    ],
    ids=["silence", "late", "stops", "slow", "slow loris", "interim", "interim only"],
)
def test_time_limits_are_kept(sendings, seconds, cause) -> None:
    """To the first byte, between two of them, and in all, no sooner and hardly later."""
    timed(after(*sendings), seconds, LIMITS, cause)


@pytest.mark.parametrize("limit_s", [0.05, 0.2, 3.0])
def test_short_time_limits_are_kept_too(limit_s) -> None:
    """A limit of 50 ms is one of at most 60."""
    timeouts = Timeouts(limit_s, limit_s, limit_s, limit_s)

    async def main() -> None:
        async with RawServer(lambda served: None) as server, opened(timeouts) as lane:
            for _ in range(3):
                started_s = anyio.current_time()
                with pytest.raises(TransientError):
                    await post(lane, server)
                assert limit_s <= anyio.current_time() - started_s <= limit_s * 1.1 + 0.001

    virtual_clock.run(main)


def test_each_of_many_calls_has_its_own_time_limit() -> None:
    """Calls that began at different times end at different times, whatever the others do."""

    async def main() -> None:
        lasted: list[float] = []

        async def call(lane, server, start_s: float) -> None:
            await anyio.sleep(start_s)
            with pytest.raises(TransientError):
                await post(lane, server)
            lasted.append(anyio.current_time() - start_s)

        async with RawServer(lambda served: None) as server, opened(LIMITS) as lane:
            async with anyio.create_task_group() as group:
                for k in range(100):
                    group.start_soon(call, lane, server, 1.7 * k)
            assert lane._sweeper is None or standing(lane) == 0
        assert len(lasted) == 100
        assert 119.999 <= min(lasted) <= max(lasted) <= 120.1

    virtual_clock.run(main)


def test_a_connection_is_not_waited_for_longer_than_allowed(monkeypatch) -> None:
    """A server that does not take connections is given up on, and the socket is closed."""

    async def never(*args, **kwargs) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(dialling.aiohappyeyeballs, "start_connection", never)

    async def main() -> None:
        async with opened(LIMITS) as lane:
            with pytest.raises(TransientError) as failed:
                await lane.post("http://127.0.0.1:9/", JSON, b"")
            assert failed.value.cause == "connect_timeout"
            assert 5 <= anyio.current_time() <= 5.1

    virtual_clock.run(main)


def test_a_connection_that_was_silent_for_long_is_not_used() -> None:
    """After 50 s, or a day after it was made, calls take a new one."""

    async def main() -> None:
        async with RawServer() as server, opened() as lane:
            await post(lane, server)
            await anyio.sleep(49)
            await post(lane, server)
            assert len(server.connections) == 1
            await anyio.sleep(51)
            await post(lane, server)
            assert len(server.connections) == 2
            for _ in range(86_400 // 40):
                await anyio.sleep(40)
                await post(lane, server)
            assert len(server.connections) == 2
            await anyio.sleep(49)
            await post(lane, server)
            assert len(server.connections) == 3

    virtual_clock.run(main)


def test_idle_connections_are_closed_while_others_work() -> None:
    """What a burst has left behind does not stay for the whole of a run."""

    async def main() -> None:
        async with RawServer() as server, opened() as lane:
            await together(lane, server, 20)
            for _ in range(30):
                await anyio.sleep(5)
                await post(lane, server)
            assert standing(lane) == 1

    virtual_clock.run(main)


@pytest.mark.parametrize("reply", [b"", FINE[:9], FINE[:-1]], ids=["silence", "head", "body"])
async def test_a_cancelled_call_closes_its_connection(reply) -> None:
    """Nothing of its reply reaches another call, and nothing of it is left."""
    has_come = asyncio.Event()

    def answer(served) -> None:
        if served.server.connections[0] is served:
            served.write(reply)
            has_come.set()
        else:
            served.write(FINE)

    async with RawServer(answer) as server, opened() as lane:
        async with anyio.create_task_group() as group:
            group.start_soon(post, lane, server)
            await has_come.wait()
            group.cancel_scope.cancel()
        await server.all_lost()
        assert standing(lane) == 0
        assert (await post(lane, server)).body == b"fine"


async def test_a_call_that_is_cancelled_while_it_connects_leaves_nothing() -> None:
    """No socket, no connection; the server may see it come and go."""
    async with RawServer() as server, opened() as lane:
        for turns in range(12):
            async with anyio.create_task_group() as group:
                group.start_soon(post, lane, server)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        assert (await post(lane, server)).body == b"fine"
        assert standing(lane) <= 2


async def test_a_call_cancelled_when_its_reply_is_in_takes_no_connection_from_another(
    monkeypatch,
) -> None:
    """The connection is given back with the last byte, and may carry the next call already."""
    async with RawServer() as server, opened() as lane:
        await post(lane, server)
        (origin,) = lane._origins.values()
        tasks, replies = [], []
        release, may_begin = origin.released, asyncio.Event()

        def release_and_cancel(connection) -> None:
            monkeypatch.undo()
            release(connection)
            may_begin.set()
            tasks[0].cancel()  # before the call hears of its reply

        monkeypatch.setattr(origin, "released", release_and_cancel)

        async def first() -> None:
            tasks.append(asyncio.current_task())
            with pytest.raises(asyncio.CancelledError):
                await post(lane, server)
            tasks[0].uncancel()

        async def second() -> None:
            await may_begin.wait()
            replies.append(await post(lane, server))

        async with anyio.create_task_group() as group:
            group.start_soon(second)
            group.start_soon(first)
        assert replies[0].body == b"fine"
        assert len(server.requests) == 3
        assert len(server.connections) == 1


async def test_closing_ends_what_is_under_way() -> None:
    """Calls fail as if the server had gone, and no connection stays."""
    has_come = asyncio.Event()
    causes: list[str] = []

    async def call(lane, server) -> None:
        with pytest.raises(TransientError) as failed:
            await post(lane, server)
        causes.append(failed.value.cause)

    async with RawServer(lambda served: has_come.set()) as server, opened() as lane:
        async with anyio.create_task_group() as group:
            group.start_soon(call, lane, server)
            await has_come.wait()
            await lane.aclose()
        await server.all_lost()
        assert causes == ["connection"]


async def test_closing_ends_what_is_being_connected(monkeypatch) -> None:
    """A connection that stands only after the lane was closed is closed, too."""
    dials, may_go_on = asyncio.Event(), asyncio.Event()
    dial = dialling.Dialler.dial

    async def dial_slowly(self, protocol):
        dials.set()
        await may_go_on.wait()
        return await dial(self, protocol)

    monkeypatch.setattr(dialling.Dialler, "dial", dial_slowly)

    async def call(lane, server) -> None:
        with pytest.raises(TransientError):
            await post(lane, server)

    async with RawServer() as server, opened() as lane:
        async with anyio.create_task_group() as group:
            group.start_soon(call, lane, server)
            await dials.wait()
            await lane.aclose()
            may_go_on.set()
        await server.all_lost()
        assert server.requests == []


@pytest.mark.parametrize(
    "greet",
    [
        lambda served: served.transport.abort(),
        lambda served: served.close(),
        lambda served: served.write(b"220 smtp ready\r\n"),
    ],
    ids=["reset", "closed", "another protocol"],
)
async def test_a_server_that_greets_is_none_of_ours(greet) -> None:
    """What is lost or spoiled before the request is sent fails, and hangs nowhere."""
    async with RawServer(greets=greet) as server, opened() as lane:
        for _ in range(5):
            with pytest.raises(TransientError) as failed:
                await post(lane, server)
            assert failed.value.cause in {"connect", "connection", "protocol"}
        await server.all_lost()


async def test_a_reply_that_comes_too_soon_is_taken_once() -> None:
    """A full server refuses before it reads; what it says after that answers no other call."""
    refusal = sized(b"full", status=503)
    async with RawServer(greets=lambda served: served.write(refusal)) as server, opened() as lane:
        for _ in range(5):
            with contextlib.suppress(TransientError):  # it may come before the request is sent
                assert (await post(lane, server)).body == b"full"
            while standing(lane):
                await anyio.lowlevel.checkpoint()
        assert len(server.connections) == 5


async def test_a_large_request_arrives_whole() -> None:
    """Eight megabytes take many writes, and are one request."""
    body = bytes(range(256)) * (8 << 12)
    async with RawServer() as server, opened() as lane:
        assert (await post(lane, server, body)).body == b"fine"
        assert (await post(lane, server)).body == b"fine"
        assert server.requests[0].endswith(b"\r\n\r\n" + body)
        assert len(server.connections) == 1


async def test_a_reply_that_comes_before_the_request_is_sent_is_taken() -> None:
    """A server may refuse by the head alone; the rest of the body is not sent after it."""
    has_answered: list[bool] = []

    def answer_head(served) -> None:
        if not has_answered:
            has_answered.append(True)
            served.transport.pause_reading()
            served.write(sized(b"too much", status=413))

    async with RawServer(answers_heads=answer_head) as server, opened() as lane:
        reply = await post(lane, server, bytes(32 << 20))
        assert (reply.status, reply.body) == (413, b"too much")
        server.connections[0].transport.resume_reading()
        await server.all_lost()
        assert server.requests == []


async def test_one_lane_speaks_to_several_servers() -> None:
    """An endpoint that comes back elsewhere is called there, each over its own connections."""
    async with RawServer() as one, RawServer() as other, opened() as lane:
        for server in (one, other, one, other):
            await post(lane, server)
        assert [len(server.connections) for server in (one, other)] == [1, 1]
        assert [len(server.requests) for server in (one, other)] == [2, 2]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "models",
        "ftp://models.example/",
        "http://",
        "http:///v1",
        "http://models.example:port/",
        "http://models.example:99999/",
        "http://[::1/",
        "http://models.example/a b",
        "http://models.example/\r\nX: y",
        "http://-\x7f.example/",
        f"http://user:{CANARY}@models.example/",
    ],
)
async def test_a_url_that_cannot_be_called_stops_the_run(url) -> None:
    """It is found before anything is sent, and a password in it is not repeated."""
    async with opened() as lane:
        with pytest.raises(RunFatalError) as failed:
            await lane.post(url, JSON, b"")
        assert failed.value.cause == "bad_url"
        assert CANARY not in str(failed.value)


async def test_a_field_that_would_break_its_line_is_not_sent() -> None:
    """The error does not repeat it."""
    async with RawServer() as server, opened(X=f"{CANARY}\r\nY: z") as lane:
        with pytest.raises(RunFatalError) as failed:
            await post(lane, server)
        assert failed.value.cause == "bad_header"
        assert CANARY not in told(failed.value)
        assert server.requests == []


async def test_a_server_that_is_not_there_is_a_transient_failure() -> None:
    """A refused connection says which server it was, and shows no key."""
    async with RawServer() as server:
        url = server.url
    async with opened() as lane:
        with pytest.raises(TransientError) as failed:
            await lane.post(url, JSON, b"")
        assert failed.value.cause == "connect"
        assert url in str(failed.value)
        assert CANARY not in told(failed.value)
        assert isinstance(failed.value.__cause__, ConnectionRefusedError)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_too_many_open_files_have_a_cause_of_their_own(monkeypatch, number) -> None:
    """It can be told from a server that is gone, and the number is kept."""

    def full(address) -> None:
        raise OSError(number, "too many")

    monkeypatch.setattr(dialling, "keepalive_socket", full)
    async with opened() as lane:
        with pytest.raises(TransientError, match="ulimit") as failed:
            await lane.post("http://127.0.0.1:9/", JSON, b"")
        assert failed.value.cause == "too_many_files"
        assert failed.value.__cause__.errno == number


def address(port: int, host: str = "127.0.0.1"):
    """As the resolver gives it."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


async def test_a_name_is_looked_up_once_for_all_who_connect(monkeypatch) -> None:
    """Twenty calls at once, and one soon after, ask once."""
    asked: list[str] = []
    async with RawServer() as server, opened() as lane:

        def look_up(host, port, **_):
            asked.append(host)
            return [address(server.port)]

        monkeypatch.setattr(dialling.socket, "getaddrinfo", look_up)
        server.url = "http://models.example/v1"
        await together(lane, server, 20)
        await post(lane, server)
        assert asked == ["models.example"]
        assert b"\r\nHost: models.example\r\n" in server.requests[0]


async def test_a_lookup_outlives_the_call_that_began_it(monkeypatch) -> None:
    """A call that is cancelled while others wait for the same name takes nothing from them."""
    has_begun, may_end = anyio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    async with RawServer() as server, opened() as lane:

        def look_up(host, port, **_):
            loop.call_soon_threadsafe(has_begun.set)
            may_end.wait(5)
            return [address(server.port)]

        monkeypatch.setattr(dialling.socket, "getaddrinfo", look_up)
        server.url = "http://models.example/v1"
        async with anyio.create_task_group() as group:
            first = anyio.CancelScope()

            async def cancelled() -> None:
                with first:
                    await post(lane, server)

            group.start_soon(cancelled)
            await has_begun.wait()
            group.start_soon(post, lane, server)
            await anyio.lowlevel.checkpoint()
            first.cancel()
            may_end.set()
        assert len(server.requests) == 1


async def test_an_unknown_name_is_a_transient_failure(monkeypatch) -> None:
    """It may be known again in a moment, and is looked up anew."""
    answers = [socket.gaierror(socket.EAI_NONAME, "unknown"), None]
    async with RawServer() as server, opened() as lane:

        def look_up(host, port, **_):
            answer = answers.pop(0)
            if answer is not None:
                raise answer
            return [address(server.port)]

        monkeypatch.setattr(dialling.socket, "getaddrinfo", look_up)
        server.url = "http://models.example/v1"
        with pytest.raises(TransientError) as failed:
            await post(lane, server)
        assert failed.value.cause == "connect"
        assert (await post(lane, server)).body == b"fine"


async def test_another_address_is_taken_where_one_does_not_answer(monkeypatch) -> None:
    """Whichever of them comes first, every call gets through."""
    async with RawServer() as gone:
        dead = gone.port
    async with RawServer() as server, opened() as lane:
        monkeypatch.setattr(
            dialling.socket,
            "getaddrinfo",
            lambda *_, **__: [address(dead), address(server.port)],
        )
        server.url = "http://models.example/v1"
        await together(lane, server, 4)
        assert len(server.requests) == 4


async def test_connections_are_shared_out_among_addresses(monkeypatch) -> None:
    """Servers behind one name get about as many each."""
    async with RawServer() as one, RawServer() as other, opened() as lane:
        monkeypatch.setattr(
            dialling.socket,
            "getaddrinfo",
            lambda *_, **__: [address(one.port), address(other.port)],
        )
        one.url = "http://models.example/v1"
        await together(lane, one, 10)
        assert [len(server.requests) for server in (one, other)] == [5, 5]


async def test_a_thousand_calls_at_once() -> None:
    """Each gets its own reply, over as many connections, all of which are closed at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft if soft > 1500 or soft == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    seen: set[bytes] = set()
    try:
        with SimulatedEndpoint.process(ledger="counters") as endpoint:
            async with opened() as lane, anyio.create_task_group() as group:

                async def call(k: int) -> None:
                    body = b'{"model": "m", "messages": [{"role": "user", "content": "%d"}]}' % k
                    url = f"{endpoint.openai_url}/chat/completions"
                    for _ in range(3):
                        reply = await lane.post(url, JSON, body)
                        assert reply.status == 200
                        seen.add(reply.body)

                for k in range(1000):
                    group.start_soon(call, k)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(seen) >= 1000


async def test_failures_are_ours_whatever_the_moment() -> None:
    """A server that resets connections at random leaves replies and typed errors, nothing else."""
    outcomes: list[object] = []

    def answer(served) -> None:
        place = len(served.server.requests) % 7
        if place in {1, 4}:
            served.transport.abort()
        elif place == 5:
            served.write(FINE[:20])
            served.transport.abort()
        else:
            served.write(FINE)

    async def call(lane, server) -> None:
        for _ in range(20):
            try:
                outcomes.append((await post(lane, server)).status)
            except CallError as error:
                outcomes.append(error.cause)

    async with RawServer(answer) as server, opened() as lane:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(call, lane, server)
        assert len(outcomes) == len(server.requests) == 400
        assert set(outcomes) == {200, "connection"}
