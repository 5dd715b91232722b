"""Google's GenAI format (generateContent and its neighbours), as callers speak it; pure."""

from shared.surfaces.genai.answer import (
    counted,
    error_of,
    model_of,
    models_page,
    pending_response,
    response_of,
)
from shared.surfaces.genai.embeddings import embedding_request, embedding_response, pending_embedding
from shared.surfaces.genai.extensions import DROPPED_ELSEWHERE, without_extensions
from shared.surfaces.genai.request import DROPPED, chat_request, count_request
from shared.surfaces.genai.stream import ResponseEvents

__all__ = [
    "DROPPED",
    "DROPPED_ELSEWHERE",
    "ResponseEvents",
    "chat_request",
    "count_request",
    "counted",
    "embedding_request",
    "embedding_response",
    "error_of",
    "model_of",
    "models_page",
    "pending_embedding",
    "pending_response",
    "response_of",
    "without_extensions",
]
