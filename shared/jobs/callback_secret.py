"""The secret that signs callbacks to URLs without a configured webhook."""

import base64
import secrets

from shared.jobs.keys import WEBHOOK_SECRET
from shared.store.commands import RedisCommands


async def callback_secret(commands: RedisCommands) -> str:
    """Return the secret, ``whsec_`` and base64; created on first use and shared by all processes."""
    fresh = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    stored = await commands.execute("SET", WEBHOOK_SECRET, fresh, "NX", "GET", retry_safe=True)
    return fresh if stored is None else bytes(stored).decode()
