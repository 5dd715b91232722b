"""The model lists of each provider format. Pure.

Sources: https://platform.openai.com/docs/api-reference/models/list, https://platform.claude.com/docs/en/api/models-list,
https://ai.google.dev/api/models, https://docs.ollama.com/api/tags,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html,
https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/publishers.models/list
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from shared.providers.wires.anthropic.wire import VERSION as ANTHROPIC_VERSION

Fields = Mapping[str, Any]

_NOTHING: Fields = MappingProxyType({})
# What a model of Google's must be able to do to be of use here.
_METHODS = frozenset({"generateContent", "embedContent", "batchEmbedContents"})


class Listed(NamedTuple):
    """One model, as the provider names it.

    Attributes:
        created: Unix seconds, 0: unknown.
        name: For people.
        more: The provider's further fields, where its list is in OpenAI's format.
    """

    id: str
    created: int = 0
    name: str = ""
    more: Fields = _NOTHING


@dataclass(frozen=True, slots=True)
class Listing:
    """One list that a provider has.

    Attributes:
        path: Of its first page, below the provider's base URL.
        items: The name of the array in an answer.
        read: A model of that array; None: it is of no use here.
        page: The field of an answer that names the next page, and the parameter that asks for it.
        headers: Of the format.
    """

    path: str
    items: str
    read: Callable[[Fields], Listed | None]
    page: tuple[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def models(self, answer: Fields) -> Iterable[Listed]:
        """The models of a page.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: It is not of the format.
        """
        found = (self.read(model) for model in answer.get(self.items) or ())
        return [model for model in found if model is not None]

    def next_path(self, answer: Fields) -> str:
        """Where the next page is; empty: there is none."""
        token = answer.get(self.page[0]) if self.page else None
        if not token or self.page is None:
            return ""
        joint = "&" if "?" in self.path else "?"
        return f"{self.path}{joint}{self.page[1]}={quote(str(token), safe='')}"


def _openai(model: Fields) -> Listed | None:
    """A model of OpenAI's list; Azure's says more: when it was made, and whether it can be asked."""
    can = model.get("capabilities")
    if isinstance(can, Mapping) and can.get("inference") is False:
        return None
    created = model.get("created") or model.get("created_at") or 0
    return Listed(str(model["id"]), created if isinstance(created, int) else 0, more=model)


def _anthropic(model: Fields) -> Listed:
    return Listed(str(model["id"]), _unix_s(model.get("created_at")), str(model.get("display_name") or model["id"]))


def _gemini(model: Fields) -> Listed | None:
    methods = model.get("supportedGenerationMethods")
    if methods and _METHODS.isdisjoint(methods):
        return None
    name = str(model["name"]).removeprefix("models/")
    return Listed(name, name=str(model.get("displayName") or name))


def _published(model: Fields) -> Listed:
    return Listed(str(model["name"]).rpartition("/")[2])


def _ollama(model: Fields) -> Listed:
    return Listed(str(model.get("model") or model["name"]), _unix_s(model.get("modified_at")))


def _foundation(model: Fields) -> Listed | None:
    if (model.get("modelLifecycle") or {}).get("status", "ACTIVE") != "ACTIVE":
        return None
    return Listed(str(model["modelId"]), name=str(model.get("modelName") or model["modelId"]))


def _profile(model: Fields) -> Listed | None:
    if model.get("status", "ACTIVE") != "ACTIVE":
        return None
    name = str(model.get("inferenceProfileName") or model["inferenceProfileId"])
    return Listed(str(model["inferenceProfileId"]), _unix_s(model.get("createdAt")), name)


def _unix_s(value: object) -> int:
    """Unix seconds of an RFC 3339 time; 0 if the value is not one."""
    try:
        return int(datetime.fromisoformat(str(value)).timestamp())
    except ValueError:
        return 0


_NEXT = ("nextPageToken", "pageToken")
LISTINGS: Mapping[str, tuple[Listing, ...]] = {
    "openai": (Listing("/models", "data", _openai),),
    "anthropic": (
        Listing("/v1/models?limit=1000", "data", _anthropic, headers={"anthropic-version": ANTHROPIC_VERSION}),
    ),
    "gemini": (Listing("/models?pageSize=1000", "models", _gemini, _NEXT),),
    "ollama": (Listing("/api/tags", "models", _ollama),),
    "bedrock": (
        Listing("/foundation-models?byInferenceType=ON_DEMAND&byOutputModality=TEXT", "modelSummaries", _foundation),
        Listing("/inference-profiles?maxResults=1000", "inferenceProfileSummaries", _profile, ("nextToken",) * 2),
    ),
    "vertex": (
        Listing("/publishers/google/models?pageSize=100", "publisherModels", _published, _NEXT),
        Listing("/publishers/anthropic/models?pageSize=100", "publisherModels", _published, _NEXT),
    ),
}
"""By the name of the wire; a provider has all its lists together."""
