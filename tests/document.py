"""The gateway's OpenAPI document, made once a process: it takes half a second of CPU."""

import functools
from typing import Any

from api.app import create_app
from shared.settings.model import Settings


@functools.cache
def openapi() -> dict[str, Any]:
    """The document with all defaults; leave it as it is."""
    return create_app(Settings(), environ={}).openapi()
