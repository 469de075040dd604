"""Every exception that this library raises.

::

    DistilabelError
     ├─ ConfigurationError (ValueError)   bad input, found before any call is made
     │   ├─ ColumnError                   a column is missing, or would be overwritten
     │   └─ MissingKeyError               no API key was given
     ├─ MissingDependencyError (ImportError)   an optional package is not installed
     ├─ CallError                         a call failed; its class says what happens next
     │   ├─ ThrottledError                wait, then try again; costs no attempt
     │   ├─ WarmingError                  the server is starting; wait and probe; costs no attempt
     │   ├─ TransientError                try again, a few times
     │   ├─ InvalidReplyError             paid for and of no use; try again, twice at most
     │   ├─ RowFatalError                 this row cannot succeed; the others can
     │   └─ RunFatalError                 no row can succeed until somebody mends something
     ├─ JournalError                      the record of paid calls cannot be opened, read or written
     │   ├─ RunLockedError                a live process works in that run directory
     │   ├─ JournalCorruptError           the file is damaged, or not a journal of ours
     │   └─ JournalWriteError             disk full, I/O error: what was acknowledged is kept
     ├─ RowFailedError                    on_error="raise" met a failed row
     ├─ RunStoppedError                   the run was stopped from outside; it can be resumed
     ├─ BudgetExceededError               max_cost does not pay the next call; it can be resumed
     ├─ ArgillaError                      an Argilla server did not do what it was asked
     ├─ DispatchStoppedError              no more calls are sent: the run is stopping (internal)
     └─ StreamClosedError                 a stream was read after it was left

Data is in attributes, so that nobody has to read a message to decide. No message holds a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from distilabel.naming import named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from distilabel.types import RowError, RunSummary, Usage

__all__ = [
    "ArgillaError",
    "BudgetExceededError",
    "CallError",
    "ColumnError",
    "ConfigurationError",
    "DispatchStoppedError",
    "DistilabelError",
    "InvalidReplyError",
    "JournalCorruptError",
    "JournalError",
    "JournalWriteError",
    "MissingDependencyError",
    "MissingKeyError",
    "RowFailedError",
    "RowFatalError",
    "RunFatalError",
    "RunLockedError",
    "RunStoppedError",
    "StreamClosedError",
    "ThrottledError",
    "TransientError",
    "WarmingError",
]


class DistilabelError(Exception):
    """The root of all errors of this library."""


class ConfigurationError(DistilabelError, ValueError):
    """The input cannot work. No call was made, nothing was spent."""


class ColumnError(ConfigurationError):
    """A column that is needed is missing, or one of the user's would be overwritten."""

    def __init__(self, message: str, *, column: str, available: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.column = column
        self.available = tuple(available)


class MissingKeyError(ConfigurationError):
    """A backend needs a key and was given none."""


class MissingDependencyError(DistilabelError, ImportError):
    """An optional package is needed for this and is not installed."""

    def __init__(self, package: str, *, needed_for: str, extra: str) -> None:
        super().__init__(
            f"{needed_for} needs the package `{package}`, which is not installed. "
            f"Install it from the checkout of distilabel: .venv/bin/pip install '.[{extra}]'"
        )
        self.package = package
        self.extra = extra


class CallError(DistilabelError):
    """A call to a backend failed. The subclass says what the failure means for the run.

    Args:
        message: what happened, whose fault it is, what to do next.
        cause: a short, stable word to count by, such as "timeout" or "rate_limited".
        status: the HTTP status, if a reply came at all.
        retry_after_s: how long the server asks to wait, in seconds.
        request_id: the provider's own name for the call.
        usage: tokens of a reply that came and was of no use, as far as it says.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.usage = usage
        self.cause = cause
        self.status = status
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.attempts = 0
        """HTTP attempts spent on the call that failed; counted where calls are retried."""
        self.is_of_text = False
        """The reply came as it should, and its text is of no use to the task."""


class ThrottledError(CallError):
    """The server says: too much (429, 529)."""


class WarmingError(CallError):
    """The server is there but its model is not loaded yet."""


class TransientError(CallError):
    """Nobody's fault in particular: a reset, a timeout, a 5xx, a truncated body."""


class InvalidReplyError(CallError):
    """A complete reply, paid for and of no use. Tasks raise it for what is off their schema."""

    def __init__(self, message: str, *, cause: str = "invalid_reply", **details: object) -> None:
        super().__init__(message, cause=cause, **details)  # type: ignore[arg-type]


class RowFatalError(CallError):
    """This request can never succeed: too long, refused by a filter, not accepted."""


class RunFatalError(CallError):
    """No request can succeed: wrong key, no quota, unknown model. Rows stay pending."""


class JournalError(DistilabelError):
    """The journal, the record of paid calls on disk, cannot do what it should.

    Args:
        message: what happened, whose fault it is, what to do next.
        path: the file or directory that it concerns.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class RunLockedError(JournalError):
    """A run directory is in use: by another process, or by another run of this one.

    Args:
        directory: the run directory.
        holder_pid: the process that works there; None if the lock does not say.
        holder_host: its host.
        holder_since: since when it works there.
    """

    def __init__(
        self,
        directory: Path,
        *,
        holder_pid: int | None = None,
        holder_host: str | None = None,
        holder_since: datetime | None = None,
    ) -> None:
        who = "a live process" if holder_pid is None else f"process {holder_pid}"
        where = "" if holder_host is None else f" on {holder_host}"
        since = "" if holder_since is None else f", since {holder_since:%Y-%m-%d %H:%M:%S %Z}"
        super().__init__(
            f"the run directory {directory} is in use by {who}{where}{since}. "
            "Wait for its end, stop it, or choose another " + named("checkpoint_dir") + ".",
            path=directory,
        )
        self.directory = directory
        self.holder_pid = holder_pid
        self.holder_host = holder_host
        self.holder_since = holder_since


class JournalCorruptError(JournalError):
    """A journal is damaged or is not ours. `moved_to` says where it lies now, if it was moved."""

    def __init__(self, message: str, *, path: Path, moved_to: Path | None = None) -> None:
        super().__init__(message, path=path)
        self.moved_to = moved_to


class JournalWriteError(JournalError):
    """A write failed. What was acknowledged before is kept; nothing is written any more."""


class RowFailedError(DistilabelError):
    """`on_error="raise"` and a row failed. The run has stopped."""

    def __init__(self, row_index: int, errors: Sequence[RowError]) -> None:
        first = errors[0]
        super().__init__(f"row {row_index} failed in the {first.stage}: {first.message}")
        self.row_index = row_index
        self.errors = tuple(errors)


class RunStoppedError(DistilabelError):
    """The run was stopped before its last row. What was finished is kept, if checkpoints are on."""

    def __init__(self, message: str, *, summary: RunSummary) -> None:
        super().__init__(message)
        self.summary = summary


class BudgetExceededError(DistilabelError):
    """What is left of `max_cost` does not pay the next call. Nothing was spent beyond it.

    What was finished is kept, if checkpoints are on; the other rows are pending. The same call with
    a higher `max_cost` goes on.

    Args:
        message: what was spent, what is missing, and how to go on.
        summary: what this session of the run did.
        max_cost: the ceiling, in US dollars.
        spent: what the run has spent, earlier sessions included, in US dollars: what may have been
            billed counts.
        needed: what the call that could not be paid may cost at most, in US dollars.
    """

    def __init__(
        self, message: str, *, summary: RunSummary, max_cost: float, spent: float, needed: float
    ) -> None:
        super().__init__(message)
        self.summary = summary
        self.max_cost = max_cost
        self.spent = spent
        self.needed = needed


class ArgillaError(DistilabelError):
    """An Argilla server cannot be reached, or did not do what it was asked.

    Args:
        message: what happened, whose fault it is, what to do next.
        status: the HTTP status, if a reply came at all.
        records_pushed: records that the server had taken before. A second push is safe: records
            that are there are updated.
    """

    def __init__(self, message: str, *, status: int | None = None, records_pushed: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.records_pushed = records_pushed


class DispatchStoppedError(DistilabelError):
    """The run is stopping, and a call that was not sent yet is not sent any more. Internal."""


class StreamClosedError(DistilabelError):
    """A stream was read outside its `with` block. Read it inside."""
