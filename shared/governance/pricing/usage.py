"""Usage of a call in billed units, and upper estimates before the call is made."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.governance.pricing.model_sizes import LONGEST, UNKNOWN_SIZE, ModelSize
from shared.surfaces.large_json import find_in_pieces
from shared.surfaces.request_body import PromptSize
from shared.surfaces.request_types import RequestType

MOST = 10**12
BYTES_PER_TOKEN = 4
# Of a picture in a prompt: high-detail pictures are between 765 and 1,700 at most providers, 3,779 at gpt-4.1-nano.
IMAGE_TOKENS = 3_800
FILE_TOKENS = 100_000  # of a document that the request only names
AUDIO_TOKENS_PER_S = 32  # Gemini; OpenAI counts 10
USUAL_VIDEO_S, LONGEST_VIDEO_S = 4, 60  # https://platform.openai.com/docs/api-reference/videos/create
TOOL_CALLS = 10  # of a tool that the provider runs, where the request sets no limit
DRAWN_TOKENS = 6_300  # of a picture that is made: gpt-image-1, high quality, 1024 x 1536
DEFAULT_OUTPUT_TOKENS = 4_096  # held under a limit of tokens for a call that does not limit its answer
BYTES_PER_AUDIO_SECOND = 4_000  # 32 kbit/s: shorter than any usual recording of that size could be long
_LARGE = 64 * 1024
_SEARCHED_BYTES = 1024 * 1024


class Usage(NamedTuple):
    """Counts of one call. ``input`` and ``output`` are all tokens, the others are parts of them or units of their own.

    Attributes:
        milliseconds: Of sound, where sound is paid for by its length.
        images: Pictures made.
        characters: Of text to be spoken.
        cache_write_1h: Written to a cache that keeps them for an hour; not part of ``cache_write``.
        web_searches: Searches of the web by the provider's own tool.
        file_searches: Searches of files by the provider's own tool.
        code_sessions: Sessions of the provider's code interpreter.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    milliseconds: int = 0
    images: int = 0
    characters: int = 0
    cache_write_1h: int = 0
    web_searches: int = 0
    file_searches: int = 0
    code_sessions: int = 0

    @property
    def tokens(self) -> int:
        """Input and output tokens, as rate limits count."""
        return self.input + self.output

    @property
    def empty(self) -> bool:
        """Whether no usage is known."""
        return self == NOTHING_USED


NOTHING_USED = Usage()

# Names of the details objects, and their fields by our unit.
_INPUT_PARTS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_PARTS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_INPUT_UNITS = {
    "cached_tokens": "cached",
    "cache_write_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h",
    "audio_tokens": "audio_input",
    "image_tokens": "image_input",
}
_TOOL_UNITS = {
    "web_search_requests": "web_searches",
    "file_search_requests": "file_searches",
    "code_interpreter_sessions": "code_sessions",
}
_OUTPUT_UNITS = {"reasoning_tokens": "reasoning", "audio_tokens": "audio_output", "image_tokens": "image_output"}


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """Read a usage object in OpenAI's names, of chat completions or of Responses, images and transcriptions.

    Invalid numbers count as 0; parts never exceed their whole.
    Source: https://platform.openai.com/docs/api-reference/chat/object, /responses/object, /audio/json-object
    """
    if not raw:
        return NOTHING_USED
    tokens_in = _count(raw.get("prompt_tokens", raw.get("input_tokens")))
    tokens_out = _count(raw.get("completion_tokens", raw.get("output_tokens")))
    parts: dict[str, int] = {}
    for whole, units, names in ((tokens_in, _INPUT_UNITS, _INPUT_PARTS), (tokens_out, _OUTPUT_UNITS, _OUTPUT_PARTS)):
        for name, count in _part(raw, *names).items():
            if count and name in units:
                parts[units[name]] = min(_count(count), whole)
    written_1h = parts.get("cache_write_1h")
    if written_1h:  # the provider's sum of written tokens counts these too
        parts["cache_write"] = max(0, parts.get("cache_write", 0) - written_1h)
    tools = raw.get("server_tool_use")
    if tools is not None and isinstance(tools, Mapping):
        parts |= {_TOOL_UNITS[name]: _count(count) for name, count in tools.items() if name in _TOOL_UNITS}
    seconds = raw.get("seconds")
    if seconds:
        parts["milliseconds"] = _milliseconds(seconds)
    return Usage(tokens_in, tokens_out, **parts)


def used_by(request_type: RequestType, fields: Mapping[str, Any], raw: Mapping[str, Any]) -> Usage:
    """Usage of an answered call: the provider's count, and what only the request states (pictures, characters)."""
    usage = usage_of(raw)
    if request_type.usage == "images" and not usage.output:
        return usage._replace(images=choices_of(fields))
    if request_type.usage == "characters" and usage.empty:
        return usage._replace(characters=_length(fields.get("input")))
    return usage


