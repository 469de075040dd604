"""Places where a test can have the process die, as a kill would have it.

`DISTILABEL_FAILPOINT="before_commit:3"` in the environment of a process ends it, without any
clean-up and with exit status 77, the third time that it passes the point of that name. Without a
number it is the first time. The variable is read once, when this module is imported.

Where it is not set, `reached` is None, and passing a point costs one look at it::

    if failpoints.reached is not None:
        failpoints.reached("before_commit")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EXIT_STATUS", "reached"]

EXIT_STATUS = 77
"""What a process that died at a failpoint exits with."""


def _armed(setting: str | None) -> Callable[[str], None] | None:
    if not setting:
        return None
    name, _, count = setting.partition(":")
    left = int(count or 1)

    def reached(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left <= 0:
                os._exit(EXIT_STATUS)

    return reached


reached: Callable[[str], None] | None = _armed(os.environ.get("DISTILABEL_FAILPOINT"))
"""Called with a point's name each time that it is passed; None: no test wants to know."""
