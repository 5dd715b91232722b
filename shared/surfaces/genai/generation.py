"""``generationConfig`` as fields of OpenAI's chat format.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerationConfig
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.surfaces.fields import need_list, need_number, need_object, need_text, need_whole, unsupported
from shared.surfaces.genai.schema import fits_strict, json_schema
from shared.surfaces.genai.spelling import read_object

# Budgets (tokens) up to which an effort is meant; the wire gives the efforts these budgets.
_EFFORT_UP_TO = ((1024, "low"), (8192, "medium"))
_MODALITIES = {"TEXT": "text", "IMAGE": "image"}


def chat_options(value: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of a chat request, and for ``extra_body.google`` what OpenAI's format has no words for.

    Raises:
        UnsupportedParameter: An option has no counterpart.
        InvalidRequest: An option has the wrong type.
    """
    path = "generationConfig"
    config = read_object(value, path)
    options = {
        ours: read(config.pop(theirs), f"{path}.{theirs}")
        for theirs, (ours, read) in _PLAIN.items()
        if theirs in config
    }
    options |= _logprobs(config) | _form(config) | _modalities(config)
    native: dict[str, Any] = {}
    if "thinkingConfig" in config:
        native["thinking_config"] = read_object(config.pop("thinkingConfig"), f"{path}.thinkingConfig")
        options |= _effort(native["thinking_config"])
    if config:
        native["generation_config"] = config
    return options, native


def _texts(value: object, path: str) -> list[str]:
    return [need_text(text, f"{path}[{index}]") for index, text in enumerate(need_list(value, path))]


_PLAIN: Mapping[str, tuple[str, Callable[[object, str], Any]]] = {
    "maxOutputTokens": ("max_completion_tokens", need_whole),
    "temperature": ("temperature", need_number),
    "topP": ("top_p", need_number),
    "topK": ("top_k", need_number),
    "stopSequences": ("stop", _texts),
    "candidateCount": ("n", need_whole),
    "seed": ("seed", need_whole),
    "presencePenalty": ("presence_penalty", need_number),
    "frequencyPenalty": ("frequency_penalty", need_number),
}


def _logprobs(config: dict[str, Any]) -> dict[str, Any]:
    wanted, top = config.pop("responseLogprobs", False), config.pop("logprobs", None)
    if wanted is not True:
        return {}
    return {"logprobs": True} | ({} if top is None else {"top_logprobs": need_whole(top, "generationConfig.logprobs")})


def _form(config: dict[str, Any]) -> dict[str, Any]:
    media_type = config.pop("responseMimeType", "text/plain")
    plain, openapi = config.pop("responseJsonSchema", None), config.pop("responseSchema", None)
    if media_type == "text/plain":
        if plain is not None or openapi is not None:
            raise unsupported("generationConfig.responseSchema", "a schema needs the media type application/json.")
        return {}
    if media_type != "application/json":
        raise unsupported("generationConfig.responseMimeType", f"{media_type!r} cannot be asked of the gateway.")
    if plain is None and openapi is None:
        return {"response_format": {"type": "json_object"}}
    if plain is not None:
        schema = dict(need_object(plain, "generationConfig.responseJsonSchema"))
    else:
        schema = json_schema(openapi, "generationConfig.responseSchema")
    named = {"name": "output", "schema": schema, "strict": fits_strict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _modalities(config: dict[str, Any]) -> dict[str, Any]:
    """Texts and images; what else a model of Google's can answer with stays Google's."""
    wanted = need_list(config.get("responseModalities", []), "generationConfig.responseModalities")
    if not all(isinstance(each, str) and each.upper() in _MODALITIES for each in wanted):
        return {}
    config.pop("responseModalities", None)
    modalities = [_MODALITIES[each.upper()] for each in wanted]
    return {} if set(modalities) <= {"text"} else {"modalities": modalities}


def _effort(thinking: Mapping[str, Any]) -> dict[str, Any]:
    """The effort that a level or a budget means; none for a budget that the model is to choose."""
    level = str(thinking.get("thinkingLevel", "")).lower()
    if level and not level.endswith("unspecified"):
        return {"reasoning_effort": level}
    budget = thinking.get("thinkingBudget")
    if budget is None or need_whole(budget, "generationConfig.thinkingConfig.thinkingBudget") < 0:
        return {}
    if budget == 0:
        return {"reasoning_effort": "none"}
    return {"reasoning_effort": next((effort for limit, effort in _EFFORT_UP_TO if budget <= limit), "high")}
