"""Near matches: which requests may have one, and how the entries that may match are found. Pure.

Requests are compared by their last message alone, and only if everything else in them is equal: system prompt, history,
parameters and format. So a conversation never gets the answer of another one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.cache import keyspace
from shared.cache.identity import name_hash, request_hash
from shared.cache.near_text import NearText, is_near, read_text, similarity
from shared.surfaces.request_types import CHAT, RequestType

# Their answers are not one text.
_OTHER_ANSWERS = ("tools", "functions", "logprobs", "audio", "modalities")


class NearQuestion(NamedTuple):
    """The question of a request that may be answered by a near one's entry.

    Attributes:
        text: As its user wrote it.
        read: The same, ready to be compared.
        key: The store's key of the newest entry that may match.
        others: Hash of everything else in the request, with its scope and model.
    """

    text: str
    read: NearText
    key: str
    others: str

    def matches(self, text: str) -> float | None:
        """Return how similar a stored question is, 0 to 1; None: its answer may be wrong for this one."""
        stored = read_text(text)
        if stored is None or not is_near(self.read, stored):
            return None
        return similarity(self.read.text, stored.text)


def near_question(
    request_type: RequestType, fields: Mapping[str, Any], *, scope: str, target: str, partition: str
) -> NearQuestion | None:
    """Return the question of a request; None: only an equal request's answer may be served.

    Args:
        request_type: The endpoint.
        fields: The body.
        scope: Hash of whose answers may be served.
        target: ``provider/model``, as resolved.
        partition: ``CachePolicy.partition``.
    """
    if request_type is not CHAT or fields.get("n") not in (None, 1) or any(fields.get(name) for name in _OTHER_ANSWERS):
        return None
    messages = fields.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, Mapping) or last.get("role") != "user" or (text := _text_of(last)) is None:
        return None
    if (read := read_text(text)) is None:
        return None
    assert isinstance(messages, list)  # noqa: S101 - its last item was read
    rest = {**fields, "messages": [*messages[:-1], {**last, "content": None}]}
    others = request_hash("near", target, f"{scope}\0{partition}", rest)
    return NearQuestion(text, read, keyspace.near(scope, others, name_hash(read.signature)), others)


def _text_of(message: Mapping[str, Any]) -> str | None:
    """Return the text of a message that has nothing else; None: it has."""
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], Mapping):
        part = content[0]
        content = part.get("text") if part.get("type") == "text" and len(part) == len(("type", "text")) else None
    return content if isinstance(content, str) else None
