"""Our HTTP/1.1 client: `UpstreamTransport.send` for ready-made bytes, and the same under `httpx.AsyncClient`.

Asyncio and httptools only. No HTTP/2 and no upgrades: for those use `httpx.AsyncHTTPTransport`.
Errors are httpx's own (`ConnectError`, `ReadTimeout`, `RemoteProtocolError`, ...), so callers have one set to know.
"""

from shared.providers.transport.dial import client_context
from shared.providers.transport.head import MalformedRequest, encode_headers
from shared.providers.transport.origin import Limits, Origin, Timeouts
from shared.providers.transport.pool import OriginStats
from shared.providers.transport.proxies import Proxies, parse_proxy
from shared.providers.transport.response import BodyTooLarge, RawResponse
from shared.providers.transport.upstream import UpstreamTransport

__all__ = [
    "BodyTooLarge",
    "Limits",
    "MalformedRequest",
    "Origin",
    "OriginStats",
    "Proxies",
    "RawResponse",
    "Timeouts",
    "UpstreamTransport",
    "client_context",
    "encode_headers",
    "parse_proxy",
]
