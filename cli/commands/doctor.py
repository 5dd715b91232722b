"""``finops doctor``: is everything as it must be, and what to do where it is not."""

import asyncio
import dataclasses
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import click

from cli import options
from cli.checks.findings import Finding, fail, ok, warn
from cli.checks.governance import check_admin_key, check_keys
from cli.checks.providers import check_providers
from cli.checks.store import check_store
from cli.client.admin_key import FILE_NAME
from cli.examples import examples
from cli.views.output import echo_json, out, table
from shared.governance.limits.guard import governance_scripts
from shared.settings.model import Settings

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@click.command(name="doctor", epilog=examples("finops doctor", "finops doctor --config finops.toml --json"))
@options.config_option
@options.redis_url_option
@options.data_dir_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(*, config: Path | None, redis_url: str | None, data_dir: Path, as_json: bool) -> None:
    """Check configuration, store, providers and workers; each finding comes with its mend. Exit 1 on a FAIL."""
    findings = examine(config, redis_url, data_dir)
    if as_json:
        echo_json([dataclasses.asdict(finding) for finding in findings])
    else:
        rows = [(finding.check, finding.level, finding.said, finding.fix) for finding in findings]
        out().print(table(("check", "", "found", "what to do"), rows))
    if any(finding.level == "FAIL" for finding in findings):
        raise click.exceptions.Exit(1)


def examine(config: Path | None, redis_url: str | None, data_dir: Path) -> list[Finding]:
    """Every finding; without a valid configuration only what does not depend on it."""
    findings = check_files(data_dir)
    try:
        settings, environ = options.read_settings(config, FINOPS_REDIS_URL=redis_url)
    except click.ClickException as error:
        return [fail("configuration", error.message, "correct the named keys"), *findings]
    source = environ.get("FINOPS_CONFIG") or "environment alone"
    findings.append(check_admin_key(settings, data_dir))
    governance_scripts()  # read before a loop runs
    return [ok("configuration", source), *findings, *asyncio.run(_ask_others(settings, environ, data_dir))]


async def _ask_others(settings: Settings, environ: Mapping[str, str], data_dir: Path) -> list[Finding]:
    url = options.store_url(settings, data_dir)
    return await check_keys(settings, url) + await _ask_store_and_providers(settings, environ, data_dir, url)


async def _ask_store_and_providers(
    settings: Settings, environ: Mapping[str, str], data_dir: Path, url: str | None
) -> list[Finding]:
    providers = check_providers(settings, environ)
    if url is None:
        fix = "name one with --redis-url or FINOPS_REDIS_URL, or run `finops serve`, which brings its own"
        return [warn("store", f"none is configured, and none runs in {data_dir}", fix), *await providers]
    on_store, on_providers = await asyncio.gather(check_store(url, settings), providers)
    return on_store + on_providers


def check_files(data_dir: Path) -> list[Finding]:
    """Whether others on this machine can read what is ours."""
    if not data_dir.exists():
        return [ok("data directory", f"{data_dir} is not there yet; `finops serve` makes it")]
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
    if mode & OTHERS:
        return fail(
            check, f"{path} is open to others (mode {mode:o})", f"chmod {'700' if path.is_dir() else '600'} {path}"
        )
    return ok(check, f"{path} is private")
