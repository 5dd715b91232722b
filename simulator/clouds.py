"""The same models behind the addresses of Azure and Vertex AI, with the additional requirements of these clouds.

Sources: https://learn.microsoft.com/azure/ai-foundry/openai/reference,
https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude,
https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai
"""

from collections.abc import Callable
from dataclasses import replace

from simulator.anthropic import messages as anthropic
from simulator.anthropic.checks import invalid
from simulator.calls import Answer, Call, Refusal, Route
from simulator.openai import audio as openai_audio
from simulator.openai import chat as openai_chat
from simulator.openai import completions as openai_completions
from simulator.openai import embeddings as openai_embeddings
from simulator.openai import images as openai_images
from simulator.openai import routes as openai
from simulator.openai.errors import OPENAI

_DEPLOYED = (openai_chat, openai_completions, openai_embeddings, openai_images, openai_audio)
_PLACE = "/v1/projects/{project}/locations/{location}"
# https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai
_CLAUDE_VERSIONS = frozenset({"vertex-2023-10-16", "2026-10-21"})


def _with_credentials(answer: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
    """Azure wants a key of its own kind, or a token of Entra's."""

    def checked(call: Call) -> Answer:
        if not call.header(b"api-key") and not call.header(b"authorization"):
            raise Refusal(401, "Access denied due to missing subscription key.", kind="", code="401")
        return answer(call)

    return checked


def _of_deployment(answer: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
    """Serve a dated API version, in which the deployment in the path is the model."""

    def checked(call: Call) -> Answer:
        if not call.query("api-version"):
            raise Refusal(404, "Resource not found", kind="", code="404")
        if call.form is not None:
            call.form.fields["model"] = call.params["deployment"]
        else:
            call.body["model"] = call.params["deployment"]
        return answer(call)

    return _with_credentials(checked)


def _deployment(call: Call) -> str:
    return call.params["deployment"]


def _azure() -> list[Route]:
    plain = [route for family in openai.FAMILIES for route in family.ROUTES]
    newer = [
        replace(route, pattern=f"/openai/v1{route.pattern}", answer=_with_credentials(route.answer)) for route in plain
    ]
    deployed = [route for family in _DEPLOYED for route in family.ROUTES]
    dated = [
        replace(
            route,
            pattern=f"/openai/deployments/{{deployment:path}}{route.pattern}",
            answer=_of_deployment(route.answer),
            model_of=_deployment,
        )
        for route in deployed
    ]
    return newer + dated


def _model(call: Call) -> str:
    return call.params["model"]


def _with_token(call: Call) -> None:
    """Google's addresses want a token.

    Raises:
        Refusal: there is none.
    """
    if not (call.header(b"authorization") or "").startswith("Bearer "):
        raise Refusal(401, "Request is missing required authentication credential.")


def _claude(*, stream: bool) -> Callable[[Call], Answer]:
    def checked(call: Call) -> Answer:
        _with_token(call)
        body = call.body
        if "model" in body:
            raise invalid("model: Extra inputs are not permitted")
        if body.get("anthropic_version") not in _CLAUDE_VERSIONS:
            raise invalid("anthropic_version: Field required")
        if (body.get("stream") is True) is not stream:
            raise invalid("stream: does not fit the method")
        body["model"] = call.params["model"]
        return anthropic.answer_message(call)

    return checked


def _openai_on_vertex(call: Call) -> Answer:
    _with_token(call)
    if "/" not in str(call.body.get("model")):
        raise Refusal(400, "The model must be named publisher/model.", param="model")
    return openai_chat.answer_chat(call)


def _vertex() -> list[Route]:
    claude = f"{_PLACE}/publishers/anthropic/models/{{model}}"
    return [
        Route("POST", f"{claude}:rawPredict", _claude(stream=False), anthropic.ANTHROPIC, _model),
        Route("POST", f"{claude}:streamRawPredict", _claude(stream=True), anthropic.ANTHROPIC, _model),
        Route("POST", f"{_PLACE}/endpoints/openapi/chat/completions", _openai_on_vertex, OPENAI),
    ]


def routes() -> list[Route]:
    """Return all routes."""
    return _azure() + _vertex()
