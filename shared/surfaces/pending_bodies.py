"""Bodies of jobs that have no outcome yet, in the format of what they will answer."""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.surfaces.pending_forms import Pending
from shared.surfaces.request_types import RequestType
from shared.surfaces.responses.skeleton import response_skeleton

MAX_ECHO_BYTES = 4096


def pending_body(request_type: RequestType, pending: Pending) -> bytes:
    """Return the JSON body for a job of that type."""
    return orjson.dumps(request_type.pending(pending))


def echo_of(request_type: RequestType, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a pending body repeats of its request: for responses, the settings that OpenAI repeats.

    Fields of more than ``MAX_ECHO_BYTES`` are left out, as this is kept with the job.
    """
    if not request_type.echoes:
        return {}
    skeleton = response_skeleton(fields, response_id="", created_at=0)
    return {name: skeleton[name] for name in fields if name in skeleton and _is_short(skeleton[name])}


def _is_short(value: object) -> bool:
    return len(orjson.dumps(value)) <= MAX_ECHO_BYTES
