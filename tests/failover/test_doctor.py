"""Doctor names the rights that a store's user lacks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.redis_servers import Server, server
from shared.checks.rights import check_rights
from shared.checks.store import check_store
from shared.settings.model import JobSettings, Settings
from shared.store.commands import PooledCommands
from shared.store.connection import connect


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("plain") / "server") as one:
        yield one


@pytest.mark.parametrize(
    ("rules", "level", "text"),
    [
        ("+@all", "OK", "may be run"),
        ("+@all -xreadgroup -publish", "FAIL", "PUBLISH, XREADGROUP"),
        ("+@all -script -client", "WARN", "SCRIPT LOAD"),
        ("+@all -evalsha", "FAIL", "EVALSHA"),
        ("+@all -blpop", "FAIL", "BLPOP"),
    ],
)
async def test_a_missing_right_is_named(plain: Server, rules: str, level: str, text: str) -> None:
    plain.ask("ACL", "SETUSER", "app", "reset", "on", ">x", "~finops:*", "~arq:*", "&finops:*", *rules.split())
    commands = PooledCommands(connect(plain.url.replace("://", "://app:x@")))
    finding = await check_rights(commands, Settings())
    await commands.aclose()
    assert (finding.level, text in finding.message) == (level, True), finding
    assert bool(finding.fix) == (level != "OK")


async def test_a_missing_command_is_named(tmp_path: Path) -> None:
    settings = Settings(jobs=JobSettings(durability="replicated"))
    with server(tmp_path / "renamed", "--save", "", "--rename-command", "WAIT", "NOWAIT") as renamed:
        commands = PooledCommands(connect(renamed.url))
        finding = await check_rights(commands, settings)
        await commands.aclose()
    assert (finding.level, finding.message) == ("FAIL", "the store does not let its user run WAIT")


async def test_doctor_checks_them(plain: Server) -> None:
    findings = {finding.check: finding for finding in await check_store(plain.url, Settings())}
    assert findings["store rights"].level == "OK"
