"""Anthropic's Messages format, as callers speak it; pure."""

from shared.wire.anthropic.answer import (
    counted,
    error_of,
    estimate_tokens,
    message_of,
    model_of,
    models_page,
    pending_message,
)
from shared.wire.anthropic.request import DROPPED, EXTENSIONS, chat_request, without_extensions
from shared.wire.anthropic.stream import MessageEvents

__all__ = [
    "DROPPED",
    "EXTENSIONS",
    "MessageEvents",
    "chat_request",
    "counted",
    "error_of",
    "estimate_tokens",
    "message_of",
    "model_of",
    "models_page",
    "pending_message",
    "without_extensions",
]
