import orjson
import pytest
from openai.types import (
    Completion,
    CreateEmbeddingResponse,
    ImagesResponse,
    ModerationCreateResponse,
)
from openai.types.audio import Transcription, Translation
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from openresponses_types import ResponseResource

from shared.surfaces.pending_bodies import echo_of, pending_body
from shared.surfaces.pending_forms import Pending
from shared.surfaces.request_types import BY_NAME, CHAT, RESPONSES

TYPES = {
    "chat.completions": ChatCompletion,
    "responses": Response,
    "completions": Completion,
    "embeddings": CreateEmbeddingResponse,
    "moderations": ModerationCreateResponse,
    "images.generations": ImagesResponse,
    "images.edits": ImagesResponse,
    "images.variations": ImagesResponse,
    "audio.transcriptions": Transcription,
    "audio.translations": Translation,
}


@pytest.mark.parametrize("status", ["queued", "in_progress"])
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_pending_body_has_id_and_status_and_passes_the_sdks_strict_validation(name: str, status):
    body = orjson.loads(pending_body(BY_NAME[name], Pending("job-1", status, "m", 1795360000)))
    assert (body["id"], body["status"]) == ("job-1", status)
    if name in TYPES:
        TYPES[name].model_validate(body, strict=True)


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "failed"])
def test_a_pending_response_has_every_field_that_open_responses_requires(status):
    error = {"code": "server_error", "message": "it broke"} if status == "failed" else None
    pending = Pending("resp_1", status, "m", 1795360000, error=error, echo={"metadata": {"a": "b"}})
    body = orjson.loads(pending_body(RESPONSES, pending))
    ResponseResource.model_validate(body)
    assert (body["output"], body["metadata"], body["model"]) == ([], {"a": "b"}, "m")
    assert (body["error"] or {}).get("message") == (error or {}).get("message")


def test_only_short_settings_of_the_request_are_echoed():
    fields = {"temperature": 0.3, "top_p": True, "metadata": {"a": "b"}, "instructions": "x" * 5000, "input": "secret"}
    assert echo_of(RESPONSES, fields) == {"temperature": 0.3, "top_p": 1.0, "metadata": {"a": "b"}}
    assert echo_of(CHAT, fields) == {}
