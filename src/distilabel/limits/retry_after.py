"""How long a server asks to be left alone, in all the ways that servers say it. Pure.

Forms, in the order in which they are believed:

- `retry-after-ms: 1500` (Azure and OpenAI),
- `retry-after: 1.5` in seconds, or an HTTP date (RFC 9110, 10.2.3), which is read against the
  reply's own `Date`, so that a wrong clock on either side does no harm,
- `x-ratelimit-reset-requests: 6m0s`, `x-ratelimit-reset-tokens: 20ms` (OpenAI), where
  `x-ratelimit-remaining-…` of the same kind says that nothing is left; with a 429, also where it is
  not said what is left.
- With a 429 that none of these explains: `x-ratelimit-reset-tokens`, at most a minute of it. One
  request left is enough for a request, but some tokens left may be too few for it.

Those of OpenAI stand on every reply and name the time until all is left again. So they are heeded
only as far as the kind may be what is short.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse_duration", "parse_retry_after"]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LEFT, _RESET = "x-ratelimit-remaining-", "x-ratelimit-reset-"
_GUESS_MAX_S = 60.0
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,12})?(?:ms|s|m|h|d)){1,6}")


def parse_retry_after(headers: Mapping[str, str], *, is_throttled: bool = False) -> float | None:
    """Seconds to wait, never negative; None if the reply does not say.

    Args:
        headers: the reply's headers; names in lower case, or a case-insensitive mapping.
        is_throttled: whether the reply is a 429, so that something is short.

    >>> parse_retry_after({"retry-after": "7"})
    7.0
    >>> parse_retry_after({"retry-after-ms": "250", "retry-after": "1"})
    0.25
    >>> parse_retry_after({"date": "Wed, 21 Oct 2026 07:28:00 GMT",
    ...                    "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"})
    30.0
    >>> parse_retry_after({"x-ratelimit-remaining-requests": "0",
    ...                    "x-ratelimit-reset-requests": "1m30s"})
    90.0
    >>> parse_retry_after({"x-ratelimit-reset-requests": "2s"}, is_throttled=True)
    2.0
    """
    waits = (
        _number(headers.get("retry-after-ms"), 0.001),
        _number(headers.get("retry-after"), 1.0),
        _date(headers.get("retry-after"), headers.get("date")),
        _reset(headers, is_throttled=is_throttled),
        _tokens_reset(headers) if is_throttled else None,
    )
    return next((max(0.0, wait) for wait in waits if wait is not None), None)


def _number(text: str | None, unit_s: float) -> float | None:
    if text is None:
        return None
    try:
        value = float(text) * unit_s
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _date(text: str | None, reply_date: str | None) -> float | None:
    until = _moment(text)
    if until is None:
        return None
    now = _moment(reply_date) or datetime.now(UTC)
    return (until - now).total_seconds()


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reset(headers: Mapping[str, str], *, is_throttled: bool) -> float | None:
    waits = [
        parse_duration(headers.get(_RESET + kind))
        for kind in ("requests", "tokens")
        if _is_used_up(headers.get(_LEFT + kind), is_throttled=is_throttled)
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _is_used_up(left: str | None, *, is_throttled: bool) -> bool:
    count = _number(left, 1.0)
    return is_throttled if count is None else count <= 0.0


def _tokens_reset(headers: Mapping[str, str]) -> float | None:
    wait = parse_duration(headers.get(_RESET + "tokens"))
    return None if wait is None else min(wait, _GUESS_MAX_S)


def parse_duration(text: str | None) -> float | None:
    """Seconds that OpenAI's `6m0s`, `1.5s` or `20ms`, or a plain number, stand for; else None.

    >>> parse_duration("6m0s"), parse_duration("20ms"), parse_duration("7"), parse_duration("soon")
    (360.0, 0.02, 7.0, None)
    """
    if text is None:
        return None
    if _DURATION.fullmatch(text.strip()):
        return sum(float(n) * _UNITS_S[unit] for n, unit in _DURATION_PART.findall(text))
    return _number(text, 1.0)
