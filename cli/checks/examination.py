"""All checks of `finops doctor`, in their order."""

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import click

from cli import options
from cli.admin_key import FILE_NAME, read_admin_key
from cli.checks.gateway import await_gateway, check_gateway
from cli.client.options import credentials
from shared.alerts.rules import alert_scripts
from shared.checks.blobs import check_blobs
from shared.checks.findings import Finding, fail, ok, warn
from shared.checks.governance import check_address, check_admin_key, check_keys
from shared.checks.guardrails import check_guardrails
from shared.checks.limits import check_limits
from shared.checks.patience import check_patience
from shared.checks.providers import check_providers
from shared.checks.store import check_store
from shared.governance.limits.guard import governance_scripts
from shared.patience.scripts import patience_scripts
from shared.settings.model import Settings
from shared.webhooks.scripts import webhook_scripts

GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def examine(
    config: Path | None, redis_url: str | None, data_dir: Path, url: str | None = None, *, wait_s: float | None = None
) -> list[Finding]:
    """Run every check; with an invalid configuration, only those that do not depend on it.

    Args:
        url: URL of the running gateway; None: the configured address, on this machine.
        wait_s: How long to wait for the gateway to be ready; None: it is asked once, and need not run.
    """
    findings = check_files(data_dir)
    try:
        settings, environ = options.read_settings(config, FINOPS_REDIS_URL=redis_url)
    except click.ClickException as error:
        return [fail("configuration", error.message, "correct the keys named here"), *findings]
    source = environ.get("FINOPS_CONFIG") or "environment alone"
    findings += [check_address(settings), check_admin_key(settings, read_admin_key(data_dir)), *check_limits(settings)]
    governance_scripts()  # read before the event loop runs: files block
    webhook_scripts()
    alert_scripts()
    patience_scripts()
    url = url or local_url(settings)
    key = credentials(url, None, data_dir)
    asked = check_gateway(url, key) if wait_s is None else await_gateway(url, key, wait_s)
    gateway, running = asyncio.run(asked)
    services = asyncio.run(_check_services(settings, environ, data_dir))
    return [ok("configuration", source), gateway, *findings, *_with_providers(services, running)]


def local_url(settings: Settings) -> str:
    """Return the URL of a gateway with these settings on this machine."""
    host = settings.server.host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - the wildcard is replaced
    return f"http://[{host}]:{settings.server.port}" if ":" in host else f"http://{host}:{settings.server.port}"


def _with_providers(findings: list[Finding], running: list[str]) -> list[Finding]:
    """Replace the warning that no provider is configured here, if the running gateway has some."""
    text = f"none in this environment; the running gateway has {', '.join(running)}"
    return [
        ok("providers", text) if running and finding.check == "providers" and finding.level == "WARN" else finding
        for finding in findings
    ]


async def _check_services(settings: Settings, environ: Mapping[str, str], data_dir: Path) -> list[Finding]:
    url = options.store_url(settings, data_dir)
    found = await check_keys(settings, url) + await _check_store_and_providers(settings, environ, data_dir, url)
    found += await check_guardrails(settings, environ)
    return found + await check_patience(settings, environ, url) + await check_blobs(settings)


async def _check_store_and_providers(
    settings: Settings, environ: Mapping[str, str], data_dir: Path, url: str | None
) -> list[Finding]:
    providers = check_providers(settings, environ)
    if url is None:
        fix = "set --redis-url or FINOPS_REDIS_URL, or run `finops serve`, which includes one"
        return [warn("store", f"none is configured, and none runs in {data_dir}", fix), *await providers]
    on_store, on_providers = await asyncio.gather(check_store(url, settings), providers)
    return on_store + on_providers


def check_files(data_dir: Path) -> list[Finding]:
    """Check whether other users of this machine can read the data directory."""
    if not data_dir.exists():
        return [ok("data directory", f"{data_dir} does not exist yet; `finops serve` creates it")]
    findings = [_check_private("data directory", data_dir)]
    key = data_dir / FILE_NAME
    if key.exists():
        findings.append(_check_private("admin key file", key))
    return findings


def _check_private(check: str, path: Path) -> Finding:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.getuid():
        return warn(check, f"{path} belongs to another user", f"run as that user, or chown {path}")
    if mode & GROUP_AND_OTHERS:
        return fail(
            check,
            f"{path} is accessible to other users (mode {mode:o})",
            f"chmod {'700' if path.is_dir() else '600'} {path}",
        )
    return ok(check, f"{path} is private")
