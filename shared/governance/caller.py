"""Who calls, and what it may use."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from shared.errors import ModelBlocked, ProviderBlocked


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one request.

    Attributes:
        key_id: Id of its virtual key; empty for a caller without one.
        name: The key's name, for logs and reports.
        models: Patterns of ``provider/model`` that it may use.
        weight: Its fair share of the queue.
        max_concurrent_jobs: Jobs of its that run at once; 0: no limit.
        admin: Whether it showed the admin key: sees every job, spends nobody's budget.
        scope: Who shares idempotency keys with it: the key, or a hash of a keyless caller's own bearer.
        fallbacks: Models tried after the one that it asks for, unless the request says others.
    """

    key_id: str = ""
    name: str = ""
    models: tuple[str, ...] = ("*",)
    weight: float = 1.0
    max_concurrent_jobs: int = 0
    admin: bool = False
    scope: str = ""
    fallbacks: tuple[str, ...] = ()

    def may_use(self, provider: str, model: str) -> bool:
        """Whether one of its patterns allows the provider's model."""
        if self.models == ("*",):
            return True
        return any(fnmatchcase(f"{provider}/{model}", pattern) for pattern in self.models)

    def authorise(self, provider: str, model: str) -> None:
        """Let the call to this provider's model pass, or say why not.

        Raises:
            ProviderBlocked: No pattern of the key names the provider.
            ModelBlocked: The provider is open to the key, the model is not.
        """
        if self.may_use(provider, model):
            return
        name = f"{provider}/{model}"
        if any(fnmatchcase(provider, pattern.partition("/")[0]) for pattern in self.models):
            raise ModelBlocked(
                f"The virtual key {self.name!r} may not use {name!r}; it may use {', '.join(self.models)}.",
                param="model",
            )
        raise ProviderBlocked(
            f"The virtual key {self.name!r} may not use the provider {provider!r}; "
            f"it may use {', '.join(self.models)}.",
            param="model",
        )

    def may_see(self, owner: str) -> bool:
        """Whether a job or file of that owner is visible: its own, an ownerless one, or any for administrators."""
        return self.admin or not owner or owner == self.key_id


ANONYMOUS = Caller()
