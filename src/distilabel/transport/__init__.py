"""One HTTP attempt: bytes out, bytes in, every foreign error mapped. No retry, no limit, no JSON.

Lanes answer the same call, `post`, and `lane` says what it is:

- `wire_lane`, the default: HTTP/1.1 of our own. It is made of `origin` (a server, and the
  connections that stand), `dialling` and `connection`; and of `request_head`, `reply_reader`,
  `reply_head` and `reply_body`, which know no event loop.
- `aiohttp_lane`, where the environment names a proxy (`proxies`).
- `httpx_lane` and `openai_lane`, over a client that the user gave (`given_client`).
"""

from distilabel.transport.lane import BODY_MAX_BYTES, HttpReply, Lane, Timeouts

__all__ = ["BODY_MAX_BYTES", "HttpReply", "Lane", "Timeouts"]
