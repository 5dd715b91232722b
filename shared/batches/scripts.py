"""The scripts of files and batches."""

from functools import cache

from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands
from shared.store.scripts import Script, load_scripts


@cache
def batch_scripts() -> dict[str, Script]:
    """Load the scripts of ``shared/batches/lua``, once per process."""
    return dict(load_scripts("shared.batches.lua"))


def scripts_on(commands: RedisCommands) -> EngineScripts:
    """Run the scripts of batches on a connection; store failures become ``StoreUnavailable``."""
    return EngineScripts(commands, batch_scripts())
