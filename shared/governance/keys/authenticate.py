"""Authenticate requests: configured virtual keys, those of the store, and the admin key."""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from shared.errors import VirtualKeyNotFound, VirtualKeyRequired
from shared.governance.keys.cache import VirtualKeyCache
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.governance.keys.model import PREFIX, VirtualKey, caller_of_key, is_made_id
from shared.governance.keys.presence import KeyPresence
from shared.governance.keys.roles import Administrator, Role
from shared.governance.keys.sessions import Sessions
from shared.governance.limits.model import Limit
from shared.settings.model import Settings

MAX_KEY_BYTES = 4096

_PREFIX = PREFIX.encode()

# Headers that may carry a key, in order of precedence.
_HEADERS = (b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key")
_ADMIN_HEADERS = (*_HEADERS, b"x-bf-vk", b"x-bf-admin-key")


class Authenticator:
    """Identify the caller of a request.

    Args:
        admin_key: Replaces the configured one (the key generated at first start).
        ring: Cache of the keys created at run time; None: only configured keys exist.
        sessions: Sign-in sessions of the console; None: there are none.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        admin_key: str | None = None,
        ring: VirtualKeyCache | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        configured = settings.auth.admin_key
        admin_key = admin_key or (configured.get_secret_value() if configured else None)
        self._admin = _digest(admin_key.encode()) if admin_key else b""
        self._owners = {
            name: caller_of_key(VirtualKey(id=name, name=name, settings=key, configured=True), settings)
            for name, key in settings.virtual_keys.items()
        }
        self._callers = {
            _digest(key.value.get_secret_value().encode()): self._owners[name]
            for name, key in settings.virtual_keys.items()
            if key.value is not None
        }
        required = settings.auth.require_virtual_key
        self._required = bool(self._owners) if required == "auto" else required
        self._presence = KeyPresence(ring) if required == "auto" and not self._required and ring is not None else None
        self._ring = ring
        self._sessions = sessions

    async def start(self) -> None:
        """Begin to follow whether keys are created, where that decides whether one is required."""
        if self._presence is not None:
            await self._presence.start()

    async def keys_changed(self) -> None:
        """Learn at once that a key was created or deleted by this process; others follow within two seconds."""
        if self._presence is not None:
            await self._presence.refresh()

    @property
    def requires_key(self) -> bool:
        """Whether calls without a virtual key are refused."""
        return self._required or (self._presence is not None and self._presence.exists)

    @property
    def single_tenant(self) -> bool:
        """Whether the configuration has one caller only: no virtual key exists and none is required."""
        return not self._owners and not self._required

    async def serves_one_tenant(self) -> bool:
        """Whether there is one caller only, keys created at run time included.

        Raises:
            StoreUnavailable: No answer.
        """
        return self.single_tenant and (self._ring is None or not await self._ring.any())

    async def owner(self, owner: str) -> Caller:
        """Return the caller that owns a job; a deleted key comes back as revoked.

        A key that is no longer configured has no limits: its job was authorised at submit.

        Raises:
            StoreUnavailable: The store did not answer, and the key is not cached.
        """
        found = self._owners.get(owner)
        if found is None and owner and self._ring is not None:
            found = await self._ring.by_id(owner)
        return found or Caller(key_id=owner, name=owner, revoked=is_made_id(owner))

    async def submitting_owner(self, owner: str) -> Caller:
        """Return the caller that a batch or a schedule submits new jobs for.

        As ``owner``, but a key that is no longer configured comes back as revoked: it may start nothing new.

        Raises:
            StoreUnavailable: The store did not answer, and the key is not cached.
        """
        caller = await self.owner(owner)
        unknown = bool(owner) and owner not in self._owners and not is_made_id(owner)
        return replace(caller, revoked=True) if unknown else caller

    def known_limits(self) -> Iterator[Limit]:
        """The limits of the configured keys, then of those that this process looked up lately."""
        cached = () if self._ring is None else self._ring.known()
        return (limit for caller in (*self._owners.values(), *cached) for limit in caller.limits)

    async def aclose(self) -> None:
        """Stop the background tasks."""
        if self._presence is not None:
            await self._presence.aclose()
        if self._ring is not None:
            await self._ring.aclose()

    async def identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Return the caller that the headers identify.

        The admin key identifies nobody here: it is for administration, see ``is_admin``.

        Args:
            headers: Lower-case names.

        Raises:
            VirtualKeyNotFound: ``x-bf-vk``, or a value that looks like a virtual key, is unknown.
            VirtualKeyRequired: The headers carry no key, and one is required.
            VirtualKeyBlocked: The key was revoked or has expired.
            StoreUnavailable: The store did not answer, and the key is not cached.
        """
        explicit = headers.get(b"x-bf-vk", b"").strip()
        if explicit:
            caller = await self._find(explicit, _digest(explicit))
            if caller is None:
                raise VirtualKeyNotFound("Unknown virtual key in x-bf-vk.", param="x-bf-vk")
            return caller
        bearer = b""  # the digest of the first value that names nobody
        for name in _HEADERS:
            value = headers.get(name)
            if not value:
                continue
            secret = _secret(value)
            digest = _digest(secret)
            caller = await self._find(secret, digest)
            if caller is not None:
                return caller
            if secret.startswith(_PREFIX):
                raise VirtualKeyNotFound(f"Unknown virtual key in {name.decode()}.", param=name.decode())
            bearer = bearer or (digest if secret else b"")
        return (b"cookie" in headers and await self.signed_in(headers)) or self._anonymous(bearer)

    async def signed_in(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Return the caller of the console session that the headers carry.

        Returns:
            None where there is no session, and for a person whose role is not admin: they see what ``/api`` shows.

        Raises:
            VirtualKeyBlocked: The key that signed in was revoked or has expired since.
            StoreUnavailable: The store did not answer.
        """
        session = await self._sessions.of_request(headers) if self._sessions is not None else None
        if session is None:
            return None
        if (administrator := session.administrator) is not None:
            return caller_for(administrator) if administrator.role is Role.ADMIN else None
        caller = await self.owner(session.key_id)
        caller.check()
        return caller

    def secrets_in(self, headers: Mapping[bytes, bytes]) -> list[bytes]:
        """The values of the headers that may carry an admin key or token."""
        return _admin_candidates(headers)

    def is_admin(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the headers carry the admin key."""
        return any(self._is_admin_key(_digest(secret)) for secret in _admin_candidates(headers))

    def fingerprint_of(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Identify an attempted key without storing it; empty if the headers carry none."""
        candidates = _admin_candidates(headers)
        return _digest(b"\n".join(candidates))[:16] if candidates else b""

    @property
    def has_admin_key(self) -> bool:
        """Whether there is an admin key."""
        return bool(self._admin)

    @property
    def admin_key_name(self) -> str:
        """The admin key's name in the audit trail: a short hash that does not reveal the key."""
        return f"admin key {_digest(self._admin).hex()[:8]}"

    async def _find(self, secret: bytes, digest: bytes) -> Caller | None:
        if not secret or len(secret) > MAX_KEY_BYTES:
            return None
        caller = self._callers.get(digest)
        if caller is None and self._ring is not None and secret.startswith(_PREFIX):
            caller = await self._ring.by_value(secret)
        if caller is not None and (caller.revoked or caller.expires_at):
            caller.check()
        return caller

    def _is_admin_key(self, digest: bytes) -> bool:
        return bool(self._admin) and hmac.compare_digest(digest, self._admin)

    def _anonymous(self, bearer: bytes) -> Caller:
        if self._required or (self._presence is not None and self._presence.exists):
            raise VirtualKeyRequired(
                "A virtual key is required. Send it in x-bf-vk, or as the API key of your SDK. The admin key is for "
                "administration alone.",
                param="x-bf-vk",
            )
        return _keyless(bearer) if bearer else ANONYMOUS


@lru_cache(maxsize=4096)
def _keyless(digest: bytes) -> Caller:
    """A caller without a virtual key, identified by the hash of its bearer token."""
    return Caller(scope=f"~{digest.hex()[:32]}")


ADMINISTRATOR = Caller(name="administrator", admin=True, scope="~admin")


def caller_for(administrator: Administrator) -> Caller:
    """The caller of an administrator's requests; the name, if there is one, stands in the audit trail."""
    return replace(ADMINISTRATOR, name=administrator.name) if administrator.name else ADMINISTRATOR


def _admin_candidates(headers: Mapping[bytes, bytes]) -> list[bytes]:
    """The values of the headers that may carry the admin key."""
    found = (_secret(headers[name]) for name in _ADMIN_HEADERS if name in headers)
    return [secret for secret in found if 0 < len(secret) <= MAX_KEY_BYTES]


def _secret(value: bytes) -> bytes:
    kind, _, rest = value.partition(b" ")
    return rest.strip() if kind.lower() == b"bearer" else value.strip()


def _digest(secret: bytes) -> bytes:
    """Keys are long and random, so a plain hash hides them; it also makes every comparison one of equal lengths."""
    return hashlib.blake2b(secret, digest_size=32).digest()
