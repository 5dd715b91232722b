"""From a model's name to what may answer it, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import InvalidRequest
from shared.inference.call import Call
from shared.providers.base import Provider
from shared.providers.registry import DEFAULT_PROVIDER, Providers

MAX_FALLBACKS = 16


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one provider."""

    provider: Provider
    model: str

    @property
    def name(self) -> str:
        """``provider/model``."""
        return f"{self.provider.name}/{self.model}"


def route(call: Call, providers: Providers, fallbacks: Mapping[str, Sequence[str]]) -> list[Target]:
    """The targets of a call: what it asks for, then its fallbacks (its own, else the configured ones).

    Raises:
        UnknownProvider: A name has the prefix of no configured provider.
        InvalidRequest: The field ``fallbacks`` is not understood.
        ProviderBlocked, ModelBlocked: The caller may not use what it asks for; fallbacks it may not use are left out.
    """
    first = Target(*providers.resolve(call.model))
    call.caller.authorise(first.provider.name, first.model)
    targets = [first]
    own = call.fields.get("fallbacks")
    names = _names(own) if own is not None else call.caller.fallbacks or _configured(first, call.model, fallbacks)
    for name in names:
        target = Target(*providers.resolve(name))
        if target not in targets and call.caller.may_use(target.provider.name, target.model):
            targets.append(target)
    return targets


def _configured(first: Target, asked: str, fallbacks: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if not fallbacks:
        return ()
    bare = (first.model,) if first.provider.name == DEFAULT_PROVIDER else ()
    return next((fallbacks[name] for name in (first.name, asked, *bare) if name in fallbacks), ())


def _names(said: Any) -> list[str]:  # noqa: ANN401 - whatever the body says
    """Read the field: ``["provider/model", {"provider": …, "model": …}, …]``."""
    if not isinstance(said, list) or len(said) > MAX_FALLBACKS:
        raise InvalidRequest(f"fallbacks must be a list of at most {MAX_FALLBACKS} models.", param="fallbacks")
    return [_name(item, at) for at, item in enumerate(said)]


def _name(item: Any, at: int) -> str:  # noqa: ANN401 - whatever the body says
    if isinstance(item, str) and item:
        return item
    if isinstance(item, dict) and isinstance(item.get("model"), str) and item["model"]:
        provider = item.get("provider")
        return f"{provider}/{item['model']}" if isinstance(provider, str) and provider else item["model"]
    raise InvalidRequest(
        'A fallback is a string "provider/model" or an object with "provider" and "model".', param=f"fallbacks[{at}]"
    )
