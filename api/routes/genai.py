"""Google's GenAI API in front of every provider: answered at once, as a stream, or as a job by header.

``models/{model}:{method}``, and the same below a project and a location, as Vertex AI has it. Names without a prefix
are Gemini's models here.
Sources: https://ai.google.dev/api, https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api.http.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.http.request_context import JSON_TYPE, SCOPE_KEY, Receive, RequestContext, Scope, Send, json_reply, send_reply
from api.http.streaming import EVENT_STREAM
from api.http.translated import Dialect, count, enter, full_name, serve
from api.services import Services, services_of
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
PLACES = (
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

Asked = Mapping[str, str]
"""The fields of a query."""


def _generate(model: str, _query: Asked) -> Dialect:
    return replace(GENERATE, read=partial(chat_request, model=model))


def _stream(model: str, query: Asked) -> Dialect:
    """Events where ``alt=sse`` asks for them, else one array."""
    read = partial(chat_request, model=model, stream=True)
    if query.get("alt") == "sse":
        return replace(GENERATE, read=read, stream_type=EVENT_STREAM)
    return replace(GENERATE, read=read, stream_type=JSON_TYPE, events=lambda _: ResponseEvents(as_array=True))


def _count(model: str, _query: Asked) -> Dialect:
    return replace(GENERATE, read=partial(count_request, model=model))


def _embed(model: str, _query: Asked, *, batch: bool = False) -> Dialect:
    return replace(
        EMBED,
        read=partial(embedding_request, model=model),
        answer=partial(embedding_response, batch=batch),
        pending=lambda _id, _model, status: {**pending_embedding(batch=batch), "status": status},
    )


METHODS: Mapping[str, Callable[[str, Asked], Dialect]] = {
    "generateContent": _generate,
    "streamGenerateContent": _stream,
    "countTokens": _count,
    "embedContent": _embed,
    "batchEmbedContents": partial(_embed, batch=True),
}


class ModelEndpoint:
    """``POST models/{name}``, where the name ends in a colon and a method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            GatewayError: What the caller is told, unless the response has begun.
        """
        context: RequestContext = scope[SCOPE_KEY]
        services = services_of(scope)
        query = _read_query(scope, context)
        place = scope["path_params"]
        model, _, method = place["name"].rpartition(":")
        make = METHODS.get(method)
        if make is None:
            raise NotFound(f"Models have no method {method[:64]!r} here; they have {', '.join(METHODS)}.")
        dialect = make(_published(model, place.get("publisher", ""), services), query)
        await enter(services, context, SURFACE, dialect.request_type.name)
        if method == "countTokens":
            await send_reply(send, json_reply(counted(await count(dialect, services, context, receive))))
        else:
            await serve(dialect, services, context, receive, send)


def _published(model: str, publisher: str, services: Services) -> str:
    """A model's name with the prefix that its publisher in Vertex's paths is: the SDK makes one of every prefix."""
    if not publisher or "/" in model:
        return model
    if publisher != PUBLISHER:
        return f"{publisher}/{model}"
    return full_name(model, VERTEX, services) if VERTEX in services.inference.providers else model


def _read_query(scope: Scope, context: RequestContext) -> Asked:
    """The query's fields; a key in it counts as the header would that it stands for.

    Raises:
        InvalidRequest: There are absurdly many.
    """
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        raise InvalidRequest(f"The query has more than {MAX_QUERY_FIELDS} fields.") from None
    query = dict(pairs)
    if query.get("key"):
        context.headers.setdefault(API_KEY, query["key"].encode())
    return query


async def _enter_by_query(context: ContextDep, request: Request) -> None:
    context.surface, context.request_type = SURFACE, "models"
    _read_query(request.scope, context)


router = APIRouter(tags=["genai"], dependencies=[Depends(_enter_by_query)])


@router.get("/models", summary="List models, as Google does")
async def list_models(
    services: ServicesDep,
    caller: CallerDep,
    *,
    page_size: Annotated[str, Query(alias="pageSize")] = "",
    page_token: Annotated[str, Query(alias="pageToken")] = "",
) -> Response:
    """A page of what the caller may use; names carry the provider's prefix."""
    models = await services.inference.catalogue.models(caller)
    return as_response(json_reply(models_page(models, page_size=page_size, page_token=page_token)))


@router.get("/models/{model:path}", summary="One model, as Google tells of it")
async def get_model(model: str, services: ServicesDep, caller: CallerDep) -> Response:
    """A model by its name."""
    wanted = full_name(model, PROVIDER, services)
    for known in await services.inference.catalogue.models(caller):
        if known["id"] == wanted:
            return as_response(json_reply(model_of(known)))
    raise ModelNotFound(
        f"No provider here lists the model {model[:256]!r}; GET /genai/v1beta/models says what there is."
    )
