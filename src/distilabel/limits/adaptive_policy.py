"""The numbers that the adaptive limit goes by."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AdaptivePolicy"]


@dataclass(frozen=True, slots=True)
class AdaptivePolicy:
    """The numbers of `docs/design/limits.md`."""

    start: int = 8
    ramp_s: float = 0.025
    """The limit doubles this often at the start."""
    held_s: float = 0.75
    """After the first attempt, how long the first reply is waited for with 64 under way."""
    cut: float = 0.9
    cut_paced: float = 0.95
    """The same, when paced and a round was clean since the last cut."""
    cut_min: float = 0.7
    """What one volley of refusals leaves of the limit, at least."""
    settle_s: float = 6.0
    """After the first attempt, how long slow replies say nothing about the server."""
    round_min: int = 4
    busy_share: float = 0.8
    growth_first: float = 0.02
    growth_max: float = 0.25
    growth_near: float = 0.005
    """Growth for each round near the limit that was refused, or at which requests queued."""
    near_share: float = 0.95
    guarded_whole: int = 96
    """Growth of a smaller limit is so many times less, once a queue was found."""
    pace_room: float = 1.25
    """Attempts that may be under way, once paced, over those that the pace takes in the mean."""
