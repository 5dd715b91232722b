"""Callers of Azure OpenAI: ``/openai/deployments/{deployment}/…?api-version=``, where the path names the model.

Any model may be named as a deployment, with its provider's prefix. Every ``api-version`` is taken: one format serves
them all. What Azure has beside deployments is under ``/openai`` already.
Source: https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from dataclasses import replace

import orjson

from api.http.request_context import SCOPE_KEY, Receive, RequestContext, Scope
from api.routes.inference import InferenceEndpoint, read_plain_body
from shared.errors import InvalidRequest
from shared.surfaces.multipart import MalformedForm, form_fields
from shared.surfaces.request_body import MAX_MODEL_CHARS, RequestBody, read_object, read_request
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


class DeploymentEndpoint(InferenceEndpoint):
    """One request type whose model stands in the path; what the body says of it does not count, as at Azure.

    Args:
        request_type: Which.
    """

    async def read(self, scope: Scope, receive: Receive) -> RequestBody:
        """Read the request's body, and put the deployment into it.

        Raises:
            InvalidRequest: It is not one of this type, or the deployment's name is none.
            ClientGone: The caller hung up before its end.
        """
        context: RequestContext = scope[SCOPE_KEY]
        deployment: str = scope["path_params"]["deployment"]
        if len(deployment) > MAX_MODEL_CHARS or not deployment.isprintable() or not deployment.strip():
            raise InvalidRequest("The path names no deployment that could be one.", param="deployment")
        body = await read_plain_body(context, receive)
        content_type = context.headers.get(b"content-type", b"").decode("latin-1")
        request = _with_model(self.request_type, body, content_type, deployment)
        context.model = deployment
        return request


def _with_model(request_type: RequestType, body: bytes, content_type: str, model: str) -> RequestBody:
    if request_type.form == "json":
        fields = read_object(body)
        if fields.get("model") != model:
            body = orjson.dumps({**fields, "model": model})
        return read_request(request_type, body, content_type)
    request = read_request(request_type, _with_part(body, content_type, model), content_type)
    return replace(request, model=model)


def _with_part(body: bytes, content_type: str, model: str) -> bytes:
    """The form with a part that names the model, unless it has one; its value is replaced on the way out."""
    try:
        named = "model" in form_fields(body, content_type)
    except MalformedForm:
        return body  # it is refused where every form is
    boundary = content_type.partition("boundary=")[2].partition(";")[0].strip().strip('"')
    if named or not boundary:
        return body
    part = f'--{boundary}\r\ncontent-disposition: form-data; name="model"\r\n\r\n{model}\r\n'
    return part.encode() + body
