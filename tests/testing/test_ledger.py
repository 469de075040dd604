"""The ledger counts what was asked, paid, delivered and repeated."""

import pytest

from distilabel.testing import Faults, Latency, SimulatedEndpoint, Status, Truncated


def test_a_200_that_was_cut_is_paid_but_not_delivered_and_its_retry_not_repeated(
    connect, post, read_reply
):
    """Cut in the middle, then asked again: two paid, one delivered. A third time: repeated."""
    with SimulatedEndpoint(script=Faults.first(1, Truncated())) as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(post())
        while connection.recv(65536):
            pass
        connection = connect(endpoint.url)
        for _ in range(2):
            connection.sendall(post())
            read_reply(connection)
        endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
    ledger = endpoint.ledger
    assert (ledger.requests, ledger.paid, ledger.delivered, ledger.repeated) == (3, 3, 2, 1)
    assert [call.attempt for call in ledger.calls] == [1, 2, 3]
    assert [call.is_delivered for call in ledger.calls] == [False, True, True]
    assert len({call.body_hash for call in ledger.calls}) == 1


def test_a_record_says_what_was_asked(connect, post, read_reply):
    """A call's record has its route, model, n, times, status, and whether there was a key."""
    raw = post(n=3).replace(b"host: x\r\n", b"Authorization: Bearer sk-canary\r\n")
    with SimulatedEndpoint(latency=Latency.constant(0.01)) as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(raw)
        read_reply(connection)
        endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
    (call,) = endpoint.ledger.calls
    assert (call.route, call.model, call.n, call.status) == ("chat", "m", 3, 200)
    assert call.has_key
    assert call.finished_s - call.arrived_s >= 0.01
    assert "canary" not in repr(vars(endpoint.ledger))


async def test_what_is_in_flight_can_be_waited_for(connect, post):
    """in_flight and peak_in_flight follow the requests; a client that leaves is abandoned."""
    async with SimulatedEndpoint(latency=Latency.constant(60)) as endpoint:
        connections = [connect(endpoint.url) for _ in range(3)]
        for connection in connections:
            connection.sendall(post())
        await endpoint.until(lambda ledger: ledger.in_flight == 3)
        connections[0].close()
        await endpoint.until(lambda ledger: ledger.in_flight == 2)
        assert endpoint.ledger.peak_in_flight == 3
        assert endpoint.ledger.abandoned == 1
        with pytest.raises(TimeoutError):
            await endpoint.until(lambda ledger: ledger.in_flight == 9, timeout_s=0.01)
        with pytest.raises(TimeoutError, match="did not get there"):
            endpoint.wait_until(lambda ledger: ledger.in_flight == 9, timeout_s=0.01)
    assert endpoint.ledger.in_flight == 0
    assert endpoint.ledger.paid == 0


@pytest.mark.parametrize(
    ("detail", "calls", "attempts", "repeated"), [("bodies", 0, 1, 1), ("counters", 0, 0, 0)]
)
def test_less_detail_keeps_less(connect, post, read_reply, detail, calls, attempts, repeated):
    """Without records, and without hashes, the counts of requests stay what they are."""
    with SimulatedEndpoint(ledger=detail) as endpoint:
        connection = connect(endpoint.url)
        for _ in range(2):
            connection.sendall(post())
            read_reply(connection)
        endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
    ledger = endpoint.ledger
    assert (ledger.requests, ledger.paid, ledger.statuses) == (2, 2, {200: 2})
    assert (len(ledger.calls), len(ledger._attempts)) == (calls, attempts)
    assert ledger.repeated == repeated


def test_a_reset_begins_anew(connect, post, read_reply):
    """After a reset the counts are 0, the next index is 0 and the body is a first attempt."""
    seen = []
    with SimulatedEndpoint(script=seen.append) as endpoint:
        connection = connect(endpoint.url)
        connection.sendall(post())
        read_reply(connection)
        endpoint.reset()
        assert endpoint.ledger.requests == 0
        connection.sendall(post())
        read_reply(connection)
    assert [(request.index, request.attempt) for request in seen] == [(0, 1), (0, 1)]


def test_errors_are_not_paid(connect, post, read_reply):
    """Only a 200 costs money."""
    with SimulatedEndpoint(script=Faults.first(2, Status(503))) as endpoint:
        connection = connect(endpoint.url)
        for _ in range(3):
            connection.sendall(post())
            read_reply(connection)
        endpoint.wait_until(lambda ledger: ledger.in_flight == 0)
    assert (endpoint.ledger.paid, endpoint.ledger.statuses) == (1, {503: 2, 200: 1})


def test_what_was_received_is_noted(connect, post, read_reply):
    """Whoever has read a reply finds it in the ledger at once, without waiting for anything."""
    with SimulatedEndpoint() as endpoint:
        connection = connect(endpoint.url)
        for count in range(1, 301):
            connection.sendall(post())
            read_reply(connection)
            ledger = endpoint.ledger
            assert (ledger.delivered, ledger.in_flight, len(ledger.calls)) == (count, 0, count)
