"""Resolution of model names to targets, in order: aliases, routes, fallbacks."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import inf
from typing import Any

from shared.errors import GatewayError, InvalidRequest, UnknownProvider
from shared.governance.keys.caller import Caller
from shared.inference.call import Call, Target
from shared.providers.health.board import HealthBoard
from shared.providers.health.selection import draw
from shared.providers.registry import DEFAULT_PROVIDER, IncompleteProvider, Providers
from shared.settings.model import RouteSettings, Settings

MAX_FALLBACKS = 16
MAX_KNOWN = 1024  # models whose targets are remembered; callers choose names

Price = Callable[[str, str], float | None]
"""Price of a provider's model, in any comparable unit; None if unknown."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A configured route: its targets and how one of them is chosen."""

    strategy: str
    targets: tuple[tuple[Target, float], ...]


class Routing:
    """Finds the targets of calls.

    Args:
        board: Health of the providers, with the first-byte times that ``least_latency`` compares.
        price: Prices that ``least_cost`` compares.

    Raises:
        IncompleteProvider: An alias or a route does not resolve to a configured provider.
    """

    def __init__(
        self, settings: Settings, providers: Providers, board: HealthBoard, price: Price | None = None
    ) -> None:
        self._providers = providers
        self._fallbacks = settings.fallbacks
        self._board = board
        self._price = price or _unknown_price
        self._target = lru_cache(maxsize=MAX_KNOWN)(partial(_target, providers))
        self._aliases = {name: _unaliased(name, settings) for name in settings.aliases}
        self._plans = {name: self._plan(name, route) for name, route in settings.routes.items()}
        for name, model in self._aliases.items():
            if model not in self._plans:
                self._checked(f"aliases.{name}", model)

    @property
    def names(self) -> list[str]:
        """Names of the configured aliases and routes."""
        return [*self._plans, *(name for name in self._aliases if name not in self._plans)]

    def targets(self, call: Call) -> list[Target]:
        """Return the targets of a call, then its fallbacks: its own, its key's, or the configured ones.

        Raises:
            UnknownProvider: A name's prefix does not name a configured provider.
            InvalidRequest: The field ``fallbacks`` is not valid.
            ProviderBlocked, ModelBlocked: The caller may not use the model; such fallbacks are left out.
        """
        targets = self.first(call)
        own = call.fields.get("fallbacks")
        if own is not None:
            names: Sequence[str] = _names(own)
        elif call.caller.fallbacks:
            names = call.caller.fallbacks
        else:
            names = self._configured(targets[0], call.model) if self._fallbacks else ()
        for name in names:
            for target in self._resolve(name, call.session):
                if target not in targets and call.caller.may_use(target.provider.name, target.model):
                    targets.append(target)
        return targets

    def resolve(self, name: str) -> list[Target]:
        """Return the targets of a name: several for a route, in the order of the moment."""
        return self._resolve(name, "")

    def check(self, name: str, caller: Caller) -> None:
        """Check that a name resolves to something that the caller may use.

        Raises:
            UnknownProvider: Its prefix does not name a configured provider.
            ProviderBlocked, ModelBlocked: The caller may not use it.
        """
        targets = self._resolve(name, "")
        if not any(caller.may_use(target.provider.name, target.model) for target in targets):
            caller.authorise(targets[0].provider.name, targets[0].model)

    def provider_of(self, name: str, caller: Caller) -> str | None:
        """Return the provider of a plain model name; None for aliases, routes, and what is unknown or not allowed."""
        if name in self._aliases or name in self._plans:
            return None
        try:
            provider, model = self._providers.resolve(name)
        except UnknownProvider:
            return None
        return provider.name if caller.may_use(provider.name, model) else None

    def batch_provider(self, models: Iterable[str], caller: Caller) -> str | None:
        """Return the one provider of all models, if it has a Batch API and the caller may use it.

        An empty name stands for the default provider's own choice.
        """
        owners = {self.provider_of(model or f"{DEFAULT_PROVIDER}/-", caller) for model in models}
        owner = owners.pop() if len(owners) == 1 else None
        if owner is None or not self._providers[owner].batches or not caller.may_use(owner, ""):
            return None
        return owner

    def first(self, call: Call) -> list[Target]:
        """Return the targets of a call without its fallbacks.

        Raises:
            UnknownProvider: The name's prefix does not name a configured provider.
            ProviderBlocked, ModelBlocked: The caller may not use the model.
        """
        caller = call.caller
        targets = self._resolve(call.model, call.session)
        allowed = [target for target in targets if caller.may_use(target.provider.name, target.model)]
        if not allowed:
            caller.authorise(targets[0].provider.name, targets[0].model)
        return allowed

    def _resolve(self, name: str, session: str) -> list[Target]:
        """Return the targets of a name: several for a route."""
        if self._aliases:
            name = self._aliases.get(name, name)
        if self._plans:
            plan = self._plans.get(name)
            if plan is not None:
                return self._ordered(plan, session)
        return [self._target(name)]

    def _ordered(self, plan: Plan, session: str) -> list[Target]:
        if plan.strategy == "least_cost":
            targets = [target for target, _ in plan.targets]
            return sorted(targets, key=self._cost)
        if plan.strategy == "least_latency":
            return self._quickest([target for target, _ in plan.targets])
        drawn = [(draw(target.name, weight, session), at, target) for at, (target, weight) in enumerate(plan.targets)]
        return [target for _, _, target in sorted(drawn, reverse=True)]

    def _quickest(self, targets: list[Target]) -> list[Target]:
        now = time.monotonic()
        ordered = sorted(
            targets, key=lambda target: self._board[target.provider.name].latencies.expected_s(target.model, now)
        )
        self._board[ordered[0].provider.name].latencies.chosen(ordered[0].model, now)
        return ordered

    def _cost(self, target: Target) -> float:
        price = self._price(target.provider.name, target.model)
        return inf if price is None else price

    def _configured(self, first: Target, asked: str) -> Sequence[str]:
        fallbacks = self._fallbacks
        bare = (first.model,) if first.provider.name == DEFAULT_PROVIDER else ()
        return next((fallbacks[name] for name in (asked, first.name, *bare) if name in fallbacks), ())

    def _plan(self, name: str, route: RouteSettings) -> Plan:
        path = f"routes.{name}"
        targets = []
        for settings in route.targets:
            target = self._checked(path, self._aliases.get(settings.model, settings.model))
            targets.append((target, settings.weight))
            if route.strategy == "least_latency":
                self._board[target.provider.name].measure()
        return Plan(route.strategy, tuple(targets))

    def _checked(self, path: str, model: str) -> Target:
        try:
            return Target(*self._providers.resolve(model))
        except GatewayError as error:
            raise IncompleteProvider(f"{path}: {error.message}") from None


