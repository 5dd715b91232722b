"""The secrets that sign events: of configured webhooks, of virtual keys, and of calls without a key."""

import base64
import secrets
from typing import Final, NamedTuple

from shared import clock
from shared.errors import InvalidRequest
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.webhooks import keys
from shared.webhooks.scripts import scripts_on

BOTH_S: Final = 86_400
"""How long the previous secret signs beside its successor."""


class Rotation(NamedTuple):
    """A new secret, and until when the previous one signs too."""

    secret: str
    previous_until_ms: int


class WebhookSecrets:
    """Reads and rotates secrets. Nothing is cached, so that every process signs with the same at any time."""

    def __init__(self, commands: RedisCommands, settings: Settings) -> None:
        self._scripts = scripts_on(commands)
        self._webhooks = settings.webhooks

    async def of_webhook(self, name: str) -> tuple[str, ...]:
        """Return the secrets that sign a configured webhook's events, the newest first; none if it is not signed.

        A secret changed in the configuration replaces a rotated one.
        """
        configured = self._configured(name)
        if not configured:
            return ()
        secret, digest, previous, until_ms = await self._scripts.execute(
            *("HMGET", keys.rotated_secret(name), "secret", "configured", "previous", "previous_until_ms"),
            retry_safe=True,
        )
        if secret is None or digest.decode() != keys.digest(configured):
            return (configured,)
        both = int(until_ms) > clock.now().timestamp() * 1000
        return (secret.decode(), previous.decode()) if both else (secret.decode(),)

    async def rotate(self, name: str) -> Rotation:
        """Give a configured webhook a new secret; the previous one signs too for a day.

        Raises:
            InvalidRequest: The webhook has no secret.
        """
        configured = self._configured(name)
        if not configured:
            raise InvalidRequest(f"The webhook {name[:64]!r} is not signed: it has no secret to rotate.")
        fresh = _fresh_secret()
        until_ms = round((clock.now().timestamp() + BOTH_S) * 1000)
        await self._scripts.run(
            "rotate", (keys.rotated_secret(name), fresh, configured, keys.digest(configured), until_ms)
        )
        return Rotation(fresh, until_ms)

    async def of_key(self, key_id: str) -> str:
        """Return the secret that signs a virtual key's callbacks to URLs, created on first use.

        Args:
            key_id: The virtual key; empty: of calls without one.
        """
        fresh = _fresh_secret()
        name = keys.key_secret(key_id) if key_id else keys.KEYLESS_SECRET
        stored = await self._scripts.execute("SET", name, fresh, "NX", "GET", retry_safe=True)
        return fresh if stored is None else bytes(stored).decode()

    def _configured(self, name: str) -> str:
        secret = self._webhooks[name].secret
        return secret.get_secret_value() if secret else ""


def _fresh_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
