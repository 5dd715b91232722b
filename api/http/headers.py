"""Selects the request headers that are passed on to providers."""

from collections.abc import Mapping

# Meant for the provider.
_PASSED = frozenset(
    {
        b"openai-beta",
        b"openai-safety-identifier",
        b"anthropic-beta",
        b"x-client-request-id",
    }
)
# Meant for the gateway (keys, owners, switches) or the next hop, or about a body that is framed anew.
_KEPT_HERE = frozenset(
    {
        b"accept-encoding",
        b"api-key",
        b"authorization",
        b"connection",
        b"content-length",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"idempotency-key",
        b"keep-alive",
        b"openai-organization",
        b"openai-project",
        b"prefer",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"via",
        b"x-api-key",
        b"x-goog-api-key",
        b"x-real-ip",
        b"x-request-id",
    }
)
_KEPT_PREFIXES = (b"x-bf-", b"x-forwarded-", b"x-stainless-", b"sec-")


def passed_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The headers of an inference request that are passed on."""
    found = _PASSED & headers.keys()
    return {name.decode(): headers[name].decode("latin-1") for name in found} if found else {}


def forwarded_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The headers of a forwarded request, without those that end at the gateway."""
    named = {token.strip().lower() for token in headers.get(b"connection", b"").split(b",")}
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers.items()
        if name not in _KEPT_HERE and name not in named and not name.startswith(_KEPT_PREFIXES)
    }