def _target(providers: Providers, name: str) -> Target:
    """Return the target of a name that is no alias and no route."""
    return Target(*providers.resolve(name))


def _unaliased(name: str, settings: Settings) -> str:
    """Return the model or route that an alias resolves to.

    Raises:
        IncompleteProvider: The alias refers to itself.
    """
    seen = {name}
    model = settings.aliases[name]
    while model in settings.aliases:
        if model in seen:
            raise IncompleteProvider(f"aliases.{name}: the alias refers to itself")
        seen.add(model)
        model = settings.aliases[model]
    return model


def _unknown_price(_provider: str, _model: str) -> None:
    return None


def _names(value: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """Read the field: ``["provider/model", {"provider": …, "model": …}, …]``."""
    if not isinstance(value, list) or len(value) > MAX_FALLBACKS:
        raise InvalidRequest(f"fallbacks must be a list of at most {MAX_FALLBACKS} models.", param="fallbacks")
    return [_name(item, at) for at, item in enumerate(value)]


def _name(item: Any, at: int) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(item, str) and item:
        return item
    if isinstance(item, dict) and isinstance(item.get("model"), str) and item["model"]:
        provider = item.get("provider")
        return f"{provider}/{item['model']}" if isinstance(provider, str) and provider else item["model"]
    raise InvalidRequest(
        'A fallback is a string "provider/model" or an object with "provider" and "model".', param=f"fallbacks[{at}]"
    )
