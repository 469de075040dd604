"""What a run says on standard error if it is `verbose`: where it keeps things, how to go on."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from distilabel.journal import JournalState
    from distilabel.pipeline.forecast import Forecast
    from distilabel.types import RunSummary

__all__ = ["beginning", "resume_line", "say", "where_it_is_kept", "with_failures"]


def say(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"distilabel: {one_line(message, characters_max=2000)}\n")


def beginning(found: JournalState, forecast: Forecast | None) -> str:
    """Where replies are kept, what is there already, and what will be bought."""
    is_fresh = found.is_new and not (found.ancestor_calls or found.in_flight_at_end)
    if is_fresh:
        parts = [f"every reply is kept in {found.directory}"]
    else:
        parts = [f"{found.directory} holds {found.rows:,} rows and {found.calls:,} calls"]
    if found.same_finished is not None:
        parts.append(
            f"the same run was finished before, in {found.same_finished}, and is made anew; "
            f'resume="always" would reuse its replies for nothing'
        )
    if found.ancestor_calls:
        parts.append(f"earlier runs hold {found.ancestor_calls:,} more calls")
    if forecast is not None:
        parts.append(
            f"of {forecast.rows:,} rows {forecast.rows_done:,} need no call; "
            f"{forecast.calls_reused:,} calls are reused, {forecast.calls_to_buy:,} will be bought"
        )
    if found.in_flight_at_end:
        parts.append(
            f"at most {found.in_flight_at_end:,} calls were in flight when the earlier run ended, "
            f"and may be bought a second time"
        )
    return "; ".join(parts)


def where_it_is_kept(directory: Path) -> str:
    """How to go on after a run that ended early."""
    return f"All of that is kept in {directory}. To go on, run the same again: {resume_line()}"


def resume_line() -> str:
    """The command that started this process."""
    return shlex.join(sys.orig_argv or [sys.executable, *sys.argv])


def with_failures(summary: RunSummary) -> str:
    """How many rows failed, and why."""
    causes = ", ".join(f"{cause} {count:,}" for cause, count in summary.failed_by_cause.items())
    return (
        f"{summary.rows_failed:,} of {summary.rows:,} rows have failures ({causes}); "
        f"`.errors` of a row says what happened"
    )
