"""How much may be sent, and when: permits, health, and what to do after a failure.

All of it decides, and waits for nothing, but `permits`.

- How many at once: `permits` hands them out. `adaptive` finds out how many there should be, by the
  numbers of `adaptive_policy`. `volley` tells whether the first requests queue, `latency` whether
  those after them do, against what `fit` has learned that a reply may take; `sounding` tells how
  deep a queue is that stood from the start.
- How many a minute: `rate`.
- After a failure: `retry` and `retry_after` say how long to wait; `health`, with `failing`, whether
  it is the backend that fails or this call; `breaker`, when going on would only spend rows.
- For how much: `spending` holds a ceiling, `prices` is a list.
"""

from distilabel.limits.adaptive import Adaptive, AdaptiveStatistics, Sent
from distilabel.limits.adaptive_policy import AdaptivePolicy
from distilabel.limits.breaker import Breaker
from distilabel.limits.failing import Failing
from distilabel.limits.health import Company, Health, HealthPolicy, HealthStatistics
from distilabel.limits.permits import PermitPool, PermitStatistics
from distilabel.limits.rate import Rate, RateStatistics
from distilabel.limits.retry import RetryPolicy, RetryState
from distilabel.limits.retry_after import parse_retry_after

__all__ = [
    "Adaptive",
    "AdaptivePolicy",
    "AdaptiveStatistics",
    "Breaker",
    "Company",
    "Failing",
    "Health",
    "HealthPolicy",
    "HealthStatistics",
    "PermitPool",
    "PermitStatistics",
    "Rate",
    "RateStatistics",
    "RetryPolicy",
    "RetryState",
    "Sent",
    "parse_retry_after",
]
