"""Where and with what a benchmark ran: figures without this are worth nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ["describe", "rss_mb"]

_PACKAGES = ("distilabel", "aiohttp", "anyio", "msgspec", "datasets", "openai", "httpx2")


def describe() -> str:
    """Two lines: the machine, and the versions.

    >>> describe().count(chr(10))
    1
    """
    load = os.getloadavg()[0]
    machine = f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, load {load:.1f}"
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{machine}\nPython {platform.python_version()}, {versions}"


def rss_mb() -> float:
    """What this process holds in memory now, in MB (Linux only)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
