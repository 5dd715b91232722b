"""The caller of a request and its permissions."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

from shared.errors import ModelBlocked, ProviderBlocked, VirtualKeyBlocked
from shared.governance.limits.model import Limit

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one request.

    Attributes:
        key_id: Id of its virtual key; empty for a caller without one.
        name: The key's name, for logs and reports.
        models: Patterns of ``provider/model`` that it may use.
        weight: Its fair share of the queue.
        max_concurrent_jobs: Maximum concurrent jobs; 0: no limit.
        max_stored_mb: Most MiB of request bodies and results in the job store; 0: as configured for all.
        admin: Whether it authenticated with the admin key: sees every job, charges no budget.
        scope: Namespace of its idempotency keys: the key, or a hash of the bearer token without one.
        team: The key's team.
        customer: The key's customer.
        denied_models: Patterns of ``provider/model`` that it may not use, whatever ``models`` says.
        providers: Patterns of the providers that it may use.
        fallbacks: Models to try after the requested one, unless the request names others.
        limits: Its own, its team's and its customer's.
        dimensions: Names and values that are booked with its calls.
        expires_at: Unix seconds; 0: never.
        revoked: Whether the key was revoked.
        passthrough: Which objects in a provider's account it may use: none, its own, or all.
        max_concurrent_calls: Most synchronous calls that are open at once in one API process; 0: no limit.
    """

    key_id: str = ""
    name: str = ""
    models: tuple[str, ...] = ("*",)
    weight: float = 1.0
    max_concurrent_jobs: int = 0
    max_stored_mb: float = 0.0
    admin: bool = False
    scope: str = ""
    team: str = ""
    customer: str = ""
    denied_models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ("*",)
    fallbacks: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    dimensions: tuple[tuple[str, str], ...] = ()
    expires_at: float = 0.0
    revoked: bool = False
    passthrough: Literal["off", "owned", "account"] = "owned"
    max_concurrent_calls: int = 0

    @property
    def run_owner(self) -> str:
        """The owner of its runs: its team, else its key, else the hash of its bearer token.

        Percent-encoded with ``~`` for ``%``, so that it has no colon and stands in a query string as it is.
        """
        if not self.team and not self.key_id:
            return self.scope or "~"
        name = f"team:{self.team}" if self.team else f"key:{self.key_id}"
        return _encoded(name)

    def most_stored_bytes(self, default: int) -> int:
        """Return the most bytes that it may keep in the job store: its own limit, else that of all callers."""
        return int(self.max_stored_mb * MEBIBYTE) or default

    def check(self, now: float | None = None) -> None:
        """Raise if the key is not active.

        Raises:
            VirtualKeyBlocked: The key was revoked or has expired.
        """
        if self.revoked:
            raise VirtualKeyBlocked(f"The virtual key {self.name!r} was revoked.")
        if self.expires_at and self.expires_at <= (time.time() if now is None else now):
            raise VirtualKeyBlocked(f"The virtual key {self.name!r} has expired.")

    def may_use(self, provider: str, model: str) -> bool:
        """Whether its patterns allow the provider's model; upper and lower case are the same."""
        if self.providers != ("*",) and not _any_matches(self.providers, provider):
            return False
        name = f"{provider}/{model}"
        if self.denied_models and _any_matches(self.denied_models, name):
            return False
        return self.models == ("*",) or _any_matches(self.models, name)

    def authorise(self, provider: str, model: str) -> None:
        """Raise unless the key may use the provider's model.

        Raises:
            ProviderBlocked: No pattern of the key names the provider.
            ModelBlocked: The provider is open to the key, the model is not.
        """
        if self.may_use(provider, model):
            return
        name = f"{provider}/{model}"
        if self._knows(provider):
            allowed = f"; it may use {', '.join(self.models)}" if self.models != ("*",) else ""
            denied = f", but not {', '.join(self.denied_models)}" if self.denied_models else ""
            raise ModelBlocked(f"The virtual key {self.name!r} may not use {name!r}{allowed}{denied}.", param="model")
        usable = self.providers if self.providers != ("*",) else self.models
        raise ProviderBlocked(
            f"The virtual key {self.name!r} may not use the provider {provider!r}; it may use {', '.join(usable)}.",
            param="model",
        )

    def _knows(self, provider: str) -> bool:
        owners = [pattern.partition("/")[0] for pattern in self.models]
        return _any_matches(self.providers, provider) and _any_matches(owners, provider)

    def may_see(self, owner: str) -> bool:
        """Whether it may see a job or file: its own, one without an owner, or any as administrator."""
        return self.admin or not owner or owner == self.key_id


@lru_cache(maxsize=4096)
def _encoded(name: str) -> str:
    return quote(name, safe="").replace("~", "%7E").replace("%", "~")


def _any_matches(patterns: Iterable[str], name: str) -> bool:
    """Whether a pattern matches the name, in any case: some providers route case-insensitively."""
    lower = name.lower()
    return any(fnmatchcase(lower, pattern.lower()) for pattern in patterns)


ANONYMOUS = Caller()
