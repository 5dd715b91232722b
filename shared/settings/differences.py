"""What changes between two configurations, with secrets masked."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from shared.settings.load import effective
from shared.settings.model import Settings

# Read when a process opens its sockets and its store; a reload cannot change them.
FIXED = ("server.host", "server.port", "redis.url", "auth.admin_key")


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs.

    Attributes:
        setting: Its dotted name.
        before: Its old value as text; ``-`` where it is absent, masked where it is a secret.
        after: Its new value, likewise.
    """

    setting: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.before} -> {self.after}"

    def to_dict(self) -> dict[str, str]:
        """Return the change as the API shows it."""
        return {"setting": self.setting, "before": self.before, "after": self.after}


def differences(old: Settings, new: Settings) -> list[Change]:
    """List the settings that differ."""
    before, after = _flat(_values(old)), _flat(_values(new))
    masked_before, masked_after = _flat(effective(old)), _flat(effective(new))
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    return [Change(path, _text(masked_before.get(path)), _text(masked_after.get(path))) for path in changed]


def fixed_changes(old: Settings, new: Settings, fixed: Collection[str] = FIXED) -> list[str]:
    """Names of changed settings that need a restart."""
    before, after = _flat(_values(old)), _flat(_values(new))
    return [path for path in fixed if before.get(path) != after.get(path)]


def _values(value: Any) -> Any:  # noqa: ANN401 - any setting
    """The settings as plain values, secrets unmasked: for comparison only."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {name: _values(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {name: _values(item) for name, item in value.items()}
    return [_values(item) for item in value] if isinstance(value, tuple) else value


def _flat(value: Any, path: str = "") -> Mapping[str, Any]:  # noqa: ANN401 - any setting
    """Settings by dotted name; lists of tables by number."""
    if isinstance(value, dict):
        parts = [_flat(item, f"{path}.{name}" if path else str(name)) for name, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        parts = [_flat(item, f"{path}[{at}]") for at, item in enumerate(value)]
    else:
        return {path: value}
    return {name: item for part in parts for name, item in part.items()}


def _text(value: Any) -> str:  # noqa: ANN401 - any setting
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
