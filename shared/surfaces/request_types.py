"""What can be asked of a gateway, one row each."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RequestType:
    """One inference endpoint of the OpenAI API.

    Attributes:
        name: As said in envelopes, logs and metrics, e.g. ``chat.completions``.
        path: Below every prefix (``/openai``, ``/v1``, ``/v1/async``) and below a provider's base URL.
        form: How the body arrives.
        required: Fields without which no provider could serve it; checked before a job is accepted.
        streams: Whether ``stream: true`` answers server-sent events.
        binary: Whether the answer is bytes, not JSON.
        default_model: What OpenAI assumes when ``model`` is absent; None: ``model`` is required.
    """

    name: str
    path: str
    form: Literal["json", "multipart"]
    required: tuple[str, ...]
    streams: bool = False
    binary: bool = False
    default_model: str | None = None


CHAT = RequestType("chat.completions", "chat/completions", "json", ("model", "messages"), streams=True)
RESPONSES = RequestType("responses", "responses", "json", ("model",), streams=True)
COMPLETIONS = RequestType("completions", "completions", "json", ("model", "prompt"), streams=True)
EMBEDDINGS = RequestType("embeddings", "embeddings", "json", ("model", "input"))
MODERATIONS = RequestType("moderations", "moderations", "json", ("input",), default_model="omni-moderation-latest")
IMAGE_GENERATIONS = RequestType(
    "images.generations", "images/generations", "json", ("prompt",), streams=True, default_model="gpt-image-1"
)
IMAGE_EDITS = RequestType(
    "images.edits",
    "images/edits",
    "multipart",
    ("image", "prompt"),
    streams=True,
    default_model="gpt-image-1",
)
IMAGE_VARIATIONS = RequestType(
    "images.variations", "images/variations", "multipart", ("image",), default_model="dall-e-2"
)
SPEECH = RequestType("audio.speech", "audio/speech", "json", ("model", "input", "voice"), streams=True, binary=True)
TRANSCRIPTIONS = RequestType(
    "audio.transcriptions", "audio/transcriptions", "multipart", ("model", "file"), streams=True
)
TRANSLATIONS = RequestType("audio.translations", "audio/translations", "multipart", ("model", "file"))

REQUEST_TYPES: tuple[RequestType, ...] = (
    CHAT,
    RESPONSES,
    COMPLETIONS,
    EMBEDDINGS,
    MODERATIONS,
    IMAGE_GENERATIONS,
    IMAGE_EDITS,
    IMAGE_VARIATIONS,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
PASSTHROUGH = RequestType("passthrough", "", "json", ())
"""What is forwarded unread to the provider that owns it; no endpoint of ours, but a row in the books."""
BY_NAME = {request_type.name: request_type for request_type in REQUEST_TYPES}
