"""How many connections this process may open: each takes a file descriptor.

Rules:

- What is open now, and a reserve for the journal, event loops and whatever else the program opens,
  is left alone. Of a limit of 1,024 some 900 remain, of 64 about 30.
- The soft limit is not raised. It belongs to the process: what `select()` can watch, and what its
  children inherit, hang on it. Who wants more connections says `ulimit -n` first.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

try:
    import resource
except ImportError:  # not a POSIX system: there is no such limit
    resource = None  # type: ignore[assignment]

__all__ = ["are_exhausted", "connections_max", "files_needed"]

_RESERVE_MIN = 24
_RESERVE_SHARE = 16
_DEFAULT = 1024
_OPEN_FILES = ("/proc/self/fd", "/dev/fd")


def connections_max() -> int:
    """How many more descriptors may be used for connections; at least 1."""
    soft = _DEFAULT
    if resource is not None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft == resource.RLIM_INFINITY:
            return 2**20
    return max(1, soft - _open_now() - max(_RESERVE_MIN, soft // _RESERVE_SHARE))


def files_needed(connections: int) -> int:
    """What `ulimit -n` has to say for so many connections."""
    taken = _open_now() + connections
    share = _RESERVE_SHARE
    return max(taken + _RESERVE_MIN, -(-taken * share // (share - 1)))


def are_exhausted() -> bool:
    """Whether not one file more can be opened."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE}
    return False


def _open_now() -> int:
    for folder in _OPEN_FILES:
        try:
            return len(list(Path(folder).iterdir()))
        except OSError:
            continue
    return 0
