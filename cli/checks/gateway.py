"""Check of the running gateway: whether it answers, its version, and the providers that it has."""

import asyncio
import time
from typing import Any

import click
import httpx

from cli.client.options import is_local
from shared.checks.findings import Finding, fail, ok, warn
from shared.checks.parts import describe_failing

TIMEOUT_S = 4.0
PAUSE_S = 0.5
"""Between two looks at a gateway that is awaited."""
CHECK = "gateway"


async def await_gateway(url: str, key: str, wait_s: float) -> tuple[Finding, list[str]]:
    """Ask a gateway for its health until it is ready, or for so long; see `check_gateway`.

    Returns:
        As `check_gateway`; a gateway that is not ready then is a FAIL.
    """
    end = time.monotonic() + wait_s
    while True:
        finding, providers = await check_gateway(url, key)
        if finding.level == "OK":
            return finding, providers
        if time.monotonic() >= end:
            return fail(CHECK, f"{finding.message} (after {wait_s:g} s)", finding.fix), providers
        await asyncio.sleep(PAUSE_S)


async def check_gateway(url: str, key: str) -> tuple[Finding, list[str]]:
    """Ask a gateway for its health.

    Args:
        key: The admin key, with which it says more; may be empty.

    Returns:
        The finding, and the names of the gateway's providers; none if it does not say.
    """
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=not is_local(url)) as client:
            front = _json(await client.get("/"))
            health = await client.get("/health/ready", params={"verbose": "1"}, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = click.unstyle(str(error) or type(error).__name__)
        fix = "start it with `finops serve`, or name its address with --url or FINOPS_URL"
        return warn(CHECK, f"none answers at {url}: {reason}", fix), []
    if front.get("name") != "FinOps gateway":
        return warn(CHECK, f"what answers at {url} is not this gateway", "name its address with --url"), []
    document = _json(health)
    providers = sorted(document.get("providers") or {})
    name = f"{url} answers, version {click.unstyle(str(front.get('version')))}"
    if health.status_code != 200:
        missing = ", ".join(document.get("missing") or {}) or "something"
        return fail(CHECK, f"{name}, but lacks {missing}", "see the other lines for the reason"), providers
    failing = document.get("failing_parts")
    if failing:
        fix = "see 'a background part failed' in its log; restart it if that goes on"
        return warn(CHECK, f"{name}, but background parts fail: {describe_failing(failing)}", fix), providers
    return ok(CHECK, f"{name}; providers: {', '.join(providers) or 'none'}"), providers


def _json(reply: httpx.Response) -> dict[str, Any]:
    try:
        document = reply.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
