"""What a run says to its user: where it keeps things, why it ended, how to go on.

`say` says it, on standard error, of a run that is `verbose`; what ends a run is said in its error.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from distilabel.progress.wording import as_dollars
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distilabel.journal import JournalState
    from distilabel.llm.base import LLM
    from distilabel.pipeline.forecast import Forecast
    from distilabel.types import RunSummary

__all__ = [
    "beginning",
    "equal_texts",
    "mend_columns",
    "resume_line",
    "say",
    "stopped",
    "where_it_is_kept",
    "with_failures",
    "without_keys",
]

_PROGRAM = "distilabel"
_SECRET_OPTION = re.compile(r"^--?[\w-]*(key|token|secret|passw)", re.IGNORECASE)
_KEY = re.compile(r"\b(sk|hf|gsk|xai|api)[-_][A-Za-z0-9_-]{10,}")
"""How the keys of providers begin."""


def say(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"distilabel: {one_line(message, characters_max=2000)}\n")


def beginning(found: JournalState, forecast: Forecast | None) -> str:
    """Where replies are kept, what is there already, and what will be bought.

    Of other runs, and of what will be bought, only where something is there to be reused.
    """
    if found.is_new:
        parts = [f"every reply is kept in {found.directory}"]
    else:
        held = f"{_counted(found.rows, 'row')} and {_counted(found.calls, 'call')}"
        parts = [f"{found.directory} holds {held}"]
    if found.same_finished is not None:
        parts.append(
            f"the same run was finished before, in {found.same_finished}, and is made anew; "
            f'resume="always" (in a shell, --resume always) would reuse its replies free of charge'
        )
    is_of_use = forecast is None or forecast.calls_reused > 0
    if found.ancestor_calls and is_of_use:
        parts.append(f"earlier runs hold {_counted(found.ancestor_calls, 'more call')}")
    if forecast is not None and (is_of_use or not found.is_new):
        parts.append(_foretold(forecast))
    if found.in_flight_at_end:
        were = "was" if found.in_flight_at_end == 1 else "were"
        parts.append(
            f"at most {_counted(found.in_flight_at_end, 'call')} {were} in flight when the earlier "
            f"run ended, and may be bought a second time"
        )
    return "; ".join(parts)


def _foretold(forecast: Forecast) -> str:
    need = "needs" if forecast.rows_done == 1 else "need"
    are = "is" if forecast.calls_reused == 1 else "are"
    return (
        f"of {_counted(forecast.rows, 'row')} {forecast.rows_done:,} {need} no call; "
        f"{_counted(forecast.calls_reused, 'call')} {are} reused, "
        f"{forecast.calls_to_buy:,} will be bought"
        + (", or fewer: equal prompts are asked once" if forecast.may_share else "")
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def equal_texts(llm: LLM | None, num_generations: int) -> str:
    """That all texts of a row will be the same; "" if there is no reason to think so."""
    if llm is None or num_generations == 1 or not llm.is_deterministic:
        return ""
    return (
        f"{llm.model_name} is deterministic as it is set (temperature 0, or no sampling): the "
        f"{num_generations} texts of a row will be equal. For different ones, let it sample"
    )


def stopped(summary: RunSummary, total: int | None, directory: Path | None) -> str:
    """That a run was stopped, and how far it came.

    Args:
        summary: what it has done.
        total: rows in the input; None: not known.
        directory: where it is kept; None: nowhere.
    """
    rows = f"{summary.rows:,}" + ("" if total is None else f" of {total:,}")
    tokens = summary.usage.prompt_tokens + summary.usage.completion_tokens
    cost = "" if summary.cost is None else f", for {as_dollars(summary.cost)}"
    kept = "" if directory is None else f" {where_it_is_kept(directory)}"
    return (
        f"The run was stopped: {rows} rows are done, with {summary.calls:,} calls and "
        f"{tokens:,} tokens{cost}.{kept}"
    )


def where_it_is_kept(directory: Path) -> str:
    """How to go on after a run that ended early."""
    return f"All of that is kept in {directory}. To go on, run the same again: {resume_line()}"


def mend_columns(directory: Path | None) -> str:
    """What to do about columns of the input that turn out, at the end, to fit no data set."""
    if directory is None:
        return (
            "The replies are lost, as enable_checkpoints is False. Make the column's values alike "
            "or leave it out; `iterate` hands out rows without asking for a common type."
        )
    return (
        f"All replies are kept in {directory}. Make the column's values alike or leave it out, "
        f"and run again: none of them is bought twice."
    )


def resume_line() -> str:
    """The command that goes on with this process's run, as a shell takes it.

    It is what started the process, less what looks like a key. Of our own program, named as it is
    found on the PATH, less `--resume never` as well, which would buy everything again.
    """
    program = Path(sys.argv[0]) if sys.argv else Path()
    if program.stem != _PROGRAM:
        return shlex.join(without_keys(sys.orig_argv or [sys.executable, *sys.argv]))
    found = shutil.which(_PROGRAM)
    is_found = found is not None and Path(found).resolve() == program.resolve()
    name = _PROGRAM if is_found else str(program)
    return shlex.join(without_keys([name, *_without_never(sys.argv[1:])]))


def _without_never(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for argument in arguments:
        if argument == "never" and kept and kept[-1] == "--resume":
            kept.pop()
        elif argument != "--resume=never":
            kept.append(argument)
    return kept


def without_keys(arguments: Sequence[str]) -> list[str]:
    """Arguments with `***` for those that look like keys, or are given to an option for one.

    >>> without_keys(["make.py", "--api-key", "abc", "--token=xyz", "sk-proj-1234567890"])
    ['make.py', '--api-key', '***', '--token=***', '***']
    """
    shown: list[str] = []
    is_value_of_secret = False
    for argument in arguments:
        option, is_assigned, _ = argument.partition("=")
        is_secret = bool(_SECRET_OPTION.search(option))
        if is_value_of_secret or _KEY.search(argument):
            shown.append("***")
        elif is_secret and is_assigned:
            shown.append(f"{option}=***")
        else:
            shown.append(argument)
        is_value_of_secret = is_secret and not is_assigned
    return shown


def with_failures(summary: RunSummary, directory: Path | None) -> str:
    """How many rows failed, why, and where to read what happened to each."""
    causes = ", ".join(f"{cause} {count:,}" for cause, count in summary.failed_by_cause.items())
    told = f"{summary.rows_failed:,} of {summary.rows:,} rows have failures ({causes}); "
    if directory is None:
        return f"{told}`.errors` of a row says what happened"
    place = os.path.join(os.curdir, directory)  # noqa: PTH118 - Path drops the dot
    report = f"distilabel report {shlex.quote(place)}"
    return f"{told}what happened to each: {report} (or the errors of a row, in a script)"
