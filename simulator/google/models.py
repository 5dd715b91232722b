"""`GET /v1beta/models`: a short list; every other model exists as well when asked for by name."""

from typing import Any

import orjson

from simulator.calls import Call, Reply

LISTED = ("gemini-3-pro-preview", "gemini-3-flash-preview", "gemini-2.5-flash", "gemini-embedding-001")


def list_models(_call: Call) -> Reply:
    """List all models."""
    return Reply(orjson.dumps({"models": [_model(name) for name in LISTED]}))


def retrieve_model(call: Call) -> Reply:
    """One model; any name works, as with every other route."""
    return Reply(orjson.dumps(_model(call.params["model"])))


def _model(name: str) -> dict[str, Any]:
    methods = ["embedContent"] if "embed" in name else ["generateContent", "countTokens"]
    limits = {"inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536}
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "supportedGenerationMethods": methods,
        **limits,
    }


def list_published(call: Call) -> Reply:
    """The catalogue of one of Vertex's publishers."""
    names = LISTED if call.params["publisher"] == "google" else ("claude-sonnet-4-6",)
    place = f"publishers/{call.params['publisher']}/models"
    models = [{"name": f"{place}/{name}", "versionId": "001", "launchStage": "GA"} for name in names]
    return Reply(orjson.dumps({"publisherModels": models}))
