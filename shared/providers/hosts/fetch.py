"""Short requests to token endpoints."""

from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

import httpx
import orjson

from shared.errors import GatewayError, UpstreamFailure, UpstreamRefused
from shared.providers.hosts.refreshed import Expiring
from shared.providers.transport import Origin, Timeouts, UpstreamTransport

FETCH_TIMEOUT_S: Final = 15.0
MAX_TOKEN_BYTES: Final = 1024 * 1024
DEFAULT_LIFE_S: Final = 300.0


class Fetch(Protocol):
    """Sends one POST."""

    async def __call__(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            OSError, httpx.HTTPError: No answer.
        """
        ...


class TransportFetch:
    """A ``Fetch`` over the transport that carries the providers' own requests."""

    def __init__(self, transport: UpstreamTransport) -> None:
        self._transport = transport

    async def __call__(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send one POST, within ``FETCH_TIMEOUT_S`` in all.

        Raises:
            httpx.HTTPError: No answer.
        """
        origin, parts = Origin.parse(url), urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"host": origin.authority.decode("ascii"), "accept": "application/json", **headers}
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
        timeouts = Timeouts(first_byte_s=FETCH_TIMEOUT_S, idle_s=FETCH_TIMEOUT_S, total_s=FETCH_TIMEOUT_S)
        response = await self._transport.send(origin, "POST", target.encode("ascii"), lines, body, timeouts=timeouts)
        try:
            return response.status, await response.read(MAX_TOKEN_BYTES)
        finally:
            await response.aclose()


async def fetch_token(fetch: Fetch, url: str, form: Mapping[str, str], *, provider: str, now: float) -> Expiring[str]:
    """An access token from an OAuth 2.0 token endpoint (RFC 6749, 5.1 and 5.2).

    Args:
        provider: Its name, for messages.
        now: Unix seconds.

    Raises:
        UpstreamRefused: 401, the credentials are not accepted.
        UpstreamFailure: The endpoint cannot be reached, or gives no token.
    """
    headers = {"content-type": "application/x-www-form-urlencoded"}
    try:
        status, body = await fetch(url, body=urlencode(form).encode(), headers=headers)
    except (OSError, httpx.HTTPError, ValueError) as error:
        raise UpstreamFailure(
            f"The identity service of the provider {provider!r} cannot be reached ({type(error).__name__})."
        ) from error
    fields = _read(body)
    token, life_s = fields.get("access_token"), fields.get("expires_in")
    if status == 200 and isinstance(token, str) and token:
        return Expiring(token, now + _seconds(life_s))
    raise _refusal(status, fields, provider)


def _read(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _seconds(life_s: object) -> float:
    """Read a lifetime; Azure's older endpoints send it as text."""
    try:
        return float(life_s)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return DEFAULT_LIFE_S


def _refusal(status: int, fields: Mapping[str, Any], provider: str) -> GatewayError:
    """Its ``error`` is a code of the standard; its description may contain secrets, so it is left out."""
    code = fields.get("error")
    code = code[:64] if isinstance(code, str) else f"status {status}"
    if 400 <= status < 500 and status not in {408, 429}:
        message = f"The identity service rejected the credentials of the provider {provider!r}: {code}."
        return UpstreamRefused(401, {"message": message, "code": "invalid_credentials"}, provider=provider)
    return UpstreamFailure(f"The identity service of the provider {provider!r} returned no access token: {code}.")
