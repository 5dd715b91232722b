"""Values for the virtual keys that are configured without one: created at the first start, printed once."""

import asyncio
from collections.abc import Mapping

from shared.settings.model import Settings


async def create_missing_values(settings: Settings, url: str) -> Mapping[str, str]:
    """Create the values that are missing, and return them by the names of their keys; they cannot be read again.

    A store that does not answer creates none; ``finops keys rotate NAME`` gives such a key a value at any time.

    Args:
        settings: The effective configuration.
        url: The store.
    """
    if all(key.value is not None for key in settings.virtual_keys.values()):
        return {}
    # Only now: the clients of the store cost the supervisor 0.5 s of its start.
    from shared.errors import GatewayError  # noqa: PLC0415
    from shared.governance.keys.store import VirtualKeyStore  # noqa: PLC0415
    from shared.governance.limits.guard import governance_scripts  # noqa: PLC0415
    from shared.store.multiplexed import MultiplexedClient  # noqa: PLC0415

    await asyncio.to_thread(governance_scripts)
    commands = MultiplexedClient(url, client_name="finops-keys")
    try:
        return await VirtualKeyStore(commands, settings).make_missing()
    except GatewayError:
        return {}
    finally:
        await commands.aclose()
