"""Numbers as people read them, and a stage's figures in one line. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from distilabel.progress.figures import StageFigures

__all__ = [
    "as_clock",
    "as_count",
    "as_dollars",
    "as_line",
    "as_rate",
    "done_of",
    "in_flight",
    "time_left",
    "troubles",
]


def as_count(number: int) -> str:
    """A number in about four characters.

    >>> as_count(999), as_count(84_249), as_count(1_250_000), as_count(999_999)
    ('999', '84.2k', '1.2M', '1.0M')
    """
    if number < 1_000:
        return str(number)
    scaled = float(number)
    for unit in "kMG":
        scaled /= 1_000
        if scaled < 999.95:
            return f"{scaled:.1f}{unit}"
    return f"{scaled / 1_000:.1f}T"


def as_clock(seconds: float) -> str:
    """A length of time, in whole seconds.

    >>> as_clock(7.4), as_clock(754), as_clock(3723)
    ('0:07', '12:34', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def as_rate(per_s: float | None, what: str) -> str:
    """A rate in the unit that suits it.

    >>> as_rate(21.34, "rows"), as_rate(0.05, "rows"), as_rate(1234.5, "rows")
    ('21.3 rows/s', '3.0 rows/min', '1.2k rows/s')
    >>> as_rate(None, "rows")
    '- rows/s'
    """
    if per_s is None:
        return f"- {what}/s"
    if 0 < per_s < 0.1:
        return f"{per_s * 60:.1f} {what}/min"
    return f"{per_s:.1f} {what}/s" if per_s < 1_000 else f"{as_count(round(per_s))} {what}/s"


def as_dollars(amount: float) -> str:
    """An amount as people read it: cents, or as many places as it takes.

    >>> as_dollars(12.3456), as_dollars(0.0123456), as_dollars(0.0), as_dollars(1234.5)
    ('$12.35', '$0.01235', '$0.00', '$1,234.50')
    """
    if amount == 0 or abs(amount) >= 1:
        return f"${amount:,.2f}"
    return f"${float(f'{amount:.4g}'):.{_places(amount)}f}"


def _places(amount: float) -> int:
    return max(2, 3 - int(f"{amount:e}".partition("e")[2]))


def done_of(stage: StageFigures) -> str:
    """The rows that are done, and of how many if that is known."""
    return f"{stage.rows}" if stage.rows_total is None else f"{stage.rows}/{stage.rows_total}"


def in_flight(stage: StageFigures) -> str:
    """Attempts under way and how many may be; empty once the stage is over."""
    return f"{stage.in_flight}/{stage.limit} in flight" if stage.state == "running" else ""


def troubles(stage: StageFigures) -> str:
    """What went wrong and how often; empty where nothing did."""
    counts = (
        (stage.retries, "retried"),
        (stage.throttles, "throttled"),
        (stage.rows_failed, "failed"),
    )
    return ", ".join(f"{as_count(count)} {what}" for count, what in counts if count)


def _cached(stage: StageFigures) -> str:
    """How many of the tokens came from a prompt cache; empty where none did."""
    return f" ({as_count(stage.cached_tokens)} cached)" if stage.cached_tokens else ""


def time_left(stage: StageFigures) -> str:
    """How long it will take yet, or how it ended; empty where that cannot be told."""
    if stage.state != "running":
        return stage.state
    return "" if stage.left_s is None else f"{as_clock(max(1.0, stage.left_s))} left"


def as_line(stage: StageFigures) -> str:
    """All of it in one line of plain ASCII, but for the model's name."""
    parts = (
        f"{done_of(stage)} rows",
        as_rate(stage.rows_per_s, "rows"),
        f"{as_count(stage.tokens)} tokens{_cached(stage)}",
        as_rate(stage.tokens_per_s, "tokens"),
        "" if stage.cost is None else as_dollars(stage.cost),
        in_flight(stage),
        troubles(stage),
        f"{as_clock(stage.elapsed_s)} elapsed",
        time_left(stage),
    )
    return f"{stage.name} {one_line(stage.model)}: " + ", ".join(part for part in parts if part)
