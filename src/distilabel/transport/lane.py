"""What every lane answers, and the values that go through it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from distilabel.errors import CallError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = [
    "BODY_MAX_BYTES",
    "ErrorTable",
    "HttpReply",
    "Lane",
    "Timeouts",
    "bare",
    "mapped",
    "mapped_error",
    "too_large",
]

ErrorTable: TypeAlias = tuple[tuple[type[BaseException], type[CallError], str, str], ...]
"""Foreign exception, ours, its cause, what happened."""

_NO_FILES_LEFT = {errno.EMFILE, errno.ENFILE}

BODY_MAX_BYTES = 32 * 1024 * 1024
"""The most that a reply may hold once decompressed."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one attempt may take, in seconds."""

    connect_s: float = 5.0
    first_byte_s: float = 120.0
    """From the request sent to the reply's first byte: the model thinks in here."""
    idle_s: float = 60.0
    """Between two reads of a reply."""
    total_s: float = 600.0


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete reply, of any status."""

    status: int
    headers: Mapping[str, str]
    """Looked up by lower-case name."""
    body: bytes


class Lane(Protocol):
    """A way for one attempt to reach a server. Opened in, and bound to, one event loop."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Send one request and read the whole reply.

        Raises:
            TransientError: no complete reply came; the cause says why.
            RunFatalError: the URL can never work.
        """
        ...

    async def aclose(self) -> None:
        """Close what this lane itself opened."""
        ...


class mapped:  # noqa: N801 - it reads as a word: `with mapped(errors, url):`
    """Turn foreign exceptions into ours at the edge, the first match counting.

    The cause is kept without its traceback: the frames of an HTTP client hold request headers, and
    so the key, among their locals.
    """

    __slots__ = ("_table", "_url")

    def __init__(self, table: ErrorTable, url: str) -> None:
        self._table = table
        self._url = url

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            return
        error = mapped_error(self._table, self._url, exc)
        if error is not None:
            raise error from bare(exc)


def mapped_error(table: ErrorTable, url: str, exc: BaseException) -> CallError | None:
    """Our error for a foreign exception, the first match counting; None if the table has none."""
    if isinstance(exc, OSError) and exc.errno in _NO_FILES_LEFT:
        return TransientError(
            f"this process may open no more files to connect to {url}. Raise `ulimit -n`, or lower "
            f"num_threads.",
            cause="too_many_files",
        )
    for foreign, ours, cause, what in table:
        if isinstance(exc, foreign):
            return ours(f"{what}: {url} ({type(exc).__name__})", cause=cause)
    return None


def bare(exc: BaseException) -> BaseException:
    """A foreign exception without its frames, and without those of what it came from."""
    exc.__context__ = exc.__cause__ = None
    return exc.with_traceback(None)


def too_large(url: str) -> TransientError:
    """The error for a reply over the cap."""
    return TransientError(
        f"the reply of {url} is larger than {BODY_MAX_BYTES // 2**20} MB and was not read",
        cause="reply_too_large",
    )
