"""On the virtual clock waiting takes no time, and what is real still happens."""

import asyncio
import threading
import time

import anyio
import anyio.to_thread
import pytest

from distilabel.testing import VirtualClock, VirtualClockLoop, virtual_clock


def test_an_hour_takes_no_time():
    """anyio.sleep(3600) moves the clock by an hour and returns at once."""

    async def nap() -> float:
        await anyio.sleep(3600)
        return anyio.current_time()

    begun_s = time.monotonic()
    assert virtual_clock.run(nap) == 3600
    assert time.monotonic() - begun_s < 5


def test_sleepers_wake_in_order_at_their_times():
    """Tasks wake in the order of their deadlines, each at its exact time."""

    async def scenario() -> list[tuple[int, float]]:
        woken: list[tuple[int, float]] = []

        async def sleeper(seconds: int) -> None:
            await anyio.sleep(seconds)
            woken.append((seconds, anyio.current_time()))

        async with anyio.create_task_group() as group:
            for seconds in (86400 * 30, 7, 86400, 0, 60):
                group.start_soon(sleeper, seconds)
        return woken

    assert virtual_clock.run(scenario) == [
        (seconds, pytest.approx(seconds)) for seconds in (0, 7, 60, 86400, 86400 * 30)
    ]


def test_timeouts_are_virtual():
    """A deadline passes when nothing else can happen, and not before what comes sooner."""

    async def scenario() -> tuple[bool, bool, float]:
        with anyio.move_on_after(600) as late:
            await anyio.sleep(599)
        with anyio.move_on_after(600) as stuck:
            await anyio.Event().wait()
        return late.cancelled_caught, stuck.cancelled_caught, anyio.current_time()

    assert virtual_clock.run(scenario) == (False, True, 1199)


def test_threads_are_waited_for_without_a_timer():
    """With no timer the loop waits for a thread in real time, and the clock stands still."""

    async def scenario() -> float:
        await anyio.to_thread.run_sync(time.sleep, 0.02)
        return anyio.current_time()

    assert virtual_clock.run(scenario) == 0


@pytest.mark.parametrize(("threshold_s", "is_cancelled"), [(0.0, True), (5.0, False)])
def test_the_threshold_gives_threads_a_chance(threshold_s, is_cancelled):
    """With a timer and a thread the timer wins, unless the threshold gives the thread time."""

    async def scenario() -> bool:
        with anyio.move_on_after(60) as scope:
            await anyio.to_thread.run_sync(time.sleep, 0.02, abandon_on_cancel=True)
        return scope.cancelled_caught

    assert VirtualClock(autojump_threshold_s=threshold_s).run(scenario) is is_cancelled


def test_sockets_are_real():
    """Streams between two ends on the same loop work, and come before any jump."""

    async def scenario() -> tuple[bytes, float]:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(4))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"ping")
            with anyio.fail_after(30):
                data = await reader.readexactly(4)
            writer.close()
            await writer.wait_closed()
        return data, anyio.current_time()

    assert VirtualClock(autojump_threshold_s=1.0).run(scenario) == (b"ping", 0)


def test_anyio_runs_on_it():
    """The loop is accepted as a loop factory by anyio.run."""

    async def nap() -> float:
        await anyio.sleep(100)
        return anyio.current_time()

    factory = {"loop_factory": VirtualClock().new_loop}
    assert anyio.run(nap, backend_options=factory) == 100


def test_clocks_are_independent():
    """Each run begins at 0, arguments are passed on, and the loop can be made by itself."""

    async def nap(seconds_s: float, *, further_s: float = 0) -> float:
        await anyio.sleep(seconds_s + further_s)
        return anyio.current_time()

    assert VirtualClock().run(nap, 1, further_s=2) == 3
    assert VirtualClock().run(nap, 1) == 1
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        assert runner.run(nap(5)) == 5


def test_errors_come_out():
    """What the function raises is raised by run."""

    async def fails() -> None:
        await anyio.sleep(10)
        raise KeyError("x")

    with pytest.raises(KeyError):
        virtual_clock.run(fails)


def test_threads_that_are_under_way_at_the_end_are_waited_for():
    """However long they take: the five minutes that asyncio gives them are over at once here."""
    ended: list[bool] = []

    def slow() -> None:
        threading.Event().wait(0.05)
        ended.append(True)

    async def leave_it_running() -> None:
        asyncio.get_running_loop().run_in_executor(None, slow)

    virtual_clock.run(leave_it_running)
    assert ended == [True]
