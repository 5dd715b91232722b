"""Deterministic answers: the same question gives the same text, the same tool call, the same counts."""

import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from simulator.faults import Behaviour
from simulator.model.json_schema import Json, fill_schema
from simulator.model.mentions import find_mentions

_WORDS_TEXT = (
    "amber anchor autumn basin beacon birch bramble breeze bridge canyon cedar cinder circle cloud copper coral "
    "current dawn delta drift ember fable falcon fern field flint forest garden glacier granite harbor hazel "
    "hollow horizon island juniper lantern ledger linen marble meadow mirror mosaic nectar north ocean orchard pebble "
    "prairie quartz quiet raven ridge river saffron shadow silver summit thicket tide timber valley willow winter"
)
WORDS = tuple(_WORDS_TEXT.split(" "))
SHORTEST_TOKENS = 12
ECHO_MODEL = "sim-echo"
JSON_PIECE_CHARS = 6
_NUMBERS_OF_A_FEATURE = 4
_EMBEDDED_CHARS = 4_000
ANY_OBJECT: dict[str, Any] = {"type": "object"}
"""As `Ask.schema`: some JSON object, with the fields whose names the user put in quotes."""


def seed_of(text: str) -> int:
    """Return a number that depends only on the text."""
    return zlib.crc32(text.encode("utf-8", "replace"))


def count_tokens(text: str) -> int:
    """Tokens of an input text: a quarter of its characters, rounded up."""
    return (len(text) + 3) // 4


def lorem(seed: int, count: int) -> list[str]:
    """So many one-token pieces of text; joined, they read like a sentence."""
    if count <= 0:
        return []
    state = seed & 0x7FFFFFFF
    pieces = []
    for _ in range(count):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        pieces.append(" " + WORDS[(state >> 16) & 63])
    pieces[0] = pieces[0][1:].capitalize()
    pieces[-1] += "."
    return pieces


def split_text(text: str) -> list[str]:
    """Cut a text into one-token pieces that join to the same text."""
    return re.findall(r"\s*\S+|\s+$", text)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call, with the JSON schema of its arguments."""

    name: str
    schema: Json


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as every wire can express it.

    Attributes:
        model: as the client named it.
        read: all text the model reads; decides the answer.
        last_user: the newest user text: what it names is spoken of, and `sim-echo` repeats it.
        limit: most tokens of the answer, None for no limit.
        stops: texts at which the answer ends.
        schema: JSON schema of the answer; None for plain text.
        tool: the function to call instead of answering; None for an answer.
        turn: which of several parallel answers this is.
    """

    model: str
    read: str
    last_user: str = ""
    limit: int | None = None
    stops: tuple[str, ...] = ()
    schema: Json = None
    tool: Tool | None = None
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Composition:
    """An answer in one-token pieces: text, or the arguments of `tool`; `cut_short` by the token limit."""

    pieces: list[str]
    cut_short: bool = False
    tool: Tool | None = None
    reasoning: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the whole text, or the arguments as JSON."""
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """Generated tokens, reasoning included."""
        return len(self.pieces) + len(self.reasoning)


def compose(ask: Ask, behaviour: Behaviour) -> Composition:
    """Compose the answer to a request; a pure function."""
    seed = (seed_of(ask.read) + ask.turn) & 0xFFFFFFFF
    reasoning = lorem(seed ^ 0x5EED, 8) if behaviour.reasoning else []
    if ask.tool is not None:
        arguments = fill_schema(ask.tool.schema, seed, find_mentions(ask.last_user))
        return Composition(_json_pieces(arguments), False, ask.tool, reasoning)
    pieces = _pieces(ask, behaviour, seed)
    if ask.stops:
        pieces = _stop_at(pieces, ask.stops)
    if ask.limit is not None and len(pieces) > ask.limit:
        return Composition(pieces[: ask.limit], cut_short=True, reasoning=reasoning)
    return Composition(pieces, reasoning=reasoning)


def _pieces(ask: Ask, behaviour: Behaviour, seed: int) -> list[str]:
    if ask.schema is not None:
        return _json_pieces(_structured(ask, seed))
    if behaviour.tokens is not None:
        return lorem(seed, behaviour.tokens)
    if ask.model.partition("@")[0] == ECHO_MODEL:
        return split_text(ask.last_user)
    return lorem(seed, SHORTEST_TOKENS + seed % 9)


def _structured(ask: Ask, seed: int) -> Json:
    named = find_mentions(ask.last_user)
    if ask.schema is ANY_OBJECT:
        fields = {name: {"type": "string"} for name in named.fields or ("answer",)}
        return fill_schema({"type": "object", "properties": fields}, seed)
    return fill_schema(ask.schema, seed, named)


def schema_in_prompt(instruction: str) -> Json:
    """`ANY_OBJECT` if a system text demands a JSON object: a model obeys where the format has no field for it."""
    demand = r"\b(?:answer|reply|respond)\b.{0,40}\bJSON object\b"
    return ANY_OBJECT if re.search(demand, instruction, re.IGNORECASE) else None


def _json_pieces(value: Json) -> list[str]:
    text = orjson.dumps(value).decode()
    return [text[at : at + JSON_PIECE_CHARS] for at in range(0, len(text), JSON_PIECE_CHARS)]


def _stop_at(pieces: list[str], stops: tuple[str, ...]) -> list[str]:
    text = "".join(pieces)
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return split_text(text[: min(found)]) if found else pieces


def choose_tool(tools: list[Tool], choice: str | None, *, after_result: bool, forced: bool) -> Tool | None:
    """Which function is called.

    Args:
        tools: what the request offers.
        choice: `auto`, `none`, `required`, or the name of one function behind `=`.
        after_result: the newest message is a tool's result, so `auto` answers with text.
        forced: the behaviour `tool`: call the first one whatever else is asked for.
    """
    if not tools:
        return None
    if choice is not None and choice.startswith("="):
        return next((tool for tool in tools if tool.name == choice[1:]), None)
    if forced or choice == "required":
        return tools[0]
    return None if choice == "none" or after_result else tools[0]


def unit_vector(text: str, size: int) -> list[float]:
    """A deterministic embedding of length 1: texts with words and letters in common are near each other.

    Each word, and every three letters of it, adds to the numbers that its hash picks.
    """
    values = [0.0] * size
    for feature, weight in _features(text.casefold()):
        state = seed_of(feature)
        for _ in range(_NUMBERS_OF_A_FEATURE):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            values[(state >> 8) % size] += weight if state & 64 else -weight
    norm = math.sqrt(sum(value * value for value in values))
    if not norm:
        values[0] = norm = 1.0
    return [value / norm for value in values]


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in re.findall(r"\w+", text[-_EMBEDDED_CHARS:]) or [text[-_EMBEDDED_CHARS:]]:
        yield word, 1.0
        for at in range(max(1, len(word) - 2)):
            yield word[at : at + 3] + "#", 0.5
