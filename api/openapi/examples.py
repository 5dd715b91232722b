"""Request bodies that run as they are on `finops serve --demo`, and the groups in which the page shows operations."""

from collections.abc import Mapping
from typing import Any

_MESSAGES = [{"role": "user", "content": "How much did we spend?"}]
_CONTENTS = [{"role": "user", "parts": [{"text": "How much did we spend?"}]}]

BY_REQUEST_TYPE: Mapping[str, Mapping[str, Any]] = {
    "chat.completions": {"model": "openai/gpt-4o", "messages": _MESSAGES},
    "responses": {"model": "openai/gpt-4o", "input": "How much did we spend?"},
    "completions": {"model": "openai/gpt-3.5-turbo-instruct", "prompt": "How much did we spend?"},
    "embeddings": {"model": "openai/text-embedding-3-small", "input": "How much did we spend?"},
    "moderations": {"model": "openai/omni-moderation-latest", "input": "How much did we spend?"},
    "images.generations": {"model": "openai/gpt-image-1", "prompt": "A ledger in the sun"},
    "audio.speech": {"model": "openai/gpt-4o-mini-tts", "input": "How much did we spend?", "voice": "alloy"},
}
ANTHROPIC: Mapping[str, Any] = {"model": "anthropic/claude-sonnet-4-5", "max_tokens": 256, "messages": _MESSAGES}
BY_GENAI_METHOD: Mapping[str, Mapping[str, Any]] = {
    "generateContent": {"contents": _CONTENTS},
    "streamGenerateContent": {"contents": _CONTENTS},
    "countTokens": {"contents": _CONTENTS},
    "embedContent": {"content": {"parts": [{"text": "How much did we spend?"}]}},
    "batchEmbedContents": {"requests": [{"content": {"parts": [{"text": "How much did we spend?"}]}}]},
}
TAGS: Mapping[str, str] = {
    "inference": "OpenAI's API at `/openai`, `/openai/v1` and `/v1`: calls answer at once, stream, or become jobs.",
    "responses": "Stored responses of OpenAI's API: retrieve, delete, cancel, list the input.",
    "batches": "Files and OpenAI's Batch API, for every provider.",
    "models": "The models of all configured providers.",
    "jobs": "Jobs over plain HTTP at `/v1/async`: submit, poll, wait, list, cancel, retry, events.",
    "schedules": "Requests that become jobs at the times of a cron expression, or at an interval.",
    "anthropic": "Anthropic's Messages API at `/anthropic`.",
    "genai": "Google's GenAI API at `/genai`, with the paths of Gemini and of Vertex AI.",
    "azure": "Azure OpenAI's paths with deployments.",
    "usage": "What a virtual key may spend, and has spent.",
    "administration": "For administrators: keys, jobs, usage, limits, audit. Authorize with the admin key.",
    "operations": "Health and metrics.",
}


def tags(used: set[str]) -> list[dict[str, str]]:
    """Return the groups in the order in which the page shows them, each with its description; others follow."""
    described = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    return described + [{"name": name} for name in sorted(used - TAGS.keys())]
