"""`POST /images/generations`, `/images/edits` and `/images/variations`: PNGs of one pixel."""

import base64
import time
from typing import Any

import orjson

from simulator.calls import Call, Refusal, Reply, Route
from simulator.model.media import tiny_png
from simulator.model.text import count_tokens, seed_of
from simulator.openai.errors import OPENAI, missing, mistyped

IMAGE_TOKENS = 272
IMAGES_LIMIT = 10


def answer_generations(call: Call) -> Reply:
    """Make images from a prompt.

    Raises:
        Refusal: a field is absent or wrong.
    """
    prompt = call.body.get("prompt")
    if prompt is None:
        raise missing("prompt")
    if not isinstance(prompt, str):
        raise mistyped("prompt", "a string")
    return _images(call, call.body, prompt, 0)


def answer_edits(call: Call) -> Reply:
    """Change uploaded images; a JSON body with `images` works like a form, as at OpenAI.

    Raises:
        Refusal: a field or the image is absent or wrong.
    """
    if call.form is None and call.body.get("images"):
        return answer_generations(call)
    form = call.need_form()
    if "prompt" not in form.fields:
        raise missing("prompt")
    return _images(call, form.fields, form.fields["prompt"], _uploads(call))


def answer_variations(call: Call) -> Reply:
    """Vary an uploaded image.

    Raises:
        Refusal: the image is absent.
    """
    return _images(call, call.need_form().fields, "variation", _uploads(call))


def _uploads(call: Call) -> int:
    files = call.need_form().files
    images = [upload for name in ("image", "image[]") for upload in files.get(name, [])]
    if not images:
        raise missing("image")
    return len(images)


def _images(call: Call, fields: dict[str, Any], prompt: str, uploads: int) -> Reply:
    text = str(fields.get("n") or 1)
    if not text.isdecimal() or not 1 <= int(text) <= IMAGES_LIMIT:
        raise Refusal(400, f"Invalid 'n': must be from 1 to {IMAGES_LIMIT}.", param="n")
    count = int(text)
    model = str(fields.get("model") or "")
    wanted = fields.get("response_format") or ("b64_json" if model.startswith("gpt-image") else "url")
    if wanted not in ("url", "b64_json"):
        raise Refusal(400, "Invalid 'response_format': use url or b64_json.", param="response_format")
    seed = seed_of(prompt)
    body: dict[str, Any] = {
        "created": int(time.time()),
        "data": [_image(call, wanted, seed + index, prompt) for index in range(count)],
    }
    if model.startswith("gpt-image"):
        body |= {"background": "opaque", "output_format": "png", "quality": "low", "size": "1024x1024"}
        body["usage"] = _usage(count_tokens(prompt), IMAGE_TOKENS * uploads, IMAGE_TOKENS * count)
    return Reply(orjson.dumps(body))


def _image(call: Call, wanted: str, seed: int, prompt: str) -> dict[str, Any]:
    if wanted == "b64_json":
        return {"b64_json": base64.b64encode(tiny_png(seed)).decode()}
    host = call.header(b"host") or "127.0.0.1"
    return {"url": f"http://{host}/sim/image.png", "revised_prompt": prompt}


def _usage(text_tokens: int, image_tokens: int, output_tokens: int) -> dict[str, Any]:
    input_tokens = text_tokens + image_tokens
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"text_tokens": text_tokens, "image_tokens": image_tokens},
        "output_tokens": output_tokens,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output_tokens},
        "total_tokens": input_tokens + output_tokens,
    }


ROUTES = (
    Route("POST", "/images/generations", answer_generations, OPENAI),
    Route("POST", "/images/edits", answer_edits, OPENAI),
    Route("POST", "/images/variations", answer_variations, OPENAI),
)
