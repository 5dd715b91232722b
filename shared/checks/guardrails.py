"""Checks of guardrails: each answers a request of our own with a verdict."""

import asyncio
import time
from collections.abc import Mapping

import httpx

from shared.checks.findings import Finding, fail, ok, unstyled, warn
from shared.inference.guardrails import Guardrail
from shared.providers.registry import IncompleteProvider
from shared.providers.senders import environment_proxies
from shared.providers.transport import UpstreamTransport
from shared.settings.guardrails import GuardrailSettings
from shared.settings.model import Settings

TIMEOUT_S = 10.0
_MODEL = "finops/doctor"
_QUESTION = {
    "request_id": "finops-doctor",
    "job_id": "",
    "request_type": "chat.completions",
    "model": _MODEL,
    "virtual_key": {"id": "", "name": "", "team": "", "customer": ""},
    "request": {"model": _MODEL, "messages": [{"role": "user", "content": "Hello from finops doctor."}]},
}
_ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]}


async def check_guardrails(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Ask every configured guardrail once, all at the same time; no provider is called."""
    if not settings.guardrails:
        return []
    try:
        transport = UpstreamTransport(proxies=environment_proxies(environ))
    except IncompleteProvider as error:
        return [fail("guardrails", str(error), "correct or unset the variable")]
    try:
        return list(await asyncio.gather(*(_check(*named, transport) for named in settings.guardrails.items())))
    finally:
        await transport.aclose()


async def _check(name: str, settings: GuardrailSettings, transport: UpstreamTransport) -> Finding:
    check, stage = f"guardrail {name}", settings.checks[0]
    limit_s = min(settings.timeout_s, TIMEOUT_S)
    guardrail = Guardrail(name, settings.model_copy(update={"timeout_s": limit_s}), transport)
    began = time.perf_counter()
    try:
        verdict = await guardrail.check(_QUESTION if stage == "request" else {**_QUESTION, "answer": _ANSWER}, stage)
    except (OSError, TimeoutError, ValueError, httpx.HTTPError) as error:
        problem = unstyled(str(error)) or f"no reply within {limit_s:g} s"
        return fail(check, f"{settings.url} does not decide: {problem}", _consequence(name, settings))
    took_ms = (time.perf_counter() - began) * 1000
    finding = f"{settings.url} replies {verdict.kind} in {took_ms:.0f} ms"
    if verdict.kind == "deny":
        return warn(check, f"{finding} to a harmless question", "see its own log: it may deny everything")
    return ok(check, finding)


def _consequence(name: str, settings: GuardrailSettings) -> str:
    effect = (
        "until then its calls are refused" if settings.on_error == "deny" else "until then its calls pass unchecked"
    )
    return f"correct guardrails.{name}.url, or start what listens there; {effect}"
