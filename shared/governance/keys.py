"""Virtual keys that are made at run time: kept in the store, values shown once and stored as hashes alone."""

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Self

import orjson
from pydantic import ValidationError

from shared.errors import InvalidRequest, KeyNotFound, StoreUnavailable
from shared.governance import store_keys
from shared.governance.caller import Caller
from shared.governance.limits import Limit, limits_of
from shared.settings.model import Settings, VirtualKeySettings
from shared.store.commands import Command, RedisCommands
from shared.store.faults import StoreUnavailable as StoreFault

PREFIX = "sk-bf-"
VALUE_BYTES = 32
MAX_GRACE_S = 30 * 86_400
MAX_PAGE = 1_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ \-]{0,99}")
_DIMENSION = re.compile(r"[a-z0-9][a-z0-9_\-]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualKey:
    """A virtual key, without its value.

    Attributes:
        id: ``vk_…``; of a configured key its name.
        hint: The last characters of the value, by which people recognise it.
        settings: What it may use and spend, as in ``finops.toml``.
        created_at: Unix seconds; 0: configured.
        revoked_at: Unix seconds; 0: it lives.
    """

    id: str
    name: str
    settings: VirtualKeySettings
    hint: str = ""
    created_at: float = 0.0
    rotated_at: float = 0.0
    revoked_at: float = 0.0
    configured: bool = False

    @property
    def status(self) -> str:
        """``active``, ``revoked`` or ``expired``."""
        if self.revoked_at:
            return "revoked"
        expires = self.settings.expires_at
        return "expired" if expires and _unix(expires) <= time.time() else "active"

    def shown(self) -> dict[str, Any]:
        """As the administration API and the command line show it; nothing secret is in it."""
        said = self.settings.model_dump(mode="json", exclude={"value", "budget", "rate_limit"})
        said["budgets"] = [budget.model_dump() for budget in self.settings.all_budgets]
        said["rate_limits"] = [rate.model_dump(exclude_none=True) for rate in self.settings.all_rate_limits]
        times = {"created_at": self.created_at, "rotated_at": self.rotated_at, "revoked_at": self.revoked_at}
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "hint": self.hint,
            "configured": self.configured,
            **said,
            **{name: _rfc3339(moment) for name, moment in times.items()},
        }

    def to_json(self) -> bytes:
        """The stored form."""
        said = self.settings.model_dump(mode="json", exclude={"value"}, exclude_defaults=True)
        record = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"settings", "configured"}}
        return orjson.dumps({"v": 1, **record, "settings": said})

    @classmethod
    def from_json(cls, stored: bytes) -> Self:
        """Read the stored form; unknown fields are ignored."""
        said = orjson.loads(stored)
        known = {f.name for f in fields(cls)} - {"settings", "configured"}
        settings = VirtualKeySettings.model_validate(said.get("settings", {}))
        return cls(settings=settings, **{name: value for name, value in said.items() if name in known})


