"""Names that callers may use: providers' models, and the aliases and routes of the configuration."""

from collections.abc import Iterable

from shared.governance.keys.caller import Caller
from shared.inference.call import Call, Target
from shared.inference.model_lists import Model, ModelLists
from shared.inference.route import Routing


class Catalogue:
    """Lists and checks model names.

    Args:
        routing: Aliases and routes.
        model_lists: The providers' own lists.
    """

    def __init__(self, routing: Routing, model_lists: ModelLists) -> None:
        self._routing = routing
        self._model_lists = model_lists

    async def models(self, caller: Caller) -> list[Model]:
        """Return OpenAI's model objects of everything that the caller may use, ids with the provider's prefix."""
        return [*self._configured(caller), *await self._model_lists.models(caller)]

    async def model(self, name: str, caller: Caller) -> Model:
        """Describe a model that is on no list, as the provider in its name does.

        Raises:
            ModelNotFound: The provider does not know it, or the caller may not use it.
            UpstreamRefused: The provider's own error.
        """
        return await self._model_lists.model(name, caller)

    def is_configured(self, name: str) -> bool:
        """Return whether the name is an alias or a route."""
        return name in self._routing.names

    def check(self, name: str, caller: Caller) -> None:
        """Check that a name resolves to something that the caller may use.

        Raises:
            UnknownProvider: It has the prefix of no configured provider.
            ProviderBlocked, ModelBlocked: The caller may not use it.
        """
        self._routing.check(name, caller)

    def batch_provider(self, models: Iterable[str], caller: Caller) -> str | None:
        """Return the one provider that serves all models and has a Batch API, if the caller may use it.

        Args:
            models: Empty text stands for the default provider's own choice.
            caller: Who asks.
        """
        return self._routing.batch_provider(models, caller)

    def targets(self, call: Call) -> list[Target]:
        """Return the targets of a call without its fallbacks, in the order of the moment.

        Raises:
            UnknownProvider: The name's prefix does not name a configured provider.
            ProviderBlocked, ModelBlocked: The caller may not use the model.
        """
        return self._routing.first(call)

    def _configured(self, caller: Caller) -> list[Model]:
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": "finops"}
            for name in self._routing.names
            if any(caller.may_use(target.provider.name, target.model) for target in self._routing.resolve(name))
        ]
