"""How long a simulated reply takes: a seeded distribution, drawn in order of arrival.

Rules:

- Draw ``i`` belongs to the ``i``-th generation request to arrive, whatever becomes of that request
  (served, refused with a 429, faulted).
- Two `Latency` values that are equal give the same draws, in any process: so the makespan of a
  perfect client can be computed beforehand from `Latency.draws` alone.
- A draw is the time of service. Waiting for a slot (`distilabel.testing.capacity`) comes on top.

This module is pure: it knows no clock.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Latency"]


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of service times: ``median_s * exp(sigma * N(0, 1))``, seeded.

    Attributes:
        median_s: half of the replies take longer than this.
        sigma: the standard deviation of the logarithm; 0 makes every reply take ``median_s``.
        seed: decides the draws.

    >>> from itertools import islice
    >>> latency = Latency.lognormal(median_s=0.5, sigma=0.6, seed=7)
    >>> first = list(islice(latency.draws(), 3))
    >>> first == list(islice(latency.draws(), 3))
    True
    >>> list(islice(Latency.constant(0.2).draws(), 2))
    [0.2, 0.2]
    """

    median_s: float = 0.0
    sigma: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no duration.

        Raises:
            ValueError: if the median or the sigma is negative.
        """
        if self.median_s < 0 or self.sigma < 0:
            raise ValueError(
                f"median_s and sigma must be 0 or more, got {self.median_s} and {self.sigma}"
            )

    @classmethod
    def lognormal(cls, median_s: float, sigma: float, seed: int = 0) -> "Latency":
        """Replies scattered around a median, as those of real providers are."""
        return cls(median_s, sigma, seed)

    @classmethod
    def constant(cls, seconds_s: float) -> "Latency":
        """Every reply takes the same time."""
        return cls(seconds_s)

    @classmethod
    def zero(cls) -> "Latency":
        """Every reply is sent at once."""
        return cls()

    def draws(self) -> Iterator[float]:
        """The service times in seconds, without end: the i-th is for the i-th request to arrive."""
        gauss = random.Random(self.seed).gauss
        while True:
            if self.sigma > 0:
                yield self.median_s * math.exp(gauss(0.0, self.sigma))
            else:
                yield self.median_s
