"""``finops upgrade-check``: what of the stored data and of the configuration this release reads."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options
from cli.examples import examples

if TYPE_CHECKING:
    from shared.checks.findings import Finding
    from shared.settings.model import Settings

UNCHECKED = 2
"""Exit code: the store could not be looked at."""


@click.command(
    name="upgrade-check",
    epilog=examples(
        "finops upgrade-check --config finops.toml", "finops upgrade-check --redis-url redis://host:6379/0"
    ),
)
@options.config_option
@options.redis_url_option
@options.data_dir_option
@click.option(
    "--most-keys", type=click.IntRange(min=1), default=200_000, show_default=True, help="Keys of the store to look at."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(*, config: Path | None, redis_url: str | None, data_dir: Path, most_keys: int, as_json: bool) -> None:
    """Say what of the store and the configuration this release reads; run it with the new release, before its start.

    Nothing is written, and the running processes may go on. Exits with 0 if everything is read, with 1 if something
    is not, and with 2 if the store cannot be looked at.
    """
    from cli.views.output import echo_json, out, table
    from shared.checks.findings import fail

    try:
        settings, _ = options.read_settings(config, FINOPS_REDIS_URL=redis_url)
    except click.ClickException as error:
        fix = "remove or rename what is named here; `finops config check` repeats this check alone"
        findings, code = [fail("configuration", error.message, fix)], 1
    else:
        findings, code = _examine(settings, options.store_url(settings, data_dir), most_keys)
    if as_json:
        echo_json([finding.to_dict() for finding in findings])
    else:
        rows = [(finding.check, finding.level, finding.message, finding.fix) for finding in findings]
        out().print(table(("check", "", "found", "what to do"), rows))
    if code:
        raise click.exceptions.Exit(code)


def _examine(settings: "Settings", url: str | None, most_keys: int) -> "tuple[list[Finding], int]":
    """Check the store; the findings and the exit code."""
    import asyncio
    from importlib.metadata import version

    from shared.checks.findings import fail, ok

    configuration = ok("configuration", "this release knows each of its settings")
    if url is None:
        fix = "set --redis-url or FINOPS_REDIS_URL, or --data-dir of a running `finops serve`"
        return [configuration, fail("store", "none is configured, and none runs here", fix)], UNCHECKED
    findings = asyncio.run(_look(url, settings, version("finops-gateway"), most_keys))
    if isinstance(findings, str):
        return [configuration, fail("store", findings, "correct its URL, or start it")], UNCHECKED
    failed = any(finding.level == "FAIL" for finding in findings)
    return [configuration, *findings], int(failed)


async def _look(url: str, settings: "Settings", version: str, most_keys: int) -> "list[Finding] | str":
    """Look at the store; a text: why it cannot be looked at."""
    from contextlib import AsyncExitStack

    from shared.checks.findings import unstyled
    from shared.checks.upgrade import check_upgrade, known_names
    from shared.errors import StoreUnavailable
    from shared.keyspace import ALL_KEYS
    from shared.store.commands import PooledCommands
    from shared.store.connection import connect, mask
    from shared.store.errors import StoreConnectionError
    from shared.store.shards import read_shards

    try:
        async with AsyncExitStack() as opened:

            async def shard(number: int) -> PooledCommands:
                return PooledCommands(await opened.enter_async_context(connect(url, shard=number)), shard=number)

            first = await shard(0)
            others = [await shard(number) for number in range(1, await read_shards(first))]
            return await check_upgrade(first, settings, version, known_names(ALL_KEYS), most_keys, others=others)
    except (StoreConnectionError, StoreUnavailable, ValueError) as error:
        return f"{mask(url)}: {unstyled(str(error))}"
