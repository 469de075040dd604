"""One HTTP attempt: bytes out, bytes in, every foreign error mapped. No retry, no limit, no JSON.

Lanes answer the same call, `post`: aiohttp's by default, or one over a client that the user gave.
"""

from distilabel.transport.lane import BODY_MAX_BYTES, HttpReply, Lane, Timeouts

__all__ = ["BODY_MAX_BYTES", "HttpReply", "Lane", "Timeouts"]
