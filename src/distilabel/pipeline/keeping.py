"""The run's journal: opened for a plan, with a word about what is there and what will be bought."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import to_thread

from distilabel.errors import JournalError
from distilabel.journal import open_journal
from distilabel.pipeline.describing import describe
from distilabel.pipeline.forecast import forecast
from distilabel.pipeline.recording import run_identity
from distilabel.pipeline.source import is_read_again, open_source, sampled
from distilabel.pipeline.telling import beginning, say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from distilabel.journal import Journal
    from distilabel.pipeline.forecast import Forecast
    from distilabel.pipeline.plan import Plan
    from distilabel.pipeline.settings import RunSettings
    from distilabel.pipeline.source import RowsLike, RowSource
    from distilabel.types import RunSummary

__all__ = ["Kept", "open_kept", "rows_done"]

_FORECAST_ROWS_MAX = 20_000
"""With more rows than that, what will be bought is not counted beforehand: it takes too long."""


async def _nothing() -> None:
    """What is done in the end of a run that is not finished."""


@dataclass(slots=True)
class Kept:
    """An open journal, and what is to be done with it."""

    opened: Journal
    on_failure: Callable[[Exception], None]
    """Told if it breaks."""
    in_the_end: Callable[[], Awaitable[None]] = _nothing
    """What is done before it is closed, once nothing is left that may fail."""


@asynccontextmanager
async def open_kept(
    plan: Plan, settings: RunSettings, rows: RowsLike, source: RowSource
) -> AsyncGenerator[Kept | None]:
    """The run's journal, and a word about it; None without checkpoints."""
    if not settings.enable_checkpoints:
        yield None
        return
    first = await source.peek()
    sample = sampled(rows, first, plan.user_columns_read)
    broken: list[Exception] = []
    async with open_journal(
        settings.checkpoint_dir,
        identity=run_identity(plan, settings, rows=sample, total=source.total),
        resume=settings.resume,
        durability=settings.durability,
        total_rows=source.total,
        description=await to_thread.run_sync(describe, plan, settings, rows),  # asks the disk
        on_failure=lambda error: kept.on_failure(error),  # noqa: PLW0108 - set below
    ) as journal:
        kept = Kept(journal, broken.append)
        if settings.verbose:
            say(beginning(journal.found, await _forecast(plan, settings, rows, journal)))
        yield kept
        await kept.in_the_end()


async def rows_done(journal: Journal | None, session: RunSummary, total: int | None) -> int:
    """Rows of a run that are done, those that earlier sessions of it kept included.

    Args:
        journal: keeps them; None: nothing does.
        session: what this session has done.
        total: rows in the input; None: not known.
    """
    if journal is None or not journal.found.rows:
        return session.rows
    try:
        done = await journal.count_rows_done() + session.rows_failed
    except JournalError:  # what stops the run is to be told of, and not this
        return session.rows
    return max(session.rows, done if total is None else min(done, total))


async def _forecast(
    plan: Plan, settings: RunSettings, rows: RowsLike, journal: Journal
) -> Forecast | None:
    found = journal.found
    has_something = bool(found.calls or found.ancestor_calls)
    if not (has_something and is_read_again(rows)):
        return None
    again = open_source(rows, batch_size=1, only_columns=plan.user_columns_read)
    if again.total is None or again.total > _FORECAST_ROWS_MAX:
        return None
    return await forecast(plan, settings, again, journal)
