"""What `finops doctor` looks at in the providers: a key is there, and the address answers. Nothing is billed."""

import asyncio
import time
from collections.abc import Mapping

import httpx

from cli.checks.findings import Finding, fail, ok, warn
from shared.providers.base import Provider
from shared.providers.registry import BY_NAME, configured_providers
from shared.settings.model import Settings

TIMEOUT_S = 4.0


async def check_providers(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Ask every configured provider for its list of models, at once and briefly."""
    providers = configured_providers(settings, environ)
    if not providers:
        return [warn("providers", "none is configured", "set OPENAI_API_KEY, or add a [providers.…] table")]
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
        return list(await asyncio.gather(*(_check(client, provider) for provider in providers.values())))


async def _check(client: httpx.AsyncClient, provider: Provider) -> Finding:
    name = f"provider {provider.name}"
    row = BY_NAME.get(provider.name)
    if row is not None and row.place:
        return ok(name, "configured; its address depends on the model, so it is not asked")
    if row is not None and row.key_env and not row.url_env and not provider.keys:
        return fail(name, "no key", f"set {row.key_env}, or keys in [providers.{provider.name}]")
    started = time.perf_counter()
    try:
        reply = await client.get(f"{provider.base_url}/models", headers=_credentials(provider))
    except httpx.InvalidURL as error:
        return fail(name, f"{provider.base_url} is no address: {error}", f"correct providers.{provider.name}.base_url")
    except httpx.HTTPError as error:
        said = f"{provider.base_url} cannot be reached: {str(error) or type(error).__name__}"
        return fail(name, said, "check base_url, network and proxy; is the server running?")
    return _judge(name, provider, reply.status_code, (time.perf_counter() - started) * 1000)


def _credentials(provider: Provider) -> dict[str, str]:
    if not provider.keys:
        return dict(provider.headers)
    key = provider.keys[0].value
    header = {"azure": "api-key", "x-api-key": "x-api-key", "x-goog-api-key": "x-goog-api-key"}.get(provider.host)
    own = {header: key} if header else {"authorization": f"Bearer {key}"}
    return own | dict(provider.headers)


def _judge(name: str, provider: Provider, status: int, took_ms: float) -> Finding:
    said = f"{provider.base_url} answers {status} in {took_ms:.0f} ms"
    if status in {401, 403}:
        return fail(
            name, said + ": the key is refused" if provider.keys else said + ": a key is needed", _key_mend(provider)
        )
    if status >= 500:
        return warn(name, said, "the provider has trouble; see its status page")
    if status == 429:
        return warn(name, said, "the provider limits this key already")
    # Anything else proves that somebody is there; not every one has a list of models.
    return ok(name, f"{said}, {len(provider.keys) or 'no'} key{'s' if len(provider.keys) > 1 else ''}")


def _key_mend(provider: Provider) -> str:
    row = BY_NAME.get(provider.name)
    where = f"[providers.{provider.name}] keys"
    return f"correct {row.key_env} or {where}" if row is not None and row.key_env else f"correct {where}"
