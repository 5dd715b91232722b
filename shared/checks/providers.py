"""Checks of providers: each has a key, and its address answers. Nothing is billed."""

import asyncio
import time
from collections.abc import Mapping

import httpx

from shared.checks.findings import Finding, fail, ok, warn
from shared.checks.limits import judge_wire
from shared.providers.base import Provider
from shared.providers.registry import BY_NAME, IncompleteProvider, configured_providers
from shared.providers.senders import environment_proxies, own_sender
from shared.providers.transport import UpstreamTransport
from shared.settings.model import Settings

TIMEOUT_S = 4.0


async def check_providers(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Request the list of models of every configured provider, concurrently and with a short timeout."""
    providers = configured_providers(settings, environ)
    if not providers:
        return [warn("providers", "none is configured", "set OPENAI_API_KEY, or add a [providers.…] table")]
    try:
        common = UpstreamTransport(proxies=environment_proxies(environ))
    except IncompleteProvider as error:
        return [fail("proxy", str(error), "correct or unset the variable")]
    findings = await asyncio.gather(*(_check(common, provider, environ) for provider in providers.values()))
    await common.aclose()
    return [*findings, *(finding for provider in providers.values() for finding in judge_wire(provider))]


async def _check(common: UpstreamTransport, provider: Provider, environ: Mapping[str, str]) -> Finding:
    """Request the provider's models with the transport that calls use: what answers here answers there too."""
    name = f"provider {provider.name}"
    row = BY_NAME.get(provider.name)
    if row is not None and row.address:
        return ok(name, "configured; not called, as its address depends on the model")
    if row is not None and row.key_env and not row.url_env and not provider.keys:
        return fail(name, "no key", f"set {row.key_env}, or keys in [providers.{provider.name}]")
    try:
        own = await asyncio.to_thread(own_sender, provider, environ)
    except IncompleteProvider as error:
        return fail(name, str(error), "correct the setting, or make the file readable")
    started = time.perf_counter()
    try:
        reply = await _get(own or common, f"{provider.base_url}/models", _credentials(provider))
    except httpx.InvalidURL as error:
        return fail(
            name, f"{provider.base_url} is not a valid address: {error}", f"correct providers.{provider.name}.base_url"
        )
    except httpx.HTTPError as error:
        problem = f"{provider.base_url} cannot be reached: {str(error) or type(error).__name__}"
        return fail(name, problem, "check base_url, network and proxy; is the server running?")
    finally:
        if own is not None:
            await own.aclose()
    return _judge(name, provider, reply.status_code, (time.perf_counter() - started) * 1000)


async def _get(transport: UpstreamTransport, url: str, headers: Mapping[str, str]) -> httpx.Response:
    client = httpx.AsyncClient(timeout=TIMEOUT_S, transport=transport)  # not closed: the transport is shared
    return await client.get(url, headers=dict(headers))


def _credentials(provider: Provider) -> dict[str, str]:
    if not provider.keys:
        return dict(provider.headers)
    key = provider.keys[0].value
    header = {"azure": "api-key", "x-api-key": "x-api-key", "x-goog-api-key": "x-goog-api-key"}.get(provider.host)
    auth = {header: key} if header else {"authorization": f"Bearer {key}"}
    return auth | dict(provider.headers)


def _judge(name: str, provider: Provider, status: int, took_ms: float) -> Finding:
    answer = f"{provider.base_url} answers {status} in {took_ms:.0f} ms"
    if status in {401, 403}:
        return fail(
            name,
            answer + ": the key is rejected" if provider.keys else answer + ": a key is needed",
            _key_fix(provider),
        )
    if status >= 500:
        return warn(name, answer, "the provider has a problem; see its status page")
    if status == 429:
        return warn(name, answer, "the provider is rate-limiting this key")
    # Any other answer proves that the server is up; not every provider has a list of models.
    return ok(name, f"{answer}, {len(provider.keys) or 'no'} key{'s' if len(provider.keys) > 1 else ''}")


def _key_fix(provider: Provider) -> str:
    row = BY_NAME.get(provider.name)
    setting = f"[providers.{provider.name}] keys"
    return f"correct {row.key_env} or {setting}" if row is not None and row.key_env else f"correct {setting}"
