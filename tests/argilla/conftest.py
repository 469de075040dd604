"""A real Argilla server, and people who use it."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from argilla_people import OWNER_KEY, WORKSPACE, RealServer, free_port

SERVE = Path(__file__).with_name("serve_argilla.py")
START_MAX_S = 90


@pytest.fixture(autouse=True)
def _nobody_is_logged_in() -> Iterator[None]:
    """Neither the environment nor an earlier test has logged in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ARGILLA_API_URL", raising=False)
        patch.delenv("ARGILLA_API_KEY", raising=False)
        yield
    if (argilla := sys.modules.get("argilla")) is not None:
        argilla.Argilla._set_default(None)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The server, in a process and an environment of its own."""
    python = os.environ.get("ARGILLA_SERVER_PYTHON")
    if python is None:
        pytest.skip("needs an environment with argilla-server: run `nox -s argilla`")
    import argilla

    home, port = tmp_path_factory.mktemp("argilla-home"), free_port()
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as held:
        log = held.enter_context((home / "log").open("w"))
        command = [python, str(SERVE), str(home), str(port)]
        process = held.enter_context(
            subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        )
        held.callback(process.kill)
        _wait_for(f"{url}/api/v1/version", process, home / "log")

        def log_in(key: str) -> Any:
            client = argilla.Argilla(api_url=url, api_key=key)
            held.callback(client.http_client.close)
            return client

        server = RealServer(url, log_in(OWNER_KEY), log_in)
        server.ask("POST", "workspaces", json={"name": WORKSPACE})
        yield server


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + START_MAX_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # our own server
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(log.read_text())
