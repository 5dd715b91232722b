"""`GET /models`: a short list; every other model exists as well when asked for by name."""

from typing import Any

import orjson

from simulator.calls import Call, Reply, Route
from simulator.openai.errors import OPENAI

LISTED = ("sim-echo", "sim-small", "sim-large", "gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
CREATED_AT = 1_715_367_049


def list_models(_call: Call) -> Reply:
    """List all models."""
    return Reply(orjson.dumps({"object": "list", "data": [_model(name) for name in LISTED]}))


def retrieve_model(call: Call) -> Reply:
    """One model; any name works, as with every other route."""
    return Reply(orjson.dumps(_model(call.params["id"])))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED_AT, "owned_by": "simulator"}


ROUTES = (
    Route("GET", "/models", list_models, OPENAI),
    Route("GET", "/models/{id:path}", retrieve_model, OPENAI, lambda call: call.params["id"]),
)