class Keys:
    """Makes, shows and ends virtual keys.

    Args:
        commands: The store.
        settings: Their configured fellows, which are shown and never changed here.
    """

    def __init__(self, commands: RedisCommands, settings: Settings) -> None:
        self._commands = commands
        self._configured = {
            name: VirtualKey(id=name, name=name, settings=key, configured=True, hint=_hint_of(key))
            for name, key in settings.virtual_keys.items()
        }

    async def create(self, name: str, said: Mapping[str, Any]) -> tuple[VirtualKey, str]:
        """Make a key.

        Args:
            name: For people.
            said: Its settings, as in ``finops.toml``.

        Returns:
            The key, and its value, which nobody can be told again.

        Raises:
            InvalidRequest: The name or a setting is wrong; the message says which.
            StoreUnavailable: No answer.
        """
        if not _NAME.fullmatch(name):
            raise InvalidRequest("name must have 1 to 100 letters, digits, spaces, dots or dashes.", param="name")
        value = _new_value()
        key = VirtualKey(
            id=f"vk_{secrets.token_hex(8)}",
            name=name,
            settings=read_key_settings(said),
            hint=value[-4:],
            created_at=time.time(),
        )
        await self._write(
            key,
            ("SET", store_keys.key_hash(digest_of(value)), key.id),
            ("ZADD", store_keys.KEY_SET, key.created_at, key.id),
        )
        return key, value

    async def get(self, key_id: str) -> VirtualKey:
        """A key.

        Raises:
            KeyNotFound: There is none.
            StoreUnavailable: No answer.
        """
        configured = self._configured.get(key_id)
        if configured is not None:
            return configured
        stored = await self._execute("GET", store_keys.key_record(key_id[:100]))
        if stored is None:
            raise KeyNotFound(key_id)
        return VirtualKey.from_json(stored)

    async def list(self, *, after: str = "", limit: int = 100) -> tuple[list[VirtualKey], bool]:
        """Keys, the configured ones first, then by age; and whether there are more.

        Args:
            after: Id that the page before ended with.
            limit: 1 to 1000.
        """
        limit = max(1, min(limit, MAX_PAGE))
        ids = [key.decode() for key in await self._execute("ZRANGE", store_keys.KEY_SET, 0, -1)]
        order = [*self._configured, *ids]
        if after:
            if after not in order:
                raise KeyNotFound(after)
            order = order[order.index(after) + 1 :]
        page = order[:limit]
        wanted = [key_id for key_id in page if key_id not in self._configured]
        stored = await self._execute("MGET", *(store_keys.key_record(key_id) for key_id in wanted)) if wanted else []
        found = {key.id: key for key in (VirtualKey.from_json(raw) for raw in stored if raw)}
        return [key for key_id in page if (key := self._configured.get(key_id) or found.get(key_id))], len(
            order
        ) > limit

    async def change(self, key_id: str, said: Mapping[str, Any]) -> VirtualKey:
        """Replace settings of a key; what is not said stays.

        Raises:
            KeyNotFound: There is none.
            InvalidRequest: It is a configured one, or a setting is wrong.
            StoreUnavailable: No answer.
        """
        key = await self._own(key_id)
        kept = key.settings.model_dump(mode="json", exclude={"value"}, exclude_defaults=True)
        # The short form and the list of the same thing must not add up.
        for short, several in (("budget", "budgets"), ("rate_limit", "rate_limits")):
            if short in said or several in said:
                kept.pop(short, None)
                kept.pop(several, None)
        key = replace(key, settings=read_key_settings({**kept, **said}))
        await self._write(key)
        return key

    async def rotate(self, key_id: str, *, grace_s: int = 0) -> tuple[VirtualKey, str]:
        """Give a key a new value; the old ones work for ``grace_s`` more seconds.

        Raises:
            KeyNotFound, InvalidRequest, StoreUnavailable: As ``change``.
        """
        if not 0 <= grace_s <= MAX_GRACE_S:
            raise InvalidRequest(f"grace_s must be between 0 and {MAX_GRACE_S}.", param="grace_s")
        key = await self._own(key_id)
        value = _new_value()
        old = await self._hashes(key.id)
        ends: list[Command] = [("EXPIRE", name, grace_s, "LT") if grace_s else ("DEL", name) for name in old]
        key = replace(key, hint=value[-4:], rotated_at=time.time())
        await self._write(key, ("SET", store_keys.key_hash(digest_of(value)), key.id), *ends)
        return key, value

    async def revoke(self, key_id: str) -> VirtualKey:
        """End a key for good; its record stays, so that reports can name it. A second time changes nothing.

        Raises:
            KeyNotFound, InvalidRequest, StoreUnavailable: As ``change``.
        """
        key = await self._own(key_id)
        if key.revoked_at:
            return key
        key = replace(key, revoked_at=time.time())
        await self._write(key)
        return key

    async def _own(self, key_id: str) -> VirtualKey:
        key = await self.get(key_id)
        if key.configured:
            raise InvalidRequest(f"The key {key_id!r} is in finops.toml; change it there.", param="id")
        return key

    async def _hashes(self, key_id: str) -> Sequence[str]:
        """The names of the hashes that lead to a key now."""
        names = await self._execute("SMEMBERS", store_keys.key_values(key_id))
        return [name.decode() for name in names]

    async def _write(self, key: VirtualKey, *more: Command) -> None:
        """Write a key and what belongs to it at once, and tell every process."""
        values = [command[1] for command in more if command[0] == "SET"]
        own = store_keys.key_values(key.id)
        commands: list[Command] = [("SET", store_keys.key_record(key.id), key.to_json()), *more]
        commands += [("SADD", own, value) for value in values]
        commands.append(("PUBLISH", store_keys.KEYS_CHANGED, key.id))
        try:
            await self._commands.execute_many(commands)
        except StoreFault as error:
            raise StoreUnavailable("The virtual keys cannot be reached.") from error

    async def _execute(self, *args: Any) -> Any:  # noqa: ANN401 - a reply is anything
        try:
            return await self._commands.execute(*args, retry_safe=True)
        except StoreFault as error:
            raise StoreUnavailable("The virtual keys cannot be reached.") from error


def read_key_settings(said: Mapping[str, Any]) -> VirtualKeySettings:
    """Settings from an administrator's JSON.

    Raises:
        InvalidRequest: A setting is unknown or wrong; ``param`` names it.
    """
    if "value" in said:
        raise InvalidRequest("A key's value is made here, never given.", param="value")
    try:
        settings = VirtualKeySettings.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{place}: {first['msg']}", param=place) from None
    for name in settings.dimensions:
        if not _DIMENSION.fullmatch(name):
            raise InvalidRequest(f"{name[:50]!r} is no name of a dimension.", param="dimensions")
    return settings


def caller_of_key(key: VirtualKey, settings: Settings) -> Caller:
    """The caller that a key stands for, bound by its own limits, its team's and its customer's."""
    said = key.settings
    return Caller(
        key_id=key.id,
        name=key.name,
        models=said.models,
        weight=said.weight,
        max_concurrent_jobs=said.max_concurrent_jobs or 0,
        scope=key.id,
        team=said.team,
        customer=said.customer,
        denied_models=said.denied_models,
        providers=said.providers,
        fallbacks=said.fallbacks,
        limits=_all_limits(key.id, said, settings),
        dimensions=tuple(sorted(said.dimensions.items())),
        expires_at=_unix(said.expires_at) if said.expires_at else 0.0,
        revoked=bool(key.revoked_at),
    )


def digest_of(value: str | bytes) -> str:
    """What is stored of a value: keys are long and random, so a plain hash hides them."""
    return blake2b(value if isinstance(value, bytes) else value.encode(), digest_size=32).hexdigest()


def _all_limits(key_id: str, said: VirtualKeySettings, settings: Settings) -> tuple[Limit, ...]:
    above: list[Limit] = []
    for kind, name, table in (("team", said.team, settings.teams), ("customer", said.customer, settings.customers)):
        if name:
            above += limits_of(f"{kind}:{name}", table.get(name))
    return (*limits_of(f"key:{key_id}", said), *above)


def _new_value() -> str:
    return PREFIX + secrets.token_urlsafe(VALUE_BYTES)


def _hint_of(key: VirtualKeySettings) -> str:
    value = key.value.get_secret_value() if key.value else ""
    return value[-4:] if len(value) >= 16 else ""


def _unix(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _rfc3339(moment: float) -> str | None:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None
