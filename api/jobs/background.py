"""OpenAI's own background mode: ``background: true`` on a response makes it a job, for every provider.

Source: https://platform.openai.com/docs/guides/background
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.http.request_context import RequestContext
from api.jobs.async_headers import DEADLINE, PRIORITY, TTL, SubmitOptions
from shared.errors import InvalidRequest
from shared.jobs.model import Priority
from shared.settings.model import Settings
from shared.surfaces.request_body import RequestBody
from shared.surfaces.request_types import RESPONSES

# Addressed to the gateway, not to the provider.
BACKGROUND_FIELDS = frozenset({"background", "background_options"})
# The worker decides whether the job's own call streams.
STREAM_FIELDS = frozenset({"stream", "stream_options"})
UNSTORED_TTL_S = 600
_WINDOWS_S = {"soonest": None, "2h": 7200.0, "8h": 28_800.0}


def asks_for_background(request: RequestBody) -> bool:
    """Whether the request is a response to be run in the background.

    Raises:
        InvalidRequest: The field is no boolean.
    """
    if request.request_type is not RESPONSES:
        return False
    background = request.fields.get("background")
    if background is not None and type(background) is not bool:
        raise InvalidRequest("The field 'background' must be a boolean.", param="background")
    return bool(background)


def background_options(
    options: SubmitOptions, fields: Mapping[str, Any], settings: Settings, context: RequestContext
) -> SubmitOptions:
    """The submit's options, with what the request's fields say where no header does.

    A stored response lives as long as results may, one with ``store: false`` ten minutes.

    Raises:
        InvalidRequest: The completion window is none of OpenAI's.
    """
    if TTL not in context.headers:
        ttl_s = UNSTORED_TTL_S if fields.get("store") is False else settings.jobs.max_result_ttl_s
        options = replace(options, ttl_s=min(ttl_s, settings.jobs.max_result_ttl_s))
    window_s = _window_s(fields.get("background_options"))
    if window_s is None:
        return options
    if PRIORITY not in context.headers:
        options = replace(options, priority=Priority.LOW)
    if DEADLINE not in context.headers:
        options = replace(options, deadline_s=window_s)
    return options


def _window_s(raw: object) -> float | None:
    if raw is None:
        return None
    window = raw.get("completion_window", "soonest") if isinstance(raw, dict) else raw
    if not isinstance(window, str) or window not in _WINDOWS_S:
        raise InvalidRequest(
            f"background_options.completion_window must be one of {', '.join(_WINDOWS_S)}.",
            param="background_options.completion_window",
        )
    return _WINDOWS_S[window]
