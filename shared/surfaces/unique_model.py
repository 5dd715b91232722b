"""Refuses bodies that name their model twice: parsers differ in which one counts, so a rule could be evaded. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from shared.errors import InvalidRequest

_KEY = re.compile(rb'"model"\s*:')
_ESCAPED_LETTER = b"\\u006"  # the key may be written with escapes: all its letters are U+006x


def repeated_model() -> InvalidRequest:
    """Return the refusal of a body in which an object names its model twice."""
    return InvalidRequest("The field 'model' appears more than once in an object of the body.", param="model")


def check_single_model(body: bytes, fields: Mapping[str, Any]) -> None:
    """Check that no object of the body repeats the key ``model``.

    Almost every body has the key once, which one search finds (0.2 us per KB). Otherwise its keys are compared with
    those of the parsed body, from which a repeated key is gone.

    Args:
        body: Valid JSON.
        fields: The same, parsed.

    Raises:
        InvalidRequest: The key is repeated.
    """
    if body.find(b"\\") >= 0 and body.find(_ESCAPED_LETTER) >= 0:
        repeated = _has_repeated_key(body)
    elif body.count(b'"model"') < 2:
        return
    else:
        repeated = len(_KEY.findall(body)) != orjson.dumps(fields).count(b'"model":')
    if repeated:
        raise repeated_model()


def _has_repeated_key(body: bytes) -> bool:
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or sum(name == "model" for name, _ in pairs) > 1

    json.loads(body, object_pairs_hook=look)
    return found
