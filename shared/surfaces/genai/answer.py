"""What callers of the GenAI format are answered: responses, counts, models, errors.

Sources: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/models, https://google.aip.dev/193
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.errors import InvalidRequest
from shared.surfaces.genai.thoughts import sealed

STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
FINISH_REASONS = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
# What our Gemini wire kept of a candidate, and where it stood.
CANDIDATE_FIELDS = {
    "grounding_metadata": "groundingMetadata",
    "citation_metadata": "citationMetadata",
    "url_context_metadata": "urlContextMetadata",
    "safety_ratings": "safetyRatings",
    "finish_reason": "finishReason",
    "finish_message": "finishMessage",
}
METHODS = ["generateContent", "streamGenerateContent", "countTokens"]
MAX_PAGE = 1000
DOMAIN = "finops"

Part = dict[str, Any]


def response_of(completion: Mapping[str, Any]) -> dict[str, Any]:
    """A complete chat completion as a GenerateContentResponse."""
    choices = completion.get("choices") or []
    response = bare_response(completion)
    feedback = prompt_feedback(choices[0].get("message") or {}) if choices else None
    if feedback is not None:
        response |= {"candidates": [], "promptFeedback": feedback}
    else:
        response["candidates"] = [_candidate(choice) for choice in choices]
    return response | {"usageMetadata": usage_of(completion.get("usage"))}


def bare_response(completion: Mapping[str, Any]) -> dict[str, Any]:
    """What every response and every chunk of one says of itself."""
    return {"responseId": str(completion.get("id", "")), "modelVersion": str(completion.get("model", ""))}


def pending_response(job_id: str, model: str) -> dict[str, Any]:
    """The answer while a job is live, with HTTP 200: a response without candidates; the headers say the rest."""
    return {"responseId": job_id, "modelVersion": model, "candidates": []}


def prompt_feedback(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Google's own word on a blocked prompt, if it is one."""
    feedback = google_of(message).get("prompt_feedback")
    return feedback if isinstance(feedback, Mapping) else None


def google_of(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """``extra_content.google`` of a message, a call or an image."""
    extra = fields.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    return google if isinstance(google, Mapping) else {}


def _candidate(choice: Mapping[str, Any]) -> dict[str, Any]:
    message = choice.get("message") or {}
    google = google_of(message)
    parts = encode_parts(message)
    if "thought_signature" in google:
        signed = next((part for part in reversed(parts) if "text" in part and not part.get("thought")), None)
        if signed is None:
            parts.append(signed := {"text": ""})
        signed["thoughtSignature"] = google["thought_signature"]
    parts += [call_part(call) for call in message.get("tool_calls") or []]
    return candidate_of(choice.get("index", 0), parts, finish_of(choice, google), choice.get("logprobs"))


def candidate_of(
    index: int, parts: Sequence[Part], ending: Mapping[str, Any] | None = None, logprobs: object = None
) -> dict[str, Any]:
    """A candidate of a response or of a chunk."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": index, **(ending or {})}
    tokens = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    return candidate | ({"logprobsResult": _logprobs(tokens)} if tokens else {})


def encode_parts(message: Mapping[str, Any]) -> list[Part]:
    """The parts of a message or of a delta, but for its calls: thoughts, parts of Google's own, text, images."""
    parts = _thoughts(message)
    parts += [dict(part) for part in google_of(message).get("parts") or []]
    parts += [{"text": message[name]} for name in ("content", "refusal") if message.get(name)]
    for image in message.get("images") or []:
        head, _, data = str(image["image_url"]["url"]).removeprefix("data:").partition(",")
        part = {"inlineData": {"mimeType": head.removesuffix(";base64"), "data": data}}
        parts.append(part | signature_of(image))
    return parts


def _thoughts(message: Mapping[str, Any]) -> list[Part]:
    thought = message.get("reasoning_content") or message.get("reasoning")
    blocks = message.get("thinking_blocks") or []
    if "role" in message and blocks:  # a whole message: its blocks hold the text too
        return [_block_part(block, str(block.get("thinking") or "")) for block in blocks]
    parts: list[Part] = [{"text": thought, "thought": True}] if isinstance(thought, str) and thought else []
    return parts + [_block_part(block, "") for block in blocks]


def _block_part(block: Mapping[str, Any], text: str) -> Part:
    return {"text": text, "thought": True, "thoughtSignature": sealed(block)}


def call_part(call: Mapping[str, Any]) -> Part:
    """A whole tool call."""
    function = call.get("function") or {}
    arguments = call_arguments(str(function.get("arguments") or ""))
    called = {"id": call.get("id"), "name": function.get("name"), "args": arguments}
    return {"functionCall": called} | signature_of(call)


def call_arguments(text: str) -> dict[str, Any]:
    """The arguments as an object; what the model wrote wrong or not to the end, under ``invalid_json``."""
    try:
        arguments = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError:
        return {"invalid_json": text}
    return arguments if isinstance(arguments, dict) else {"invalid_json": text}


def signature_of(fields: Mapping[str, Any]) -> Part:
    """The thought signature of a call or an image, if there is one."""
    signature = google_of(fields).get("thought_signature")
    return {} if signature is None else {"thoughtSignature": signature}


def finish_of(choice: Mapping[str, Any], google: Mapping[str, Any]) -> dict[str, Any]:
    """``finishReason``, and Google's other fields of the candidate."""
    reason = FINISH_REASONS.get(str(choice.get("finish_reason")), "STOP")
    kept = {theirs: google[ours] for ours, theirs in CANDIDATE_FIELDS.items() if ours in google}
    return {"finishReason": reason, **kept}


def _logprobs(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "chosenCandidates": [_token(token) for token in tokens],
        "topCandidates": [{"candidates": [_token(top) for top in token.get("top_logprobs") or []]} for token in tokens],
    }


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": token.get("token"), "logProbability": token.get("logprob")}


def usage_of(usage: object) -> dict[str, Any]:
    """Token counts in Google's names, where the candidates' tokens leave out the thoughts."""
    counts = usage if isinstance(usage, Mapping) else {}
    thought = _detail(counts, "completion_tokens_details", "reasoning_tokens")
    cached = _detail(counts, "prompt_tokens_details", "cached_tokens")
    prompt, completion = int(counts.get("prompt_tokens") or 0), int(counts.get("completion_tokens") or 0)
    named = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": max(0, completion - thought),
        "totalTokenCount": int(counts.get("total_tokens") or prompt + completion),
    }
    optional = {"thoughtsTokenCount": thought, "cachedContentTokenCount": cached}
    return named | {name: value for name, value in optional.items() if value}


