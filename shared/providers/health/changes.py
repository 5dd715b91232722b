"""Changes of provider health that processes share: the value and its stored form."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import orjson

VERSION = 1
MAX_LIFE_S = 24 * 3600.0
MAX_NAME = 512

ChangeKind = Literal["rest", "served", "open", "closed", "limit"]
_KINDS = frozenset(get_args(ChangeKind))
# What a change is about; a later one about the same replaces it.
_SUBJECTS = {"rest": "rest", "served": "rest", "open": "circuit", "closed": "circuit", "limit": "limit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChange:
    """A change that every process should know.

    Attributes:
        kind: ``rest``: a key cools down; ``served``: it does not any more; ``open``, ``closed``: a circuit;
            ``limit``: the provider gets fewer calls at once.
        key: The key's name, never its value; empty: the provider as a whole.
        model: Empty: every model.
        until: Unix seconds; after it the change means nothing.
        stated: Of a ``rest``: the provider stated the delay; ``told`` in the stored form.
        status: Of a ``rest``: the HTTP status.
        times: Of a ``rest``: consecutive refusals.
        limit: Of a ``limit``: concurrent calls in the process that found it.
    """

    kind: ChangeKind
    provider: str
    key: str = ""
    model: str = ""
    until: float = 0.0
    stated: bool = False
    status: int = 0
    times: int = 1
    limit: int = 0

    @property
    def subject(self) -> str:
        """Its subject, as the name of a hash field."""
        return "|".join((_SUBJECTS[self.kind], self.provider, self.key, self.model))

    @property
    def ends(self) -> bool:
        """Whether it ends what was kept under its subject."""
        return self.kind in {"served", "closed"}


def write_change(change: HealthChange, by: str) -> bytes:
    """The stored form; ``by`` names the process."""
    fields = asdict(change)
    fields["told"] = fields.pop("stated")
    return orjson.dumps({"v": VERSION, "by": by, **fields})


def read_change(raw: bytes) -> tuple[str, HealthChange] | None:
    """Read the process and its change; None for anything that is not a change of this version."""
    try:
        fields = orjson.loads(raw)
        if fields.pop("v") != VERSION:
            return None
        by = str(fields.pop("by"))
        change = HealthChange(stated=fields.pop("told"), **fields)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return None
    return (by, change) if _sound(change) else None


def _sound(change: HealthChange) -> bool:
    names: tuple[Any, ...] = (change.provider, change.key, change.model)
    numbers: tuple[Any, ...] = (change.until, change.status, change.times, change.limit)
    return (
        change.kind in _KINDS
        and all(isinstance(name, str) and len(name) <= MAX_NAME for name in names)
        and all(isinstance(number, int | float) for number in numbers)
    )
