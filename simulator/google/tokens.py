"""Token endpoints of Google and of Microsoft Entra ID.

Sources: https://developers.google.com/identity/protocols/oauth2/service-account#httprest,
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import base64
import binascii
import time
from typing import Any

import orjson

from simulator.calls import Answer, Call, Family, Refusal, Reply, Route
from simulator.model.ids import opaque

LIFE_S = 3599
CLOCK_SKEW_S = 300
LONGEST_S = 3600
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def refuse(refusal: Refusal) -> Reply:
    """An error of OAuth 2.0 (RFC 6749, 5.2)."""
    code = refusal.code or ("temporarily_unavailable" if refusal.status >= 500 else "invalid_request")
    body = {"error": code, "error_description": refusal.message}
    return Reply(orjson.dumps(body), refusal.status, headers=refusal.headers)


OAUTH = Family(refuse)


def answer_google(call: Call) -> Answer:
    """An access token for a service account's assertion; its signature is not checked, for the key is not here.

    Raises:
        Refusal: what Google says to a wrong one.
    """
    if call.body.get("grant_type") != JWT_BEARER:
        raise Refusal(400, "Invalid grant_type", code="unsupported_grant_type")
    head, claims = _assertion(str(call.body.get("assertion") or ""))
    now = time.time()
    if head.get("alg") != "RS256" or "invalid" in str(claims.get("iss")):
        raise Refusal(400, "Invalid JWT Signature.", code="invalid_grant")
    if not str(claims.get("aud")).endswith("/token") or not claims.get("scope"):
        raise Refusal(400, "Invalid or missing audience or scope.", code="invalid_scope")
    issued, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(ends, int) or not 0 < ends - issued <= LONGEST_S:
        raise Refusal(400, "Invalid JWT: Token must be a short-lived token (60 minutes).", code="invalid_grant")
    if issued > now + CLOCK_SKEW_S or ends < now:
        raise Refusal(400, "Invalid JWT: iat and exp are not in a reasonable timeframe.", code="invalid_grant")
    body = {"access_token": opaque("ya29.c.", 40), "expires_in": LIFE_S, "token_type": "Bearer"}
    return Reply(orjson.dumps(body))


def _assertion(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        head, claims, _ = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.split("."))
        read = orjson.loads(head), orjson.loads(claims)
    except (ValueError, binascii.Error) as error:
        raise Refusal(400, "Bad Request", code="invalid_grant") from error
    if not all(isinstance(part, dict) for part in read):
        raise Refusal(400, "Bad Request", code="invalid_grant")
    return read


def answer_entra(call: Call) -> Answer:
    """An access token for an application's secret; one that contains `invalid` is wrong.

    Raises:
        Refusal: what Entra says to a wrong one.
    """
    body = call.body
    if body.get("grant_type") != "client_credentials":
        raise Refusal(400, "AADSTS70003: The app requested an unsupported grant type.", code="unsupported_grant_type")
    for name in ("client_id", "client_secret", "scope"):
        if not body.get(name):
            raise Refusal(400, f"AADSTS900144: The request body must contain the following parameter: '{name}'.")
    if not str(body["scope"]).endswith("/.default"):
        raise Refusal(400, "AADSTS1002012: The provided value for scope is not valid.", code="invalid_scope")
    if "invalid" in str(body["client_secret"]):
        raise Refusal(401, "AADSTS7000215: Invalid client secret provided.", code="invalid_client")
    token = {
        "token_type": "Bearer",
        "expires_in": LIFE_S,
        "ext_expires_in": LIFE_S,
        "access_token": opaque("eyJ0eXAi.", 60),
    }
    return Reply(orjson.dumps(token))


ROUTES = (
    Route("POST", "/token", answer_google, OAUTH),
    Route("POST", "/{tenant}/oauth2/v2.0/token", answer_entra, OAUTH),
)