def upper_estimate(
    request_type: RequestType,
    fields: Mapping[str, Any],
    body: bytes,
    size: ModelSize = UNKNOWN_SIZE,
    stored: int | None = None,
    *,
    prompt: PromptSize | None = None,
) -> Usage:
    """Upper estimate of a call's usage before it is made.

    Args:
        request_type: The endpoint.
        fields: The parsed request.
        body: The raw request; its UTF-8 length counts Chinese fairly where counting letters would not.
        size: What the model can read and answer.
        stored: Tokens of the stored conversation that the request continues; None: as many as the model can read.
        prompt: ``prompt_size`` of the request, where it is known.
    """
    rule = request_type.usage
    if rule == "images":
        n = choices_of(fields)
        read = _length(fields.get("prompt")) // BYTES_PER_TOKEN + 1
        return Usage(input=read, output=DRAWN_TOKENS * n, image_output=DRAWN_TOKENS * n, images=n)
    if rule == "characters":
        characters = _length(fields.get("input"))
        return Usage(input=characters // BYTES_PER_TOKEN + 1, output=characters, characters=characters)
    if rule == "audio":
        seconds = len(body) // BYTES_PER_AUDIO_SECOND + 1
        return Usage(input=seconds * 10, output=seconds * 5, milliseconds=seconds * 1000)
    read, audio, kept_1h = prompt or prompt_size(fields, body)
    if rule == "prompt":
        return Usage(input=read, audio_input=audio)
    if continues_stored(fields):
        read += size.context if stored is None else stored
    output = min(_max_output(request_type, fields, size) * choices_of(fields), MOST)
    tools = hosted_tools(fields)
    if not (audio or kept_1h or tools):
        return Usage(read, output)
    written = read - audio if kept_1h else 0
    return Usage(read, output, audio_input=audio, cache_write_1h=written, **tools)


def answer_estimate(request_type: RequestType, fields: Mapping[str, Any], body: bytes, answer: bytes) -> Usage:
    """Upper estimate of the usage of an answered call whose provider reported none."""
    most = upper_estimate(request_type, fields, body)
    if not most.output or most.milliseconds:
        return most
    return Usage(input=most.input, output=min(len(answer) // BYTES_PER_TOKEN + 1, most.output))


def limits_output(fields: Mapping[str, Any]) -> bool:
    """Whether a request sets any limit on its answer, in whatever name or form."""
    return not _OUTPUT_LIMITS_SET.isdisjoint(fields) and any(fields.get(name) is not None for name in _OUTPUT_LIMITS)


def continues_stored(fields: Mapping[str, Any]) -> bool:
    """Whether a request's prompt is partly stored at the provider, where its size is not known."""
    return not _STORED.isdisjoint(fields) and any(fields.get(name) for name in _STORED)


def output_tokens_held(fields: Mapping[str, Any], usage: Usage) -> int:
    """Tokens to hold under a limit of tokens: no more than a usual answer for a call that does not limit its own.

    Holding the model's maximum would let one such call use up a limit per minute.
    """
    if limits_output(fields):
        return usage.tokens
    return usage.input + min(usage.output, DEFAULT_OUTPUT_TOKENS * choices_of(fields))


_STORED = frozenset({"previous_response_id", "conversation"})
# What servers call the limit of an answer. One that does not know a name ignores it, so those beside it count too.
_OUTPUT_LIMITS = (
    "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "max_new_tokens", "n_predict",
    "num_predict",
)  # fmt: skip
_OUTPUT_LIMITS_SET = frozenset(_OUTPUT_LIMITS)
_OWN_LIMITS = {
    "chat.completions": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
}


def _max_output(request_type: RequestType, fields: Mapping[str, Any], size: ModelSize) -> int:
    """Most output tokens of one choice: the largest limit present, if the endpoint knows one and all are valid."""
    if _OUTPUT_LIMITS_SET.isdisjoint(fields):
        return size.output
    own = _OWN_LIMITS.get(request_type.name, _OUTPUT_LIMITS)
    if all(fields.get(name) is None for name in own):
        return size.output
    present = [fields[name] for name in _OUTPUT_LIMITS if fields.get(name) is not None]
    if any(isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0 for limit in present):
        return size.output
    return int(min(max(present), size.output if size.published else LONGEST))


def hosted_tools(fields: Mapping[str, Any]) -> dict[str, int]:
    """Most calls of the tools that the provider runs and charges for."""
    counts: dict[str, int] = {}
    if _TOOLS_SET.isdisjoint(fields):
        return counts
    tools = fields.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = str(tool.get("type", "")) if isinstance(tool, Mapping) else ""
        unit = next((unit for prefix, unit in _HOSTED.items() if kind.startswith(prefix)), None)
        if unit == "code_sessions":
            counts[unit] = counts.get(unit, 0) + 1
        elif unit is not None:
            counts[unit] = counts.get(unit, 0) + _tool_calls(tool.get("max_uses"), fields.get("max_tool_calls"))
    if fields.get("web_search_options") is not None:
        counts["web_searches"] = counts.get("web_searches", 0) + TOOL_CALLS
    return counts


_TOOLS_SET = frozenset({"tools", "web_search_options"})
_HOSTED = {"web_search": "web_searches", "file_search": "file_searches", "code_interpreter": "code_sessions"}


def _tool_calls(*limits: object) -> int:
    valid = [limit for limit in limits if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0]
    return min(min(valid, default=TOOL_CALLS), 10_000)


_PICTURES = frozenset({"image_url", "input_image", "image"})
_DOCUMENTS = frozenset({"file", "input_file", "document"})
_SOUND = "input_audio"


def prompt_size(fields: Mapping[str, Any], body: bytes) -> PromptSize:
    """Return an upper estimate of what a request has to read; 100,000 values take 0.1 s."""
    tokens, audio = _tokens(fields, body)
    kept_1h = b'"1h"' in body if len(body) <= _LARGE else find_in_pieces(body, b'"1h"') >= 0
    return PromptSize(tokens, audio, kept_1h)


def _tokens(fields: Mapping[str, Any], body: bytes) -> tuple[int, int]:
    # Unrolled: as a generator these take 1 us more, of every call under a limit.
    if len(body) <= _LARGE and not (b"image" in body or b"file" in body or b"audio" in body or b"document" in body):
        return len(body) // BYTES_PER_TOKEN + 1, 0
    size = attached = audio = 0
    left: list[Any] = [dict(fields)]
    while left:
        item = left.pop()
        if isinstance(item, str):
            size += len(item) if item.isascii() else _utf8_length(item)
        elif isinstance(item, dict):  # JSON; a check for any mapping takes 1 us, with 100,000 values 0.1 s
            here, heard = _attachment(item)
            attached, audio = attached + here, audio + heard
            if not here and not heard:
                size += sum(map(len, item)) + BYTES_PER_TOKEN * len(item)
                left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
        else:
            size += BYTES_PER_TOKEN
    return size // BYTES_PER_TOKEN + attached + audio + 1, audio


def _utf8_length(text: str) -> int:
    """Return the length of a text in UTF-8, measured in pieces, between which other threads run."""
    pieces = (text[at : at + _SEARCHED_BYTES] for at in range(0, len(text), _SEARCHED_BYTES))
    return sum(len(piece.encode(errors="replace")) for piece in pieces)


def _attachment(item: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens of a picture or document, and of a sound; 0 and 0 if the object is neither."""
    kind = item.get("type")
    if kind == _SOUND:
        return 0, _audio_tokens(item.get(_SOUND))
    if "image_url" in item or (isinstance(kind, str) and kind in _PICTURES):
        return IMAGE_TOKENS, 0
    return (FILE_TOKENS, 0) if isinstance(kind, str) and kind in _DOCUMENTS else (0, 0)


def _audio_tokens(sound: object) -> int:
    data = sound.get("data") if isinstance(sound, Mapping) else None
    return _length(data) * 3 // 4 // BYTES_PER_AUDIO_SECOND * AUDIO_TOKENS_PER_S + AUDIO_TOKENS_PER_S


_TIERS = frozenset({"flex", "priority", "fast", "batch"})


def tier_of(fields: Mapping[str, Any]) -> str:
    """Return the service tier of a request or a usage that has a price of its own; else empty."""
    tier = fields.get("service_tier")
    return tier if isinstance(tier, str) and tier in _TIERS else ""


def seconds_of(fields: Mapping[str, Any]) -> int:
    """Return the length of the video that a request asks for; a length that cannot be read is the longest there is."""
    seconds = fields.get("seconds")
    if seconds is None:
        return USUAL_VIDEO_S
    text = str(seconds)
    return min(int(text), LONGEST_VIDEO_S) if text.isascii() and text.isdecimal() and int(text[:9]) else LONGEST_VIDEO_S


_CHOICES = frozenset({"prompt", "n", "best_of"})


def choices_of(fields: Mapping[str, Any]) -> int:
    """How many answers a request has made: ``n`` or ``best_of`` of each prompt, whichever is larger."""
    if _CHOICES.isdisjoint(fields):
        return 1
    prompt = fields.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
    return min(max(_positive(fields.get("n")), _positive(fields.get("best_of"))) * prompts, 10_000)


def _positive(value: object) -> int:
    return max(1, _count(int(value) if isinstance(value, str) and value.isdecimal() else value))


def _length(text: object) -> int:
    return len(text) if isinstance(text, str) else 0


def _part(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        part = raw.get(name)
        if type(part) is dict or (part is not None and isinstance(part, Mapping)):
            return part
    return {}


def _count(value: object) -> int:
    """Read a provider's or a caller's number; an invalid one counts as 0."""
    if type(value) is int and 0 <= value <= MOST:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        return 0
    return int(value)


def _milliseconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        return 0
    return round(value * 1000)
