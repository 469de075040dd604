"""How much may be sent, and when: permits, pauses, and what to do after a failure."""

from distilabel.limits.pause import Pause
from distilabel.limits.permits import PermitPool, PermitStatistics
from distilabel.limits.retry import RetryPolicy, RetryState
from distilabel.limits.retry_after import parse_retry_after

__all__ = [
    "Pause",
    "PermitPool",
    "PermitStatistics",
    "RetryPolicy",
    "RetryState",
    "parse_retry_after",
]
