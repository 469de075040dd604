"""The headers by which a provider says what is left, and when to come back.

Names and formats are those of https://platform.openai.com/docs/guides/rate-limits. They are sent
only where there is a `TokenBucket`: a limit that does not exist is not announced.

This module is pure.
"""

import math

from distilabel.testing.capacity import BucketStatistics
from distilabel.testing.outgoing import Headers

__all__ = ["duration", "rate_limit_headers", "retry_after_headers"]


def duration(seconds: float) -> str:
    """A time as OpenAI writes it, rounded up to milliseconds.

    >>> duration(0.0123), duration(1.5), duration(72)
    ('13ms', '1.5s', '1m12s')
    """
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest_ms = divmod(milliseconds, 60_000)
    text = f"{rest_ms / 1000:g}s"
    return f"{minutes}m{text}" if minutes else text


def rate_limit_headers(left: BucketStatistics) -> Headers:
    """What is left of the requests, and of the tokens if they are limited."""
    headers = (
        ("x-ratelimit-limit-requests", str(left.limit_requests)),
        ("x-ratelimit-remaining-requests", str(left.remaining_requests)),
        ("x-ratelimit-reset-requests", duration(left.reset_requests_s)),
    )
    if left.limit_tokens is None or left.reset_tokens_s is None:
        return headers
    return (
        *headers,
        ("x-ratelimit-limit-tokens", str(left.limit_tokens)),
        ("x-ratelimit-remaining-tokens", str(left.remaining_tokens)),
        ("x-ratelimit-reset-tokens", duration(left.reset_tokens_s)),
    )


def retry_after_headers(wait_s: float) -> Headers:
    """When to come back: in whole seconds, as the standard has it, and in milliseconds.

    >>> retry_after_headers(0.25)
    (('retry-after', '1'), ('retry-after-ms', '250'))
    """
    return (
        ("retry-after", str(math.ceil(wait_s))),
        ("retry-after-ms", str(math.ceil(wait_s * 1000))),
    )
