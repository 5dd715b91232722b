"""``generationConfig``: sampling, limits, and the form of the answer.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerationConfig
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.surfaces.fields import need_list, need_number, need_object, need_text, need_whole, unsupported

_SEEDS = 2**31
_MODALITIES = {"text": "TEXT", "image": "IMAGE"}


def read_generation(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The generation config, without thinking.

    Raises:
        UnsupportedParameter: A field cannot be expressed.
        InvalidRequest: A field has the wrong type.
    """
    config: dict[str, Any] = {}
    for name, (theirs, read) in _PLAIN.items():
        if name in fields:
            config[theirs] = read(fields[name], name)
    if "maxOutputTokens" not in config and "max_tokens" in fields:
        config["maxOutputTokens"] = need_whole(fields["max_tokens"], "max_tokens")
    return config | _logprobs(fields) | _form(fields) | _modalities(fields)


def _seed(value: object, path: str) -> int:
    """Seeds have 32 bits there; the same seed stays the same one."""
    return need_whole(value, path) % _SEEDS


def _stops(value: object, path: str) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [need_text(text, f"{path}[{index}]") for index, text in enumerate(need_list(value, path))]


_PLAIN: Mapping[str, tuple[str, Callable[[object, str], Any]]] = {
    "max_completion_tokens": ("maxOutputTokens", need_whole),
    "temperature": ("temperature", need_number),
    "top_p": ("topP", need_number),
    "top_k": ("topK", need_number),
    "stop": ("stopSequences", _stops),
    "n": ("candidateCount", need_whole),
    "seed": ("seed", _seed),
    "presence_penalty": ("presencePenalty", need_number),
    "frequency_penalty": ("frequencyPenalty", need_number),
}
PLAIN_FIELDS = frozenset(_PLAIN)


def _logprobs(fields: Mapping[str, Any]) -> dict[str, Any]:
    if fields.get("logprobs") is not True:
        return {}
    top = need_whole(fields.get("top_logprobs", 0), "top_logprobs")
    return {"responseLogprobs": True} | ({"logprobs": top} if top else {})


def _form(fields: Mapping[str, Any]) -> dict[str, Any]:
    wanted = need_object(fields.get("response_format", {"type": "text"}), "response_format")
    kind = wanted.get("type")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    if kind != "json_schema":
        raise unsupported("response_format.type", f"{kind!r} cannot be asked of this provider.")
    named = need_object(wanted.get("json_schema"), "response_format.json_schema")
    form: dict[str, Any] = {"responseMimeType": "application/json"}
    if named.get("schema") is not None:
        form["responseJsonSchema"] = need_object(named["schema"], "response_format.json_schema.schema")
    return form


def _modalities(fields: Mapping[str, Any]) -> dict[str, Any]:
    wanted = need_list(fields.get("modalities", []), "modalities")
    for index, modality in enumerate(wanted):
        if not isinstance(modality, str) or modality not in _MODALITIES:
            raise unsupported(f"modalities[{index}]", f"{modality!r} is none of {', '.join(_MODALITIES)}.")
    if set(wanted) <= {"text"}:
        return {}
    return {"responseModalities": [_MODALITIES[modality] for modality in wanted]}
