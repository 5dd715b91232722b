"""The scripts of schedules."""

from functools import cache

from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands
from shared.store.scripts import Script, load_scripts


@cache
def schedule_scripts() -> dict[str, Script]:
    """Load the scripts of ``shared/schedules/lua``, once per process."""
    return dict(load_scripts("shared.schedules.lua"))


def scripts_on(commands: RedisCommands) -> EngineScripts:
    """Run the scripts of schedules on a connection; store failures become ``StoreUnavailable``."""
    return EngineScripts(commands, schedule_scripts())
