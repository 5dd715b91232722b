"""Usage of a call in billed units, and upper estimates before the call is made."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.surfaces.request_types import RequestType

MOST = 10**12
BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1_500  # of a picture in a prompt; high-detail pictures are between 765 and 1,700 at most providers
DRAWN_TOKENS = 6_300  # of a picture that is made: gpt-image-1, high quality, 1024 x 1536
DEFAULT_OUTPUT_TOKENS = 4_096
BYTES_PER_AUDIO_SECOND = 4_000  # 32 kbit/s: shorter than any usual recording of that size could be long
_LARGE = 64 * 1024


class Usage(NamedTuple):
    """Counts of one call. ``input`` and ``output`` are all tokens, the others are parts of them or units of their own.

    Attributes:
        milliseconds: Of sound, where sound is paid for by its length.
        images: Pictures made.
        characters: Of text to be spoken.
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

    @property
    def tokens(self) -> int:
        """Input and output tokens, as rate limits count."""
        return self.input + self.output

    @property
    def empty(self) -> bool:
        """Whether no usage is known."""
        return self == _NOTHING


_NOTHING = Usage()

# Names of the details objects, and their fields by our unit.
_INPUT_PARTS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_PARTS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_INPUT_UNITS = {
    "cached_tokens": "cached",
    "cache_write_tokens": "cache_write",
    "audio_tokens": "audio_input",
    "image_tokens": "image_input",
}
_OUTPUT_UNITS = {"reasoning_tokens": "reasoning", "audio_tokens": "audio_output", "image_tokens": "image_output"}


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """Read a usage object in OpenAI's names, of chat completions or of Responses, images and transcriptions.

    Invalid numbers count as 0; parts never exceed their whole.
    Source: https://platform.openai.com/docs/api-reference/chat/object, /responses/object, /audio/json-object
    """
    if not raw:
        return _NOTHING
    tokens_in = _count(raw.get("prompt_tokens", raw.get("input_tokens")))
    tokens_out = _count(raw.get("completion_tokens", raw.get("output_tokens")))
    parts: dict[str, int] = {}
    for whole, units, names in ((tokens_in, _INPUT_UNITS, _INPUT_PARTS), (tokens_out, _OUTPUT_UNITS, _OUTPUT_PARTS)):
        for name, count in _part(raw, *names).items():
            if count and name in units:
                parts[units[name]] = min(_count(count), whole)
    seconds = raw.get("seconds")
    if seconds:
        parts["milliseconds"] = _milliseconds(seconds)
    return Usage(tokens_in, tokens_out, **parts)


def used_by(request_type: RequestType, fields: Mapping[str, Any], raw: Mapping[str, Any]) -> Usage:
    """Usage of an answered call: the provider's count, and what only the request states (pictures, characters)."""
    usage = usage_of(raw)
    if request_type.usage == "images" and not usage.output:
        return usage._replace(images=_choices(fields))
    if request_type.usage == "characters" and usage.empty:
        return usage._replace(characters=_length(fields.get("input")))
    return usage


def upper_estimate(request_type: RequestType, fields: Mapping[str, Any], body: bytes) -> Usage:
    """Upper estimate of a call's usage before it is made.

    Args:
        request_type: The endpoint.
        fields: The parsed request.
        body: The raw request; its UTF-8 length counts Chinese fairly where counting letters would not.
    """
    rule = request_type.usage
    if rule == "images":
        n = _choices(fields)
        prompt = _length(fields.get("prompt")) // BYTES_PER_TOKEN + 1
        return Usage(input=prompt, output=DRAWN_TOKENS * n, image_output=DRAWN_TOKENS * n, images=n)
    if rule == "characters":
        characters = _length(fields.get("input"))
        return Usage(input=characters // BYTES_PER_TOKEN + 1, output=characters, characters=characters)
    if rule == "audio":
        seconds = len(body) // BYTES_PER_AUDIO_SECOND + 1
        return Usage(input=seconds * 10, output=seconds * 5, milliseconds=seconds * 1000)
    prompt = _prompt_tokens(fields, body)
    if rule == "prompt":
        return Usage(input=prompt)
    return Usage(input=prompt, output=_most_output(fields))


def answer_estimate(request_type: RequestType, fields: Mapping[str, Any], body: bytes, answer: bytes) -> Usage:
    """Upper estimate of the usage of an answered call whose provider reported none."""
    most = upper_estimate(request_type, fields, body)
    if not most.output or most.milliseconds:
        return most
    return Usage(input=most.input, output=min(len(answer) // BYTES_PER_TOKEN + 1, most.output))


def _prompt_tokens(fields: Mapping[str, Any], body: bytes) -> int:
    if len(body) <= _LARGE:
        return len(body) // BYTES_PER_TOKEN + 1
    size, images = _text_and_images(fields)
    return size // BYTES_PER_TOKEN + images * IMAGE_TOKENS + 1


def _text_and_images(value: Any) -> tuple[int, int]:  # noqa: ANN401 - any JSON
    """Length of all text in a request, and how many pictures or files stand in it as base64."""
    size = images = 0
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            if item.startswith("data:") or (len(item) > _LARGE and " " not in item[:_LARGE]):
                images += 1
            else:
                size += len(item)
        elif isinstance(item, Mapping):
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
        else:
            size += BYTES_PER_TOKEN
    return size, images


def _most_output(fields: Mapping[str, Any]) -> int:
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        if fields.get(name) is not None:
            return min(_count(fields[name]) * _choices(fields), MOST)
    return DEFAULT_OUTPUT_TOKENS * _choices(fields)


def _choices(fields: Mapping[str, Any]) -> int:
    n = fields.get("n")
    return min(max(1, _count(int(n) if isinstance(n, str) and n.isdecimal() else n)), 10_000)


def _length(text: object) -> int:
    return len(text) if isinstance(text, str) else 0


def _part(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        part = raw.get(name)
        if isinstance(part, Mapping):
            return part
    return {}


def _count(value: object) -> int:
    """Read a provider's or a caller's number; an invalid one counts as 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        return 0
    return int(value)


def _milliseconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        return 0
    return round(value * 1000)