def _detail(counts: Mapping[str, Any], group: str, name: str) -> int:
    details = counts.get(group)
    return int(details.get(name) or 0) if isinstance(details, Mapping) else 0


def error_of(status: int, error: Mapping[str, Any]) -> dict[str, Any]:
    """Google's envelope for OpenAI's error object; serves a failed job as well.

    The ``code`` and ``param`` of the error are in its details: they tell a full queue from a rate limit.
    """
    name = STATUSES.get(status, "INVALID_ARGUMENT" if 400 <= status < 500 else "INTERNAL")
    body: dict[str, Any] = {
        "code": status,
        "message": str(error.get("message") or "The request failed."),
        "status": name,
    }
    facts = {key: str(error[key]) for key in ("type", "param") if error.get(key) is not None}
    details: list[dict[str, Any]] = []
    if error.get("code") is not None:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        details.append({"@type": kind, "reason": str(error["code"]), "domain": DOMAIN, "metadata": facts})
    elif error.get("param") is not None:
        violation = {"field": str(error["param"]), "description": body["message"]}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    wait_s = error.get("retry_after_s")
    if isinstance(wait_s, int | float):
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait_s:g}s"})
    return {"error": body | ({"details": details} if details else {})}


def counted(tokens: int) -> dict[str, int]:
    """The answer of ``countTokens``."""
    return {"totalTokens": tokens}


def model_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model of OpenAI's list in Google's form; its name keeps the provider: ``models/openai/gpt-4o``."""
    name = str(model.get("id", ""))
    embeds = "embed" in name.lower()
    return {
        "name": f"models/{name}",
        "baseModelId": name,
        "version": str(model.get("created") or ""),
        "displayName": name,
        "supportedGenerationMethods": ["embedContent", "batchEmbedContents"] if embeds else METHODS,
    }


def models_page(models: Sequence[Mapping[str, Any]], *, page_size: str = "", page_token: str = "") -> dict[str, Any]:
    """One page of the models; the token of a page is the place of its first model.

    Raises:
        InvalidRequest: A size or a token that is none.
    """
    size = _whole(page_size, "pageSize") or 50
    start = _whole(page_token, "pageToken")
    end = start + min(size, MAX_PAGE)
    page: dict[str, Any] = {"models": [model_of(model) for model in models[start:end]]}
    return page | ({"nextPageToken": str(end)} if end < len(models) else {})


def _whole(text: str, name: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise InvalidRequest(f"{name} must be a whole number.", param=name)
    return int(text)
