"""The scripts of webhook deliveries."""

from functools import cache

from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands
from shared.store.scripts import Script, load_scripts


@cache
def webhook_scripts() -> dict[str, Script]:
    """Load the scripts of ``shared/webhooks/lua``, once per process."""
    return dict(load_scripts("shared.webhooks.lua"))


def scripts_on(commands: RedisCommands) -> EngineScripts:
    """Run the scripts of deliveries on a connection; store failures become ``StoreUnavailable``."""
    return EngineScripts(commands, webhook_scripts())
