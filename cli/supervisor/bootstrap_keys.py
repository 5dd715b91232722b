"""Values for the virtual keys that are configured without one: made at the first start, said once."""

import asyncio
from collections.abc import Mapping

from shared.errors import GatewayError
from shared.governance.keys.store import VirtualKeyStore
from shared.governance.limits.guard import governance_scripts
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient


async def make_missing_values(settings: Settings, url: str) -> Mapping[str, str]:
    """The values that were made now, by the names of their keys; nobody can be told them again.

    A store that does not answer makes none; ``finops keys rotate NAME`` gives such a key a value at any time.

    Args:
        settings: The effective configuration.
        url: The store.
    """
    if all(key.value is not None for key in settings.virtual_keys.values()):
        return {}
    await asyncio.to_thread(governance_scripts)
    commands = MultiplexedClient(url, client_name="finops-keys")
    try:
        return await VirtualKeyStore(commands, settings).make_missing()
    except GatewayError:
        return {}
    finally:
        await commands.aclose()
