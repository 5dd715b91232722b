"""Who counts the tokens of a request, and how it is asked."""

from collections.abc import Callable
from typing import NamedTuple

from shared.providers.wires.anthropic import counting as anthropic
from shared.providers.wires.base import UpstreamRequest, Wire
from shared.providers.wires.gemini import counting as gemini

_GENERATES = (":generateContent", ":streamGenerateContent?alt=sse")


class Counting(NamedTuple):
    """The request that counts, and the reader of its answer, which raises ``MalformedAnswer``."""

    request: UpstreamRequest
    read: Callable[[bytes], int]


def counting_of(wire: Wire, request: UpstreamRequest) -> Counting | None:
    """How the provider counts what the request would send; None: it has no way."""
    if wire.name == "anthropic" and request.path == "/v1/messages":
        return Counting(anthropic.count_request(request), anthropic.read_count)
    if request.path.endswith(_GENERATES):
        return Counting(gemini.count_request(request, on_vertex=wire.name == "vertex"), gemini.read_count)
    return None
