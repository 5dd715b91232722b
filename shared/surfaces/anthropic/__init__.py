"""Anthropic's Messages format, as callers speak it; pure."""

from shared.surfaces.anthropic.answer import (
    counted,
    error_of,
    message_of,
    model_of,
    models_page,
    pending_message,
)
from shared.surfaces.anthropic.extensions import DROPPED_ELSEWHERE, without_extensions
from shared.surfaces.anthropic.request import DROPPED, chat_request
from shared.surfaces.anthropic.stream import MessageEvents

__all__ = [
    "DROPPED",
    "DROPPED_ELSEWHERE",
    "MessageEvents",
    "chat_request",
    "counted",
    "error_of",
    "message_of",
    "model_of",
    "models_page",
    "pending_message",
    "without_extensions",
]
