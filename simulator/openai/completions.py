"""`POST /completions`, the older text interface, whole and streamed."""

import time
from typing import Any

import orjson

from simulator.calls import Answer, Call, Reply, Route, Stream
from simulator.model.ids import opaque
from simulator.model.json_schema import Json
from simulator.model.text import Ask, Composition, compose, count_tokens
from simulator.openai.chat import DONE, FINGERPRINT, chat_usage, stop_texts
from simulator.openai.errors import OPENAI, error_frame, missing, mistyped, need_model, whole_number


def answer_completions(call: Call) -> Answer:
    """Continue one or several prompts, `n` times each.

    Raises:
        Refusal: a required field is absent or has the wrong type.
    """
    model = need_model(call)
    prompts = _prompts(call)
    count = whole_number(call, "n", 1, 128) or 1
    limit = whole_number(call, "max_tokens", 0, 2**53)
    stops = stop_texts(call.body.get("stop"))
    echoed = call.body.get("echo") is True
    compositions: list[Composition] = []
    starts: list[str] = []
    for prompt, _ in prompts:
        for turn in range(count):
            ask = Ask(model, prompt, prompt, limit, stops, turn=turn)
            compositions.append(compose(ask, call.behaviour))
            starts.append(prompt if echoed else "")
    usage = chat_usage(sum(tokens for _, tokens in prompts), compositions)
    base = {
        "id": opaque("cmpl-", 29),
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": FINGERPRINT,
    }
    if call.body.get("stream") is True:
        return _stream(call, base, compositions, starts, usage)
    choices = [
        _choice(index, start + composition.text, _reason(composition))
        for index, (start, composition) in enumerate(zip(starts, compositions, strict=True))
    ]
    body = orjson.dumps({**base, "choices": choices, "usage": usage})
    return Reply(body, tokens=usage["completion_tokens"])


def read_inputs(value: Json, param: str) -> list[tuple[str, int]]:
    """Texts or token arrays, one or many, as (text, tokens); token arrays become text of their numbers.

    Raises:
        Refusal: it is none of these.
    """
    if isinstance(value, str):
        return [(value, count_tokens(value))]
    if not isinstance(value, list) or not value:
        raise mistyped(param, "a string, an array of strings or an array of tokens")
    if all(isinstance(each, int) for each in value):
        return [(" ".join(map(str, value)), len(value))]
    if all(isinstance(each, str) for each in value):
        return [(each, count_tokens(each)) for each in value]
    if all(isinstance(each, list) and each and isinstance(each[0], int) for each in value):
        return [(" ".join(map(str, each)), len(each)) for each in value]
    raise mistyped(param, "a string, an array of strings or an array of tokens")


def _prompts(call: Call) -> list[tuple[str, int]]:
    prompt = call.body.get("prompt")
    if prompt is None:
        raise missing("prompt")
    return read_inputs(prompt, "prompt")


def _reason(composition: Composition) -> str:
    return "length" if composition.cut_short else "stop"


def _choice(index: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def _stream(
    call: Call,
    base: dict[str, Any],
    compositions: list[Composition],
    starts: list[str],
    usage: dict[str, Any],
) -> Stream:
    frames: list[tuple[int, bytes]] = []
    token = 0
    for index, (start, composition) in enumerate(zip(starts, compositions, strict=True)):
        pieces = [start, *composition.pieces] if start else composition.pieces
        texts = [_frame({**base, "choices": [_choice(index, piece, None)]}) for piece in pieces]
        frames += [(token + place, frame) for place, frame in enumerate(texts, start=1)]
        token += len(pieces)
        frames.append((token, _frame({**base, "choices": [_choice(index, "", _reason(composition))]})))
    options = call.body.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage") is True:
        frames.append((token, _frame({**base, "choices": [], "usage": usage})))
    return Stream(frames, DONE, error_frame)


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


ROUTES = (Route("POST", "/completions", answer_completions, OPENAI),)
