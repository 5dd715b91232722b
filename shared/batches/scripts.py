"""The scripts of files and batches on a connection."""

from functools import cache

from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands
from shared.store.scripts import Script, load_scripts


@cache
def batch_scripts() -> dict[str, Script]:
    """The scripts of ``shared/batches/lua``, read once per process when first wanted."""
    return dict(load_scripts("shared.batches.lua"))


def scripts_on(commands: RedisCommands) -> EngineScripts:
    """The scripts and commands, with the store's faults told as callers are told of them."""
    return EngineScripts(commands, batch_scripts())
