"""Google's GenAI API in front of every provider: answered at once, as a stream, or as a job by header.

``models/{model}:{method}``, and the same below a project and a location, as Vertex AI has it. Model
names without a prefix are Gemini's models here.
Sources: https://ai.google.dev/api, https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api.endpoints.base import AsgiEndpoint
from api.endpoints.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.endpoints.translated import Dialect, count, full_name, serve
from api.http.request_context import JSON_TYPE, Receive, RequestContext, Scope, Send, json_reply, send_reply
from api.http.streaming import EVENT_STREAM
from api.services import Services
from shared.errors import InvalidRequest, ModelNotFound, NotFound
from shared.surfaces.genai import (
    ResponseEvents,
    chat_request,
    count_request,
    counted,
    embedding_request,
    embedding_response,
    model_of,
    models_page,
    pending_embedding,
    pending_response,
    response_of,
)
from shared.surfaces.request_types import CHAT, EMBEDDINGS

VERSIONS = ("v1", "v1beta", "v1beta1")
PATHS = (
    "",
    "/publishers/{publisher}",
    "/projects/{project}/locations/{location}/publishers/{publisher}",
)
SURFACE = "genai"
PROVIDER = "gemini"
VERTEX = "vertex"
# Google itself, as Vertex's paths name publishers.
PUBLISHER = "google"
MAX_QUERY_FIELDS = 32
API_KEY = b"x-goog-api-key"

GENERATE = Dialect(
    surface=SURFACE,
    provider=PROVIDER,
    request_type=CHAT,
    read=dict,  # replaced by one that knows the model, which the path names
    answer=response_of,
    pending=lambda job_id, model, status: {**pending_response(job_id, model), "status": status},
    events=lambda _: ResponseEvents(),
)
EMBED = replace(GENERATE, request_type=EMBEDDINGS, events=None)

Fields = Mapping[str, str]
"""Query parameters by name."""


def _generate(model: str, _query: Fields) -> Dialect:
    return replace(GENERATE, read=partial(chat_request, model=model))


def _stream(model: str, query: Fields) -> Dialect:
    """Events where ``alt=sse`` asks for them, else one array."""
    read = partial(chat_request, model=model, stream=True)
    if query.get("alt") == "sse":
        return replace(GENERATE, read=read, stream_type=EVENT_STREAM)
    return replace(GENERATE, read=read, stream_type=JSON_TYPE, events=lambda _: ResponseEvents(as_array=True))


def _count(model: str, _query: Fields) -> Dialect:
    return replace(GENERATE, read=partial(count_request, model=model))


def _embed(model: str, _query: Fields, *, batch: bool = False) -> Dialect:
    return replace(
        EMBED,
        read=partial(embedding_request, model=model),
        answer=partial(embedding_response, batch=batch),
        pending=lambda _id, _model, status: {**pending_embedding(batch=batch), "status": status},
    )


METHODS: Mapping[str, Callable[[str, Fields], Dialect]] = {
    "generateContent": _generate,
    "streamGenerateContent": _stream,
    "countTokens": _count,
    "embedContent": _embed,
    "batchEmbedContents": partial(_embed, batch=True),
}
EMBEDDING_METHODS = frozenset({"embedContent", "batchEmbedContents"})


class ModelEndpoint(AsgiEndpoint):
    """``POST models/{name}``, where the name ends in a colon and a method."""

    administrable = "polls"

    def __init__(self) -> None:
        super().__init__(SURFACE, CHAT.name)

    def prepare(self, context: RequestContext, scope: Scope) -> None:
        """Label the request, and accept a key in the query as Google does.

        Raises:
            NotFound: Models have no such method.
            InvalidRequest: The query has too many fields.
        """
        super().prepare(context, scope)
        _accept_query_key(_read_query(scope), context)
        method = scope["path_params"]["name"].rpartition(":")[2]
        if method not in METHODS:
            raise NotFound(f"Models have no method {method[:64]!r} here. Methods: {', '.join(METHODS)}.")
        context.request_type = EMBEDDINGS.name if method in EMBEDDING_METHODS else CHAT.name

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Call a model's method."""
        params = scope["path_params"]
        model, _, method = params["name"].rpartition(":")
        model = _published(model, params.get("publisher", ""), services)
        dialect = METHODS[method](model, _read_query(scope))
        if method == "countTokens":
            await send_reply(send, json_reply(counted(await count(dialect, services, context, receive))))
        else:
            await serve(dialect, services, context, receive, send)


def _published(model: str, publisher: str, services: Services) -> str:
    """Return the model's name with its prefix, which Google's SDK sends as the publisher in Vertex AI's paths."""
    if not publisher or "/" in model:
        return model
    if publisher != PUBLISHER:
        return f"{publisher}/{model}"
    return full_name(model, VERTEX, services) if VERTEX in services.inference.providers else model


def _read_query(scope: Scope) -> Fields:
    """Parse the query string.

    Raises:
        InvalidRequest: It has too many fields.
    """
    try:
        return dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=MAX_QUERY_FIELDS))
    except ValueError:
        raise InvalidRequest(f"The query has more than {MAX_QUERY_FIELDS} fields.") from None


def _accept_query_key(query: Fields, context: RequestContext) -> None:
    """Take the query's ``key`` for the header that it stands for, unless that was sent."""
    if query.get("key"):
        context.headers.setdefault(API_KEY, query["key"].encode())


async def _prepare(context: ContextDep, request: Request) -> None:
    context.surface, context.request_type = SURFACE, "models"
    _accept_query_key(_read_query(request.scope), context)


router = APIRouter(tags=["genai"], dependencies=[Depends(_prepare)])


@router.get("/models", summary="List models, in Google's format")
async def list_models(
    services: ServicesDep,
    caller: CallerDep,
    *,
    page_size: Annotated[str, Query(alias="pageSize")] = "",
    page_token: Annotated[str, Query(alias="pageToken")] = "",
) -> Response:
    """A page of the models that the caller may use; names carry the provider's prefix."""
    models = await services.inference.catalogue.models(caller)
    return as_response(json_reply(models_page(models, page_size=page_size, page_token=page_token)))


@router.get("/models/{model:path}", summary="Get a model, in Google's format")
async def get_model(model: str, services: ServicesDep, caller: CallerDep) -> Response:
    """A model by its name."""
    wanted = full_name(model, PROVIDER, services)
    for known in await services.inference.catalogue.models(caller):
        if known["id"] == wanted:
            return as_response(json_reply(model_of(known)))
    raise ModelNotFound(f"No configured provider lists the model {model[:256]!r}; GET /genai/v1beta/models lists them.")
