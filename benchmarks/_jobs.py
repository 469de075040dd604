"""Run one client on one job in a process of its own, and tell what came of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from clients._protocol import INSTRUCTION, TEXTS, Job, Report
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import Latency
from ideal import simulate

if TYPE_CHECKING:
    from distilabel.testing import EndpointProcess

__all__ = ["CLIENTS", "PEERS", "Client", "Outcome", "Setting", "run_client"]

_PROGRAMS = Path(__file__).with_name("clients")
_REASON_CHARS = 200
_QUIET = {
    "OPENAI_API_KEY": "none",
    "TELEMETRY_ENABLED": "false",
    "NEMO_TELEMETRY_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "NO_PROXY": "127.0.0.1",
}
"""Nothing goes out to the internet, and no progress is drawn."""


@dataclass(frozen=True, slots=True)
class Client:
    """What is measured."""

    name: str
    program: str
    """A file in `clients`, without its suffix."""
    is_peer: bool = False

    @property
    def requirements(self) -> Path:
        """What a peer's environment is made from."""
        return _PROGRAMS / f"{self.program}.txt"


CLIENTS = (
    Client("generate", "ours"),
    Client("generate, no checkpoints", "ours"),
    Client("stream", "ours"),
    Client("bare aiohttp", "bare_aiohttp"),
    Client("AsyncOpenAI", "async_openai"),
)
PEERS = (
    Client("curator", "curator_peer", is_peer=True),
    Client("data-designer", "data_designer_peer", is_peer=True),
    Client("distilabel 1.5.3", "distilabel1_peer", is_peer=True),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One block of the table."""

    median_s: float
    sigma: float
    seed: int
    in_flight: int
    stages: int

    @property
    def latency(self) -> Latency:
        """How the endpoint answers."""
        if not self.median_s:
            return Latency.zero()
        return Latency.lognormal(self.median_s, self.sigma, self.seed)

    def ideal_s(self, rows: int) -> float:
        """The makespan of a perfect client on the endpoint's own draws (see `ideal.py`)."""
        draws = self.latency.draws()
        permits = (self.in_flight,) * self.stages
        return simulate((draws,) * self.stages, rows=rows, permits=permits).total_s

    def __str__(self) -> str:
        waits = f"{self.median_s:g} s" if self.median_s else "no latency"
        stages = "one stage" if self.stages == 1 else "two stages"
        return f"{waits}, {self.in_flight:,} in flight, {stages}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run: a report, or a problem."""

    rows: int
    report: Report | None = None
    problem: str = ""
    calls: int = 0
    endpoint_share: float = 0.0
    """The endpoint's CPU time over the client's wall time: near 1, the endpoint held it up."""

    @property
    def cpu_ms(self) -> float:
        """Per row; infinite if there is no report."""
        return self.report.cpu_s / self.rows * 1000 if self.report else float("inf")

    def better(self, other: Outcome) -> Outcome:
        """The one with the less wall time, and with the less CPU of both."""
        if self.report is None or other.report is None:
            return self if other.report is None else other
        quicker = self if self.report.wall_s <= other.report.wall_s else other
        cpu_s = min(self.report.cpu_s, other.report.cpu_s)
        return replace(quicker, report=replace(quicker.report, cpu_s=cpu_s))


def run_client(
    client: Client,
    python: Path,
    endpoint: EndpointProcess,
    setting: Setting,
    rows: int,
    timeout_s: float,
) -> Outcome:
    """One run; what goes wrong is told in the outcome."""
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as directory:
        job = _job(client, endpoint.openai_url, setting, rows, directory)
        busy_before_s = _endpoint_cpu_s(endpoint)
        try:
            output = _call(python, client, job, timeout_s)
        except _ClientError as error:
            return Outcome(rows, problem=str(error)[:_REASON_CHARS])
    busy_s = _endpoint_cpu_s(endpoint) - busy_before_s
    report = msgspec.json.decode(output, type=Report)
    if report.complete_rows != rows:
        return Outcome(rows, problem=f"only {report.complete_rows} of {rows} rows were complete")
    return Outcome(
        rows,
        report,
        calls=endpoint.ledger.requests,
        endpoint_share=busy_s / report.wall_s,
    )


class _ClientError(Exception):
    """A client ended without a report."""


def _job(client: Client, url: str, setting: Setting, rows: int, directory: str) -> Job:
    writer = TextGenerationTask().generate_prompt(INSTRUCTION)
    judge = UltraFeedbackTask.for_overall_quality().generate_prompt(INSTRUCTION, list(TEXTS))
    if isinstance(writer, str) or isinstance(judge, str):
        raise TypeError("the tasks' prompts are expected to have a system prompt of their own")
    return Job(
        client=client.name,
        url=url,
        rows=rows,
        in_flight=setting.in_flight,
        stages=setting.stages,
        directory=directory,
        system_prompt=writer.system_prompt,
        judge_system_prompt=judge.system_prompt,
        judge_prompt=judge.formatted_prompt,
    )


def _call(python: Path, client: Client, job: Job, timeout_s: float) -> bytes:
    environment = os.environ | _QUIET | {"HOME": job.directory}
    if client.is_peer:
        environment.pop("PYTHONPATH", None)  # two packages are called distilabel
    with subprocess.Popen(
        [python, _PROGRAMS / f"{client.program}.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=job.directory,
        start_new_session=True,  # so that its own children end with it
    ) as process:
        try:
            output, errors = process.communicate(msgspec.json.encode(job), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise _ClientError(f"not done after {timeout_s:g} s") from None
        finally:
            _end(process)
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise _ClientError(lines[-1])
    return output


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole session of a client, if anything of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _endpoint_cpu_s(endpoint: EndpointProcess) -> float:
    fields = Path(f"/proc/{endpoint.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


OWN_PYTHON = Path(sys.executable)
"""The environment of this library runs all but the peers."""
