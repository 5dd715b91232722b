"""The inference endpoints of the gateway, one row each: all that the rest of the gateway needs to know of one.

A new endpoint is a new row: its route, its jobs, its cost estimate and its OpenAPI description follow from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.surfaces import pending_forms as pending
from shared.surfaces.pending_forms import Pending

UsageRule = Literal["tokens", "prompt", "images", "characters", "audio"]
"""How the use of a call is estimated before it is made.

``tokens``: its text and the most it may answer. ``prompt``: its text; it generates nothing. ``images``: pictures.
``characters``: of text to be spoken. ``audio``: seconds of sound, by the size of the upload.
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request body, as OpenAPI describes it."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class RequestType:
    """One inference endpoint of the OpenAI API.

    Attributes:
        name: As written in envelopes, logs and metrics, e.g. ``chat.completions``.
        path: Below every prefix (``/openai``, ``/v1``, ``/v1/async``) and below a provider's base URL.
        form: How the body arrives.
        fields: Fields without which no provider could serve it; checked before a job is accepted.
        pending: Builds the body of a job that has no outcome yet.
        usage: How its use is estimated.
        streams: Whether ``stream: true`` answers server-sent events.
        binary: Whether the answer is bytes, not JSON.
        echoes: Whether the body of an open job repeats the settings of its request.
        default_model: What OpenAI assumes when ``model`` is absent; None: ``model`` is required.
        required: Names of the required fields; each request asks for them, so they are made once.
    """

    name: str
    path: str
    form: Literal["json", "multipart"]
    fields: tuple[Field, ...]
    pending: Callable[[Pending], dict[str, Any]] = pending.pending_job
    usage: UsageRule = "tokens"
    streams: bool = False
    binary: bool = False
    echoes: bool = False
    default_model: str | None = None
    required: tuple[str, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Read the names of the required fields."""
        object.__setattr__(self, "required", tuple(each.name for each in self.fields))


BINARY: Mapping[str, Any] = {"type": "string", "format": "binary"}
MODEL = Field("model", {"type": "string", "minLength": 1, "examples": ["openai/gpt-4o-mini"]})
_ROLE: Mapping[str, Any] = {"role": {"type": "string"}, "content": {}}
MESSAGES = Field(
    "messages",
    {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role"], "properties": _ROLE}},
)
PROMPT = Field("prompt", {"type": ["string", "array"], "minLength": 1, "minItems": 1})
INPUT = Field("input", {"type": ["string", "array"], "minLength": 1, "minItems": 1})
VOICE = Field("voice", {"type": ["string", "object"], "examples": ["alloy"]})
IMAGE = Field("image", BINARY)
FILE = Field("file", BINARY)

CHAT = RequestType(
    "chat.completions", "chat/completions", "json", (MODEL, MESSAGES), pending.pending_chat, streams=True
)
RESPONSES = RequestType("responses", "responses", "json", (MODEL,), pending.pending_response, streams=True, echoes=True)
COMPLETIONS = RequestType(
    "completions", "completions", "json", (MODEL, PROMPT), pending.pending_completion, streams=True
)
EMBEDDINGS = RequestType("embeddings", "embeddings", "json", (MODEL, INPUT), pending.pending_embeddings, "prompt")
MODERATIONS = RequestType(
    "moderations",
    "moderations",
    "json",
    (INPUT,),
    pending.pending_moderation,
    "prompt",
    default_model="omni-moderation-latest",
)
IMAGE_GENERATIONS = RequestType(
    "images.generations",
    "images/generations",
    "json",
    (PROMPT,),
    pending.pending_images,
    "images",
    streams=True,
    default_model="gpt-image-1",
)
IMAGE_EDITS = RequestType(
    "images.edits",
    "images/edits",
    "multipart",
    (IMAGE, PROMPT),
    pending.pending_images,
    "images",
    streams=True,
    default_model="gpt-image-1",
)
IMAGE_VARIATIONS = RequestType(
    "images.variations",
    "images/variations",
    "multipart",
    (IMAGE,),
    pending.pending_images,
    "images",
    default_model="dall-e-2",
)
SPEECH = RequestType(
    "audio.speech",
    "audio/speech",
    "json",
    (MODEL, INPUT, VOICE),
    pending.pending_speech,
    "characters",
    streams=True,
    binary=True,
)
TRANSCRIPTIONS = RequestType(
    "audio.transcriptions",
    "audio/transcriptions",
    "multipart",
    (MODEL, FILE),
    pending.pending_transcript,
    "audio",
    streams=True,
)
TRANSLATIONS = RequestType(
    "audio.translations", "audio/translations", "multipart", (MODEL, FILE), pending.pending_transcript, "audio"
)

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
"""A request forwarded unread to the provider that owns it: no endpoint of its own, but a row in the ledger."""
BY_NAME = {request_type.name: request_type for request_type in REQUEST_TYPES}
