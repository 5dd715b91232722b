"""`POST /moderations`: flags texts that contain the name of a category, and nothing else."""

from typing import Any

import orjson

from simulator.calls import Call, Reply, Route
from simulator.model.ids import opaque
from simulator.openai.chat import content_text
from simulator.openai.errors import OPENAI, missing, mistyped

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
DEFAULT_MODEL = "omni-moderation-latest"


def answer_moderations(call: Call) -> Reply:
    """Judge each input; a list of content parts is one input.

    Raises:
        Refusal: `input` is absent or of another type.
    """
    value = call.body.get("input")
    if value is None:
        raise missing("input")
    if isinstance(value, str):
        texts = [value]
    elif isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        texts = value
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        texts = [content_text(value)]
    else:
        raise mistyped("input", "a string, an array of strings or an array of content parts")
    model = call.body.get("model") or DEFAULT_MODEL
    results = [_judge(text.lower()) for text in texts]
    return Reply(orjson.dumps({"id": opaque("modr-"), "model": model, "results": results}))


def _judge(text: str) -> dict[str, Any]:
    hits = {name: name in text for name in CATEGORIES}
    return {
        "flagged": any(hits.values()),
        "categories": hits,
        "category_scores": {name: 0.97 if hit else 0.0001 for name, hit in hits.items()},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }


ROUTES = (Route("POST", "/moderations", answer_moderations, OPENAI),)
