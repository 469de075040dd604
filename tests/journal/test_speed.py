"""How fast it is. Printed, not asserted: it depends on the disk. `pytest -m campaign -s`."""

import time
from functools import partial

import anyio
import pytest
from journal_kit import RUN, call, key, row

from distilabel.journal import Occurrences, call_key, open_journal, row_identity, settings_digest

TEXT = "x" * 1400
ROWS = 10_000

pytestmark = pytest.mark.campaign


async def per_second(work, count: int, at_once: int) -> float:
    """How often in a second `work` is done for each of so many numbers, so many at once."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await work(number)

    start = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(some)
    return count / (time.perf_counter() - start)


@pytest.mark.parametrize("durability", ["power", "process"])
@pytest.mark.parametrize("at_once", [1, 8, 64, 256])
async def test_rows_in_a_second(tmp_path, durability, at_once):
    """A call of 1.5 KB and a row of as much; then the same run resumed."""

    async def put(number: int) -> None:
        journal.sent()
        journal.put_call(call(number, TEXT))
        await journal.put_row(row(number, TEXT))

    async def again(number: int) -> None:
        assert await journal.find(key(number))
        await journal.put_row(row(number, TEXT))

    rows = ROWS if at_once > 1 else ROWS // 10
    async with open_journal(tmp_path / "run", identity=RUN, durability=durability) as journal:
        first = await per_second(put, rows, at_once)
        groups = journal.statistics().writer.groups
    async with open_journal(tmp_path / "run", identity=RUN, durability=durability) as journal:
        resumed = await per_second(again, rows, at_once)
    print(f"\n{durability}, {at_once} at once: {first:,.0f} rows/s ({rows / groups:.0f} a group), ")  # noqa: T201
    print(f"resumed: {resumed:,.0f} rows/s")  # noqa: T201


def test_microseconds_of_what_each_call_costs():
    """Keys, identities and occurrences, for a prompt of 1 KB."""
    backend = settings_digest({"model": "gpt-4"})
    prompt = "x" * 1024
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": prompt}]
    identities = [row_identity({"number": number}) for number in range(100_000)]
    occurrences = Occurrences()
    for name, work in {
        "call_key, text": partial(call_key, backend, prompt),
        "call_key, chat": partial(call_key, backend, chat),
        "row_identity": partial(row_identity, {"input": prompt}),
        "Occurrences.count": lambda: occurrences.count(identities.pop()),
    }.items():
        start = time.perf_counter()
        for _ in range(50_000):
            work()
        print(f"\n{name}: {(time.perf_counter() - start) / 50_000 * 1e6:.1f} us")  # noqa: T201
