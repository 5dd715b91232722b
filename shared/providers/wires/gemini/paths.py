"""Where the methods of a model are: ``/models/{model}:{method}``, below a base URL that ends in the API's version.

Source: https://ai.google.dev/api/generate-content
"""

from typing import NamedTuple
from urllib.parse import quote

_COLLECTIONS = ("models", "tunedModels")


class ModelMethod(NamedTuple):
    """A path taken apart, for hosts that put models elsewhere (Vertex).

    Attributes:
        collection: ``models`` or ``tunedModels``.
        model: Percent-encoded, without slash or colon.
        method: With its query, e.g. ``streamGenerateContent?alt=sse``.
    """

    collection: str
    model: str
    method: str


def method_path(model: str, method: str) -> str:
    """The path of a model's method; everything in the name but letters, digits and ``-._~`` is encoded."""
    collection, slash, name = model.partition("/")
    if not slash or collection not in _COLLECTIONS:
        collection, name = "models", model
    return f"/{collection}/{quote(name, safe='')}:{method}"


def split_path(path: str) -> ModelMethod:
    """The parts of a path that ``method_path`` made."""
    resource, _, method = path.partition(":")
    _, collection, model = resource.split("/")
    return ModelMethod(collection, model, method)
