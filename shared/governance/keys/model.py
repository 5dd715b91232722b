"""A virtual key: its rules, its stored and public forms, and the caller that it authenticates."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Self

import orjson
from pydantic import ValidationError

from shared.clock import rfc3339
from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance.keys.caller import Caller
from shared.governance.limits.model import Limit, limits_of
from shared.settings.errors import JSON, fault_of
from shared.settings.model import KeyRules, Settings, VirtualKeySettings

PREFIX = "sk-bf-"
RECORD_VERSION = 1
_GENERATED_ID = re.compile(r"vk_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualKey:
    """A virtual key, without its value.

    Attributes:
        id: ``vk_…``; of a configured key its name.
        hint: The last characters of the value, for recognising it.
        settings: What it may use and spend, as in ``finops.toml``.
        created_at: Unix seconds; 0: configured.
        revoked_at: Unix seconds; 0: not revoked.
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

    def to_dict(self) -> dict[str, Any]:
        """The public form, without secrets."""
        document = self.settings.model_dump(mode="json", exclude={"value", "budget", "rate_limit"})
        document["budgets"] = [budget.model_dump() for budget in self.settings.all_budgets]
        document["rate_limits"] = [rate.model_dump(exclude_none=True) for rate in self.settings.all_rate_limits]
        times = {"created_at": self.created_at, "rotated_at": self.rotated_at, "revoked_at": self.revoked_at}
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "hint": self.hint,
            "configured": self.configured,
            **document,
            **{name: rfc3339(moment) if moment else None for name, moment in times.items()},
        }

    def to_json(self) -> bytes:
        """The stored form."""
        settings = self.settings.model_dump(mode="json", exclude={"value"}, exclude_defaults=True)
        record = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"settings", "configured"}}
        return orjson.dumps({"v": RECORD_VERSION, **record, "settings": settings})

    @classmethod
    def from_json(cls, stored: bytes) -> Self:
        """Read the stored form; unknown fields are ignored.

        Raises:
            StoreUnavailable: A newer release wrote it; its limits would be misread.
        """
        record = orjson.loads(stored)
        if record.get("v", RECORD_VERSION) > RECORD_VERSION:
            raise StoreUnavailable("The virtual key was written by a newer release of the gateway.")
        known = {f.name for f in fields(cls)} - {"settings", "configured"}
        settings = VirtualKeySettings.model_validate(record.get("settings", {}))
        return cls(settings=settings, **{name: value for name, value in record.items() if name in known})


def read_key_settings(raw: Mapping[str, Any]) -> VirtualKeySettings:
    """Settings from an administrator's JSON.

    Raises:
        InvalidRequest: A setting is unknown or wrong; ``param`` names it.
    """
    if "value" in raw:
        raise InvalidRequest(
            "`value` cannot be set: the gateway generates it. Remove it from the request.", param="value"
        )
    try:
        return VirtualKeySettings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(fault_of(first, KeyRules, JSON), param=path[:100]) from None


def caller_of_key(key: VirtualKey, settings: Settings) -> Caller:
    """Return the caller of a key, with its own limits, its team's and its customer's."""
    rules = key.settings
    return Caller(
        key_id=key.id,
        name=key.name,
        models=rules.models,
        weight=rules.weight,
        max_concurrent_jobs=rules.max_concurrent_jobs or 0,
        max_concurrent_calls=rules.max_concurrent_calls or 0,
        max_stored_mb=rules.max_stored_mb or 0,
        scope=key.id,
        team=rules.team,
        customer=rules.customer,
        denied_models=rules.denied_models,
        providers=rules.providers,
        fallbacks=rules.fallbacks,
        limits=_all_limits(key.id, rules, settings),
        dimensions=tuple(sorted(rules.dimensions.items())),
        passthrough=rules.passthrough,
        expires_at=_unix(rules.expires_at) if rules.expires_at else 0.0,
        revoked=bool(key.revoked_at),
    )


def digest_of(value: str | bytes) -> str:
    """Hash a value for storage; keys are long and random, so a plain hash hides them."""
    return blake2b(value if isinstance(value, bytes) else value.encode(), digest_size=32).hexdigest()


def _all_limits(key_id: str, rules: VirtualKeySettings, settings: Settings) -> tuple[Limit, ...]:
    above: list[Limit] = []
    for kind, name, table in (("team", rules.team, settings.teams), ("customer", rules.customer, settings.customers)):
        if name:
            above += limits_of(f"{kind}:{name}", table.get(name))
    return (*limits_of(f"key:{key_id}", rules), *above)


def is_made_id(key_id: str) -> bool:
    """Whether an id is that of a key created at run time."""
    return _GENERATED_ID.fullmatch(key_id) is not None


def hint_of(key: VirtualKeySettings) -> str:
    """The last characters of a configured value; empty for a short one, which they would give away."""
    value = key.value.get_secret_value() if key.value else ""
    return value[-4:] if len(value) >= 16 else ""


def _unix(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
