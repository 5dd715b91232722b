"""The secret that signs callbacks to URLs that no webhook is configured for."""

import base64
import secrets

from shared.jobs.keys import WEBHOOK_SECRET
from shared.store.commands import RedisCommands


async def callback_secret(commands: RedisCommands) -> str:
    """The secret, ``whsec_`` and base64; made when first asked for, the same for all processes from then on."""
    made = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    kept = await commands.execute("SET", WEBHOOK_SECRET, made, "NX", "GET", retry_safe=True)
    return made if kept is None else bytes(kept).decode()
