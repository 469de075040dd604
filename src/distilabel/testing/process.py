"""`EndpointProcess`: a simulated endpoint in a process of its own.

For benchmarks (the endpoint's work is not on the client's core and GIL) and for tests of clients
that are killed. How it works: ``python -m distilabel.testing`` is started, told its options over
the standard input, and says its URL on the standard output; the ledger is read over HTTP.

Rules:

- It never outlives its parent: it ends when its standard input does, and the kernel closes that
  pipe however the parent ends. Leaving the ``with`` block ends it with SIGTERM.
- Functions cannot cross: replies are the default ones, faults are rates (see `ServeOptions`).
"""

import subprocess
import sys
from dataclasses import replace
from http.client import HTTPConnection
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec

from distilabel.testing.ledger import LedgerReport
from distilabel.testing.serving import READY, ServeOptions

__all__ = ["EndpointProcess"]

_TIMEOUT_S = 10.0


class EndpointProcess:
    """A simulated endpoint in a process of its own; use it with ``with`` or ``async with``.

    Args:
        options: how it behaves.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._last_report: LedgerReport | None = None

    @property
    def url(self) -> str:
        """Where it listens; text generation is served here."""
        if not self._url:
            raise RuntimeError("the endpoint has not been started: use `with` or `async with`")
        return self._url

    @property
    def openai_url(self) -> str:
        """The ``base_url`` for OpenAI's clients."""
        return f"{self.url}/v1"

    @property
    def endpoints_url(self) -> str:
        """The value for ``huggingface_hub.constants.INFERENCE_ENDPOINTS_ENDPOINT``."""
        return f"{self.url}/v2"

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def ledger(self) -> LedgerReport:
        """What was asked and answered until now; after the end, until the end.

        Each look is a blocking call of about a millisecond.
        """
        if self._process is None and self._last_report is not None:
            return self._last_report
        return msgspec.json.decode(self._control("GET", "ledger"), type=LedgerReport)

    def endpoint_url(self, name: str) -> str:
        """The URL of an Inference Endpoint."""
        return f"{self.url}/endpoints/{name}"

    def reset(self) -> None:
        """Begin anew: an empty ledger, the first draw, the first index."""
        self._control("POST", "reset")

    def set_rate(self, rate_per_s: float) -> None:
        """Change the rate of the token bucket, if the options have one."""
        self._control("POST", "rate", msgspec.json.encode({"rate_per_s": rate_per_s}))

    def _control(self, method: str, action: str, body: bytes = b"") -> bytes:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=_TIMEOUT_S)
        try:
            connection.request(method, f"/_sim/{action}", body)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{action} was refused: {content.decode(errors='replace')}")
        return content

    def __enter__(self) -> Self:
        if self._process is not None or self._url:
            raise RuntimeError("an endpoint is entered once: make another one")
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "distilabel.testing", "--options-from-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for who started it; its end comes from there
        )
        try:
            self._url = self._started(process)
        except BaseException:
            self._end()
            raise
        return self

    def _started(self, process: subprocess.Popen[bytes]) -> str:
        """Where it listens, once it does."""
        assert process.stdin is not None
        assert process.stdout is not None
        options = replace(self.options, is_tied_to_stdin=True)
        process.stdin.write(msgspec.json.encode(options) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline().decode()
        if not line.startswith(READY):
            raise RuntimeError("the endpoint did not start: see its message on standard error")
        return line.removeprefix(READY).strip()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._last_report = self.ledger
        except (OSError, RuntimeError):
            self._last_report = None  # it died on its own, or was killed: that is no error here
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.communicate()  # closes the pipes, waits for the end

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self.__enter__)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.__exit__, None, None, None)
