"""Endpoints begin and end cleanly: in a thread, on a loop, in a process, from the command line."""

import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import anyio
import pytest

from distilabel.testing import HubEndpoint, Latency, ServeOptions, SimulatedEndpoint
from distilabel.testing.serving import READY, parse_arguments

PARENT = """
import sys
from distilabel.testing import SimulatedEndpoint
with SimulatedEndpoint.process() as endpoint:
    print(endpoint.url, flush=True)
    sys.stdin.read()
"""


def is_up(url: str) -> bool:
    """Whether something answers there."""
    try:
        urllib.request.urlopen(url + "/v1/models", timeout=5).close()  # noqa: S310 - loopback
    except OSError:  # of which URLError is one; a reset is another
        return False
    return True


def wait_until_down(url: str) -> None:
    """Wait for the end of what answers there."""
    deadline_s = time.monotonic() + 10
    while is_up(url):
        assert time.monotonic() < deadline_s, "the endpoint has outlived its parent"
        time.sleep(0.01)


def test_a_thread_comes_and_goes(connect, post):
    """Leaving ends the thread and the port, even with requests in flight; the ledger stays."""
    before = threading.active_count()
    with SimulatedEndpoint(latency=Latency.constant(60)) as endpoint:
        assert is_up(endpoint.url)
        connect(endpoint.url).sendall(post())
        endpoint.wait_until(lambda ledger: ledger.in_flight == 1)
    assert threading.active_count() == before
    assert not is_up(endpoint.url)
    assert endpoint.ledger.abandoned == 1


def test_an_endpoint_is_entered_once():
    """What has not begun has no URL; what has ended does not begin again."""
    endpoint = SimulatedEndpoint(require_key="sk-canary")
    with pytest.raises(RuntimeError, match="not been started"):
        _ = endpoint.url
    with pytest.raises(RuntimeError, match="not running"):
        endpoint.reset()
    with endpoint:
        pass
    with pytest.raises(RuntimeError, match="entered once"), endpoint:
        pass
    assert "canary" not in repr(endpoint) + repr(endpoint.settings)


async def test_the_callers_loop_is_not_blocked_and_can_serve_itself():
    """`async with` works from a loop; here() serves on it, without a thread."""
    before = threading.active_count()
    async with SimulatedEndpoint() as endpoint:
        assert await anyio.to_thread.run_sync(is_up, endpoint.url)
    async with SimulatedEndpoint().here() as endpoint:
        names = [thread.name for thread in threading.enumerate()]
        assert "simulated-endpoint" not in names
        assert await anyio.to_thread.run_sync(is_up, endpoint.url)
        endpoint.reset()
    assert threading.active_count() <= before + 2  # anyio keeps its workers


def ask(url: str, key: str) -> int:
    """The status of a chat completion."""
    request = urllib.request.Request(  # noqa: S310 - loopback
        url + "/chat/completions",
        data=b'{"model":"m","messages":[{"role":"user","content":"x"}]}',
        headers={"Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - loopback
            return response.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_process_answers_reports_and_ends():
    """In its own process it behaves as told, its ledger is read from here, and leaving ends it."""
    options = {
        "latency": Latency.lognormal(0.001, 0.1, 7),
        "slots": 4,
        "rate_per_s": 0.0,
        "burst": 3,
        "require_key": "sk-canary",
        "models": ["m"],
        "endpoints": [HubEndpoint("mine", state="paused")],
    }
    with SimulatedEndpoint.process(**options) as endpoint:
        statuses = [ask(endpoint.openai_url, key) for key in ["sk-canary"] * 4 + ["sk-wrong"]]
        assert statuses == [200, 200, 200, 429, 401]
        endpoint.set_rate(1e9)
        assert ask(endpoint.openai_url, "sk-canary") == 200
        report = endpoint.ledger
        assert (report.paid, report.statuses) == (4, {200: 4, 429: 1, 401: 1})
        assert report.calls[1].attempt == 2
        endpoint.reset()
        assert endpoint.ledger.requests == 0
        command = Path(f"/proc/{endpoint.pid}/cmdline")
        assert not command.exists() or b"canary" not in command.read_bytes()
    assert endpoint.pid is None
    assert endpoint.ledger.requests == 0
    assert not is_up(endpoint.url)
    with pytest.raises(RuntimeError, match="entered once"):
        endpoint.__enter__()


async def test_a_process_that_was_killed_can_be_left():
    """A process that is killed under our hands does not hang the block around it."""
    async with SimulatedEndpoint.process() as endpoint:
        endpoint._process.kill()
        await anyio.to_thread.run_sync(endpoint._process.wait)


def test_a_process_dies_with_its_parent():
    """When the parent is killed the endpoint ends: its standard input does."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PARENT,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = parent.stdout.readline().strip()
    assert is_up(url)
    parent.kill()
    parent.communicate()
    wait_until_down(url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_its_url_and_ends_on_a_signal(number):
    """The command prints one line, serves, and exits with 0 when told to."""
    command = [sys.executable, "-m", "distilabel.testing", "--latency-median", "0.001"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    url = line.removeprefix(READY).strip()
    assert is_up(url)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, "")


def test_the_command_explains_what_it_does_not_understand():
    """An unknown option, and a port that is taken, end with a message and the exit code 2."""
    command = [sys.executable, "-m", "distilabel.testing"]
    wrong = subprocess.run([*command, "--colour", "red"], capture_output=True, check=False)
    assert wrong.returncode == 2
    assert b"--colour" in wrong.stderr
    with SimulatedEndpoint() as endpoint:
        port = endpoint.url.rpartition(":")[2]
        taken = subprocess.run([*command, "--port", port], capture_output=True, check=False)
    assert taken.returncode == 2
    assert b"Traceback" not in taken.stderr


def test_options_are_read_from_flags():
    """Flags are field names, with or without unit; wrong values are named."""
    options = parse_arguments(["--rate", "2.5", "--slots", "3", "--ledger", "bodies"])
    assert (options.rate_per_s, options.slots, options.ledger) == (2.5, 3, "bodies")
    for wrong in (["--port"], ["port", "1"], ["--slots", "many"], ["--ledger", "all"]):
        with pytest.raises(ValueError):
            parse_arguments(wrong)


def test_options_become_settings():
    """Rates become scripts, the bucket and the slots are made, and the latency has its own seed."""
    options = ServeOptions(
        seed=5, latency_seed=6, rate_per_s=1, slots=2, error_rate=0.5, hang_rate=0.1, reset_rate=0.1
    )
    settings = options.settings()
    assert settings.latency.seed == 6
    assert settings.bucket.rate_per_s == 1
    assert settings.slots.n == 2
    assert settings.script is not None
    assert ServeOptions().settings().script is None
