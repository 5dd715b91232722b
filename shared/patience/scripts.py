"""The scripts of lanes."""

from functools import cache

from shared.jobs.scripts import ACCOUNTING_LIBRARIES, EngineScripts
from shared.store.commands import RedisCommands
from shared.store.scripts import Script, load_scripts


@cache
def patience_scripts() -> dict[str, Script]:
    """Load the scripts of ``shared/patience/lua``, once per process."""
    return dict(load_scripts("shared.patience.lua", "shared.jobs.lua", *ACCOUNTING_LIBRARIES))


def scripts_on(commands: RedisCommands) -> EngineScripts:
    """Run the scripts of lanes on a connection; store failures become ``StoreUnavailable``."""
    return EngineScripts(commands, patience_scripts())
