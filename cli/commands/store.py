"""``finops store``: move a gateway's data to another store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.examples import examples

if TYPE_CHECKING:
    from shared.store.migration import Report

TIMEOUT_S = 60.0


@click.group(
    name="store", epilog=examples("finops store migrate .finops redis+cluster://10.0.0.1:6379,10.0.0.2:6379 --dry-run")
)
def command() -> None:
    """Move the stored data to another store."""


@command.command(
    name="migrate",
    epilog=examples(
        "finops store migrate .finops redis://10.0.0.1:6379/0 --dry-run",
        "finops store migrate redis://10.0.0.1:6379/0 redis+cluster://10.0.0.2:6379,10.0.0.3:6379",
    ),
)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--dry-run", is_flag=True, help="Check both stores and count the keys, and copy nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def migrate(*, source: str, target: str, dry_run: bool, as_json: bool) -> None:
    """Copy a gateway's data from one store to another: servers, Sentinel sets and clusters, in any combination.

    FROM and TO are URLs; FROM may also be the data directory of a `finops serve` that is stopped.

    Stop all API and worker processes before, and start them on TO afterwards. FROM is left as it is. TO has to be
    empty. After an interruption, run the same command again: it goes on where it was.
    """
    import asyncio

    from cli.views.output import echo_json

    with _source_url(source) as url:
        origin = source if source == url else str(Path(source).resolve())
        report = asyncio.run(_migrate(url, target, origin, dry_run))
    if as_json:
        echo_json({"dry_run": dry_run, **report})
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report["kinds"].items())
    click.echo(f"{report['keys']:,} keys" + (f": {kinds}" if kinds else ""))
    if report["foreign"]:
        click.echo(f"{report['foreign']:,} keys of others stay where they are")
    if dry_run:
        return
    click.echo(f"{report['copied']:,} copied, {report['present']:,} copied before; both stores hold the same")
    if report["left_out"]:
        click.echo(f"{len(report['left_out']):,} vector sets of the cache were left out: the target cannot read them")
    click.echo("Start API and worker processes with the URL of the target.")


@contextmanager
def _source_url(source: str) -> Iterator[str]:
    """Return the URL of the source; the store of a data directory runs meanwhile.

    Raises:
        click.ClickException: The directory is in use, or its store does not start.
    """
    if "://" in source:
        yield source
        return
    from shared.store.embedded import EmbeddedStore
    from shared.store.errors import DataDirectoryInUse, StoreConnectionError

    if not Path(source).is_dir():
        raise click.UsageError(f"{source} is neither a URL nor a data directory.")
    store = EmbeddedStore(Path(source))
    try:
        store.start()
    except (DataDirectoryInUse, StoreConnectionError, OSError) as error:
        raise click.ClickException(str(error)) from None
    try:
        yield store.url
    finally:
        store.stop()


async def _migrate(source: str, target: str, origin: str, dry_run: bool) -> dict[str, Any]:
    """Check, count or copy.

    Raises:
        click.ClickException: It cannot begin, or did not end.
    """
    from redis.exceptions import ResponseError

    from shared.governance.keyspace import NAMES_IN_HASHES
    from shared.store.errors import StoreConnectionError
    from shared.store.migration import CLIENT_NAME, End, Migration, MigrationRefused
    from shared.store.multiplexed import MultiplexedClient
    from shared.store.shards import read_shards

    if source == target:
        raise click.UsageError("FROM and TO are the same store.")

    clients: dict[str, list[MultiplexedClient]] = {source: [], target: []}

    def connect(shards: int) -> None:
        for url, opened in clients.items():
            opened += [
                MultiplexedClient(url, timeout_s=TIMEOUT_S, client_name=CLIENT_NAME, shard=shard)
                for shard in range(len(opened), shards)
            ]

    try:
        connect(1)
        connect(await read_shards(clients[source][0]))
        ends = [End(url, opened) for url, opened in clients.items()]
        migration = Migration(ends[0], ends[1], NAMES_IN_HASHES, origin=origin, progress=_show)
        await migration.check()
        report: Report = await (migration.count() if dry_run else migration.run())
    except (MigrationRefused, StoreConnectionError, ResponseError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        for client in (*clients[source], *clients[target]):
            await client.aclose()
    return report.to_dict()


async def _show(keys: int) -> None:
    if keys % 100_000 < 1000:
        click.echo(f"{keys:,} keys ...", err=True)
