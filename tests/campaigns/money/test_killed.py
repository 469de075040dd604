"""`max_cost` over sessions that are killed: the bill of all of them together stays within it."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bill import Bill

from distilabel.testing import Latency, SimulatedEndpoint

CHILD = Path(__file__).with_name("killed_child.py")
MAX_COST = 0.012


def session(endpoint: SimulatedEndpoint, directory: Path, kill_after: int | None) -> int:
    """Run until the end, or until so many more requests have come; then kill it."""
    seen = endpoint.ledger.requests
    arguments = [endpoint.openai_url, str(directory), str(MAX_COST), "2000"]
    process = subprocess.Popen(
        [sys.executable, str(CHILD), *arguments],
        env={**os.environ, "OPENAI_API_KEY": "sk-of-nobody"},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        try:
            endpoint.wait_until(
                lambda ledger: kill_after is not None and ledger.requests >= seen + kill_after,
                timeout_s=0.05,
            )
        except TimeoutError:
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
    return process.returncode


def sessions(directory: Path, seed: int) -> tuple[Bill, list[int]]:
    """Sessions of one run, each killed after some requests, until the money is used up."""
    chance, bill = random.Random(seed), Bill(seed, trouble=0.1)
    server = SimulatedEndpoint(
        latency=Latency.lognormal(0.05, 0.6, seed), script=bill.script, reply=bill.reply
    )
    codes: list[int] = []
    with server as endpoint:
        while not codes or codes[-1] == -signal.SIGKILL:
            is_last = len(codes) >= 12
            kill_after = None if is_last else chance.randint(1, 60)
            codes.append(session(endpoint, directory, kill_after))
    return bill, codes


@pytest.mark.parametrize("seed", [1])
def test_killed_sessions_share_one_ceiling(tmp_path, seed):
    """What was under way at each kill counts as spent, so that the last session ends in time."""
    bill, codes = sessions(tmp_path / "run", seed)
    assert codes[-1] == 3
    assert codes.count(-signal.SIGKILL) >= 2
    assert 0.2 * MAX_COST < bill.at_most <= MAX_COST


@pytest.mark.campaign
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(10, 30))
def test_killed_sessions_share_one_ceiling_in_many_runs(tmp_path, seed):
    """The same in twenty runs."""
    bill, codes = sessions(tmp_path / "run", seed)
    print(f"seed {seed}: {len(codes)} sessions, {bill.at_most / MAX_COST:.2f} of it billed")  # noqa: T201
    assert codes[-1] == 3
    assert bill.at_most <= MAX_COST
