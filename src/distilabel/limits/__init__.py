"""How much may be sent, and when: permits, health, and what to do after a failure."""

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
