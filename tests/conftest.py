"""What tests of pipelines and backends share: an endpoint on loopback, and quick retries.

Thousands of tests talk over real sockets, to real processes, on a machine that others use: one of
them fails by chance where one in a hundred thousand would. `nox` therefore gives a test that failed
a second try (`--reruns`), as CPython's own test runner does. A defect fails twice. What passed
only at its second try is told at the end, by name, and more than `SECOND_TRIES_MAX` of them are no
chance: then the whole fails.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from huggingface_hub import constants
from hypothesis import HealthCheck, settings

from distilabel.limits import RetryPolicy
from distilabel.llm import OpenAILLM
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import SimulatedEndpoint

collect_ignore_glob = ["*conftest.py"]  # several files of this name are no doctest modules

settings.register_profile(  # a slow example is a busy machine, and tells nothing
    "ours", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ours")

SECOND_TRIES_MAX = 3


def _second_tries(config: pytest.Config) -> list[str]:
    """The tests that were run again, by name."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else [again.nodeid for again in reporter.stats.get("rerun", [])]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fails what passed with too many second tries."""
    if exitstatus == pytest.ExitCode.OK and len(_second_tries(session.config)) > SECOND_TRIES_MAX:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Names the tests that failed at first."""
    again = _second_tries(config)
    if again:
        terminalreporter.section(f"failed at first: {len(again)}, {SECOND_TRIES_MAX} at most")
        terminalreporter.write_line("\n".join(again))


_SURROUNDINGS = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "HF_TOKEN",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and proxies of the machine have no say."""
    for name in _SURROUNDINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _runs_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run directories are made where pytest clears them away."""
    monkeypatch.setenv("DISTILABEL_RUNS", str(tmp_path / "runs"))


@pytest.fixture(autouse=True, scope="session")
def _interrupts_are_heard() -> Iterator[None]:
    """Ctrl-C reaches what tests start, also where a shell started them in its background.

    Such a shell ignores SIGINT for them, and what is ignored is handed down to every process.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def _state_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """So is what is noted of them in the user's state directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def quick() -> RetryPolicy:
    """The usual rules, with waits of a millisecond."""
    return RetryPolicy(transient_base_s=0.001, throttle_base_s=0.001, warming_wait_s=0.001)


@pytest.fixture
def serve() -> Iterator[Callable[..., SimulatedEndpoint]]:
    """Starts simulated endpoints, and stops them at the end."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(SimulatedEndpoint(**settings))


@pytest.fixture
def serve_hub(serve, monkeypatch) -> Callable[..., SimulatedEndpoint]:
    """Starts a simulated endpoint and has it stand for the hub's management of endpoints."""

    def start(**settings) -> SimulatedEndpoint:
        endpoint = serve(**settings)
        monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", endpoint.endpoints_url)
        return endpoint

    return start


@pytest.fixture
def writer(quick: RetryPolicy) -> Callable[..., OpenAILLM]:
    """Makes generators over an endpoint."""

    def make(endpoint: SimulatedEndpoint, **settings) -> OpenAILLM:
        settings.setdefault("task", TextGenerationTask())
        llm = OpenAILLM(model="writer", base_url=endpoint.openai_url, **settings)
        llm.retry_policy = quick
        return llm

    return make


@pytest.fixture
def judge(quick: RetryPolicy) -> Callable[..., OpenAILLM]:
    """Makes labellers over an endpoint."""

    def make(endpoint: SimulatedEndpoint, **settings) -> OpenAILLM:
        settings.setdefault("task", UltraFeedbackTask.for_instruction_following())
        llm = OpenAILLM(model="judge", base_url=endpoint.openai_url, **settings)
        llm.retry_policy = quick
        return llm

    return make
