"""Content of one candidate, chunk by chunk, as deltas of OpenAI's format: the one place that maps content.

A complete answer is one chunk, whose deltas are joined.
Source: https://ai.google.dev/api/generate-content#v1beta.Candidate
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.chunks import Delta
from shared.providers.wires.reading import write_arguments

_FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
        ),
        "content_filter",
    ),
}
_UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"
# What the provider says of a candidate beside its content, and where it stands in ``extra_content.google``.
_METADATA = {
    "groundingMetadata": "grounding_metadata",
    "citationMetadata": "citation_metadata",
    "urlContextMetadata": "url_context_metadata",
    "safetyRatings": "safety_ratings",
}
_PART_EXTRAS = frozenset({"thoughtSignature", "thought", "partMetadata"})


class ContentDecoder:
    """Decodes one candidate of one answer.

    Args:
        index: Which choice it becomes.
        answer_id: Makes the ids of tool calls that have none of the provider's.
        one_call: Whether the caller wants one tool call at most (``parallel_tool_calls: false``), which the format
            cannot ask for: further ones are left out and counted.

    Attributes:
        finish_reason: OpenAI's, once the candidate has ended.
    """

    def __init__(self, index: int, answer_id: str, *, one_call: bool = False) -> None:
        self.index = index
        self.finish_reason: str | None = None
        self._answer_id = answer_id
        self._one_call = one_call
        self._calls = 0
        self._images = 0
        self._extras: dict[str, Any] = {}

    @property
    def ended(self) -> bool:
        """Whether the candidate's last chunk was read."""
        return self.finish_reason is not None

    def decode(self, candidate: Mapping[str, Any]) -> Delta:
        """What the chunk adds; sets ``finish_reason`` if it is the last.

        Raises:
            MalformedAnswer: It is not a candidate.
        """
        delta: Delta = {}
        content = candidate.get("content") or {}
        parts = content.get("parts") or [] if isinstance(content, Mapping) else None
        if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
            raise MalformedAnswer("the content of a candidate is not a list of parts")
        for part in parts:
            self._decode_part(part, delta)
        for theirs, ours in _METADATA.items():
            if candidate.get(theirs):
                self._extras[ours] = candidate[theirs]
        reason = candidate.get("finishReason")
        if reason is not None and reason != _UNSPECIFIED:
            self._finish(str(reason), candidate)
        return delta

    def ending(self) -> Delta:
        """Return the fields of the whole candidate, for the last delta: signature, grounding, the native reason."""
        return {"extra_content": {"google": self._extras}} if self._extras else {}

    def _decode_part(self, part: Mapping[str, Any], delta: Delta) -> None:
        signature = part.get("thoughtSignature")
        if "functionCall" in part:
            self._add_call(part["functionCall"], signature, delta)
        elif isinstance(part.get("text"), str):
            name = "reasoning_content" if part.get("thought") is True else "content"
            if part["text"]:
                delta[name] = delta.get(name, "") + part["text"]
            if signature is not None:
                self._extras["thought_signature"] = signature
        elif _is_image(part) and part.get("thought") is not True:
            delta.setdefault("images", []).append(self._decode_image(part["inlineData"], signature))
        elif part.keys() - _PART_EXTRAS:
            self._extras.setdefault("parts", []).append(dict(part))
        elif signature is not None:
            self._extras["thought_signature"] = signature

    def _add_call(self, call: object, signature: object, delta: Delta) -> None:
        if self._one_call and self._calls:
            self._extras["calls_left_out"] = self._extras.get("calls_left_out", 0) + 1
        else:
            delta.setdefault("tool_calls", []).append(self._decode_call(call, signature))

    def _decode_call(self, call: object, signature: object) -> dict[str, Any]:
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise MalformedAnswer("a function call without a name")
        if "partialArgs" in call or call.get("willContinue") is True:
            raise MalformedAnswer("a function call in pieces, which was not asked for")
        made = {
            "index": self._calls,
            "id": call.get("id") or self._call_id(),
            "type": "function",
            "function": {"name": call["name"], "arguments": write_arguments(call.get("args") or {})},
        }
        self._calls += 1
        return made | _signed(signature)

    def _call_id(self) -> str:
        """The same for the same answer, streamed or whole; another one for every other call."""
        facts = f"{self._answer_id}/{self.index}/{self._calls}".encode()
        return "call_" + hashlib.blake2s(facts, digest_size=12).hexdigest()

    def _decode_image(self, data: Mapping[str, Any], signature: object) -> dict[str, Any]:
        url = f"data:{data['mimeType']};base64,{data.get('data', '')}"
        image = {"index": self._images, "type": "image_url", "image_url": {"url": url}}
        self._images += 1
        return image | _signed(signature)

    def _finish(self, reason: str, candidate: Mapping[str, Any]) -> None:
        mapped = _FINISH_REASONS.get(reason, "stop")
        self.finish_reason = "tool_calls" if mapped == "stop" and self._calls else mapped
        if reason not in {"STOP", "MAX_TOKENS"}:
            self._extras["finish_reason"] = reason
            if candidate.get("finishMessage"):
                self._extras["finish_message"] = candidate["finishMessage"]


def _signed(signature: object) -> dict[str, Any]:
    return {} if signature is None else {"extra_content": {"google": {"thought_signature": signature}}}


def _is_image(part: Mapping[str, Any]) -> bool:
    data = part.get("inlineData")
    return isinstance(data, Mapping) and str(data.get("mimeType")).startswith("image/")


def blocked(feedback: object) -> Delta | None:
    """The refusal that a blocked prompt is answered with; None: it was not blocked."""
    if not isinstance(feedback, Mapping) or not feedback.get("blockReason"):
        return None
    reason = feedback.get("blockReasonMessage") or f"The prompt was blocked: {feedback['blockReason']}."
    return {"refusal": str(reason), "extra_content": {"google": {"prompt_feedback": dict(feedback)}}}


def logprobs_of(candidate: Mapping[str, Any]) -> dict[str, Any] | None:
    """The log probabilities of a chunk's tokens in OpenAI's form; None: there are none.

    Raises:
        MalformedAnswer: They are not of the format.
    """
    result = candidate.get("logprobsResult")
    if result is None:
        return None
    try:
        chosen = result.get("chosenCandidates") or []
        tops = [each.get("candidates") or [] for each in result.get("topCandidates") or []]
        tops += [[]] * (len(chosen) - len(tops))
        content = [
            _token(token) | {"top_logprobs": [_token(each) for each in top]}
            for token, top in zip(chosen, tops, strict=False)
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise MalformedAnswer("the log probabilities are not of the format") from error
    return {"content": content, "refusal": None}


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    text = str(token["token"])
    return {"token": text, "logprob": token["logProbability"], "bytes": list(text.encode())}
