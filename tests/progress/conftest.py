"""What tests of progress share: figures to be shown."""

from collections.abc import Callable

import pytest

from distilabel.progress import StageFigures


@pytest.fixture
def stage() -> Callable[..., StageFigures]:
    """Makes the figures of a stage in the middle of a run."""

    def make(**changes) -> StageFigures:
        usual = {
            "name": "generator",
            "model": "writer",
            "rows": 123,
            "rows_total": 200,
            "rows_failed": 0,
            "rows_per_s": 21.34,
            "tokens": 84_249,
            "tokens_per_s": 8_012.0,
            "retries": 0,
            "throttles": 0,
            "elapsed_s": 7.0,
            "left_s": 4.2,
            "state": "running",
            "in_flight": 61,
            "limit": 64,
        }
        return StageFigures(**(usual | changes))

    return make
