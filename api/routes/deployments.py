"""Callers of Azure OpenAI: ``/openai/deployments/{deployment}/…?api-version=``, where the path names the model.

Any model may be named as a deployment, with its provider's prefix. Every ``api-version`` is accepted: one format serves
them all. Azure's other paths are under ``/openai`` already.
Source: https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from dataclasses import replace

import orjson

from api.http.bodies import content_type_of, max_json_values, parse_object, read_plain_body
from api.http.request_context import SCOPE_KEY, Receive, RequestContext, Scope
from shared.errors import InvalidRequest
from shared.surfaces.multipart import MalformedForm, form_fields
from shared.surfaces.request_body import MAX_MODEL_CHARS, RequestBody, read_request
from shared.surfaces.request_types import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGE_GENERATIONS,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    RequestType,
)

AZURE_TYPES: tuple[RequestType, ...] = (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_GENERATIONS,
    IMAGE_EDITS,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)


async def read_deployment_request(request_type: RequestType, scope: Scope, receive: Receive) -> RequestBody:
    """Read the body of a request to a deployment, whose name replaces the body's ``model``, as Azure does.

    Raises:
        InvalidRequest: The body is not a valid request of this type, or the deployment's name cannot be a model's.
        ClientGone: The caller hung up before the end of the body.
    """
    context: RequestContext = scope[SCOPE_KEY]
    deployment: str = scope["path_params"]["deployment"]
    if len(deployment) > MAX_MODEL_CHARS or not deployment.isprintable() or not deployment.strip():
        raise InvalidRequest(
            f"The deployment in the path must be a model's name of 1 to {MAX_MODEL_CHARS} printable characters.",
            param="deployment",
        )
    body = await read_plain_body(context, receive)
    context.model = deployment
    if request_type.form == "json":
        fields = await parse_object(body, max_json_values(scope))
        if fields.get("model") != deployment:
            fields["model"] = deployment
            body = orjson.dumps(fields)
        return read_request(request_type, body, content_type_of(context), fields)
    content_type = content_type_of(context)
    request = read_request(request_type, _with_part(body, content_type, deployment), content_type)
    return replace(request, model=deployment)


def _with_part(body: bytes, content_type: str, model: str) -> bytes:
    """Add a part that names the model, unless the form has one: that one's value is replaced on the way out."""
    try:
        has_model = "model" in form_fields(body, content_type)
    except MalformedForm:
        return body  # refused where every form is checked
    boundary = content_type.partition("boundary=")[2].partition(";")[0].strip().strip('"')
    if has_model or not boundary:
        return body
    part = f'--{boundary}\r\ncontent-disposition: form-data; name="model"\r\n\r\n{model}\r\n'
    return part.encode() + body
