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
# Of a forwarded request: everything else stays here. An overriding method or URL, a cloud's credentials or an address
# would act at the provider in the gateway's name.
_FORWARDED = _PASSED | {b"accept", b"accept-language", b"if-none-match", b"range"}


def passed_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The headers of an inference request that are passed on."""
    found = _PASSED & headers.keys()
    return {name.decode(): headers[name].decode("latin-1") for name in found} if found else {}


def forwarded_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The headers of a forwarded request that are passed on."""
    return {name.decode(): headers[name].decode("latin-1") for name in sorted(_FORWARDED & headers.keys())}
