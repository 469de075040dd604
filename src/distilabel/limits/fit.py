"""What a reply may take: an overhead and a time for each token. Pure.

Weighted least squares over pairs of seconds and tokens, of which older ones fade.
"""

from __future__ import annotations

__all__ = ["Fit"]


class Fit:
    """What a reply may take, by least squares over replies; older ones fade.

    Times are in seconds; tokens are more than 0.

    >>> fit = Fit()
    >>> for tokens in (100.0, 200.0, 300.0):
    ...     fit.add(1.0 + 0.01 * tokens, tokens)
    >>> fit.solve()
    >>> 2.5 < fit.expected_s(200.0) < 3.5
    True
    """

    __slots__ = ("_n", "_nn", "_nt", "_overhead_s", "_t", "_token_s", "_weight", "replies")

    def __init__(self) -> None:
        self.replies = 0.0
        """Replies that it remembers."""
        self._weight = self._n = self._t = self._nn = self._nt = 0.0
        self._overhead_s = self._token_s = 0.0

    def expected_s(self, tokens: float) -> float:
        """What a reply of so many tokens may take, by the last `solve`."""
        return self._overhead_s + self._token_s * tokens

    def add(self, seconds: float, tokens: float) -> None:
        """A reply of so many tokens took so long."""
        # Replies scatter in proportion to their length: a long one weighs less.
        self.replies += 1.0
        mean = self._n / self._weight if self._weight else tokens
        weight = 1.0 / (tokens + mean) ** 2
        self._weight += weight
        self._n += weight * tokens
        self._t += weight * seconds
        self._nn += weight * tokens * tokens
        self._nt += weight * tokens * seconds

    def merge(self, other: Fit) -> None:
        """Know what another one knows, too."""
        self.replies += other.replies
        self._weight += other._weight
        self._n += other._n
        self._t += other._t
        self._nn += other._nn
        self._nt += other._nt

    def times(self, factor: float) -> None:
        """Expect `factor` times as much of every reply."""
        self._t *= factor
        self._nt *= factor

    def fade(self, replies: float) -> None:
        """Remember no more than so many replies."""
        keep = min(1.0, replies / self.replies)
        self.replies, self._weight = self.replies * keep, self._weight * keep
        self._n, self._t = self._n * keep, self._t * keep
        self._nn, self._nt = self._nn * keep, self._nt * keep

    def solve(self) -> None:
        """Lengths that hardly differ cannot tell the overhead: it is then presumed to be small."""
        n, t = self._n / self._weight, self._t / self._weight
        spread = self._nn / self._weight - n * n
        together = self._nt / self._weight - n * t
        prior = 0.05 * n * n
        slope = (together + prior * t / n) / (spread + prior)
        self._token_s = min(max(slope, 0.0), t / n)
        self._overhead_s = t - self._token_s * n
