"""Which proxy, if any, the environment names for a server."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["proxy_for"]


def proxy_for(origin: str) -> str | None:
    """The proxy for the server of a URL: `HTTP_PROXY`, `HTTPS_PROXY`, less what `NO_PROXY` says."""
    parts = urlsplit(origin)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)
