"""Permits: order, cancellation, threads."""

import asyncio
import random
import threading

import anyio
import pytest

from distilabel.limits import PermitPool


async def test_permits_are_granted_in_order_of_asking():
    """Who asks first gets the next permit."""
    pool = PermitPool(1)
    await pool.acquire()
    granted: list[int] = []

    async def ask(number: int) -> None:
        await pool.acquire()
        granted.append(number)
        pool.release()

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(ask, number)
            await anyio.lowlevel.checkpoint()
        pool.release()
    assert granted == [0, 1, 2, 3, 4]
    assert pool.statistics().in_use == 0


async def test_nobody_overtakes_a_waiter():
    """A free permit goes to who waits, and `acquire_nowait` does not jump the queue."""
    pool = PermitPool(1)
    await pool.acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(pool.acquire)
        await anyio.lowlevel.checkpoint()
        pool.release()
        assert not pool.acquire_nowait()
    assert pool.statistics().in_use == 1


async def test_a_cancelled_waiter_leaves_no_trace():
    """Cancelling while waiting, or in the moment of the grant, loses no permit."""
    pool = PermitPool(1)
    await pool.acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(pool.acquire)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert pool.statistics().waiting == 0
    waiter = asyncio.tasks.Task(pool.acquire())
    await anyio.lowlevel.checkpoint()
    pool.release()  # granted now, and cancelled before the task hears of it
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert pool.statistics().in_use == 0
    assert pool.acquire_nowait()


async def test_random_cancellation_ends_at_idle():
    """After 2,000 random cancellations every permit is back."""
    pool, chance = PermitPool(7), random.Random(1)

    async def use() -> None:
        with anyio.move_on_after(chance.random() * 0.003):
            async with pool:
                await anyio.sleep(chance.random() * 0.003)

    async with anyio.create_task_group() as group:
        for _ in range(2000):
            group.start_soon(use)
    statistics = pool.statistics()
    assert (statistics.in_use, statistics.waiting) == (0, 0)
    assert statistics.peak_in_use == 7


def test_one_pool_limits_several_loops_at_once():
    """The limit holds over all threads and loops of the process together."""
    pool = PermitPool(3)
    lock, inside, peak = threading.Lock(), 0, 0

    async def use() -> None:
        nonlocal inside, peak
        async with pool:
            with lock:
                inside += 1
                peak = max(peak, inside)
            await anyio.sleep(0.001)
            with lock:
                inside -= 1

    async def many() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(use)

    threads = [threading.Thread(target=anyio.run, args=(many,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert peak == 3
    assert pool.statistics().in_use == 0


def test_a_waiter_whose_loop_died_is_passed_over():
    """A permit is not lost to a loop that was closed while it waited."""
    pool = PermitPool(1)
    assert pool.acquire_nowait()
    loop = asyncio.new_event_loop()
    waiting = pool.acquire()

    async def start() -> None:
        waiting.send(None)  # runs up to its wait, in this loop

    loop.run_until_complete(start())
    loop.close()
    pool.release()
    assert pool.acquire_nowait()
    with pytest.raises(RuntimeError):
        waiting.throw(RuntimeError("gone"))


async def test_resizing_hands_out_and_takes_nothing_away():
    """A larger pool serves waiters at once; a smaller one lets those inside finish."""
    pool = PermitPool(1)
    await pool.acquire()
    async with anyio.create_task_group() as group:
        group.start_soon(pool.acquire)
        await anyio.lowlevel.checkpoint()
        pool.resize(2)
    pool.resize(1)
    assert pool.statistics().in_use == 2
    pool.release()
    assert not pool.acquire_nowait()
    pool.release()
    assert pool.acquire_nowait()


async def test_wait_available_takes_nothing_and_sees_the_queue():
    """`wait_available` returns when a permit is free and nobody waits, and holds none."""
    pool = PermitPool(1)
    await pool.acquire()
    done = anyio.Event()

    async def watch() -> None:
        await pool.wait_available()
        done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        group.start_soon(pool.acquire)
        await anyio.lowlevel.checkpoint()
        pool.release()  # to the waiter, so nothing is free
        await anyio.lowlevel.checkpoint()
        assert not done.is_set()
        pool.release()
    assert done.is_set()
    assert pool.statistics().in_use == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_a_pool_without_permits_is_refused(limit):
    """A limit below 1 could never let anything through."""
    with pytest.raises(ValueError, match="at least 1"):
        PermitPool(limit)
    with pytest.raises(ValueError, match="at least 1"):
        PermitPool(1).resize(limit)


def test_a_release_too_many_is_refused():
    """Giving back what nobody held is a bug that must not pass."""
    with pytest.raises(RuntimeError):
        PermitPool(1).release()
