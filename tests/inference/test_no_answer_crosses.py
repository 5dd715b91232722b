"""No request is ever served another one's answer, tried on the store: everything but the words differs."""

from itertools import product
from random import Random
from typing import Any

import orjson

from shared.governance.keys.caller import Caller
from shared.inference.call import Answer
from tests.examples import IS_THOROUGH
from tests.inference.conftest import chat
from tests.inference.test_answer_cache import EXACT, Build, build_cached, cached, settled, store, use_of

__all__ = ["build_cached", "store"]  # fixtures

TRIES_AT_EACH_RUN = 240
CALLERS = [
    Caller(key_id="a", team="red", customer="acme"),
    Caller(key_id="b", team="red", customer="acme"),
    Caller(key_id="c", team="blue", customer="acme"),
    Caller(key_id="d"),
    Caller(scope="bearer"),
    Caller(),
]
CACHE_KEYS = ["", "one", "two", "One"]
MODELS = ["sim/gpt", "sim/gpt-4", "other/gpt"]
SYSTEMS: list[list[dict[str, Any]]] = [
    [],
    [{"role": "system", "content": "Be brief."}],
    [{"role": "system", "content": "Be long."}],
]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
PARAMETERS: list[dict[str, Any]] = [
    {}, {"temperature": 0}, {"temperature": 0.5}, {"seed": 1}, {"top_p": 0.1}, {"max_tokens": 5}, {"n": 2},
    {"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": "required"},
    {"response_format": {"type": "json_object"}}, {"response_format": {"type": "text"}}, {"logprobs": True},
    {"reasoning_effort": "low"}, {"stop": ["a"]}, {"logit_bias": {"1": 5}},
]  # fmt: skip
WORDS = {"type": "text", "text": "How are you today?"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
OTHER_PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/b.png"}}
CONTENTS: list[Any] = ["How are you today?", [WORDS, PICTURE], [WORDS, OTHER_PICTURE]]
ALL = list(product(CALLERS, CACHE_KEYS, MODELS, SYSTEMS, PARAMETERS, CONTENTS))


def answer(text: str, model: str) -> Answer:
    message = {"role": "assistant", "content": text}
    body = orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    provider, _, name = model.partition("/")
    return Answer(status=200, body=body, provider=provider, model=name)


async def test_no_answer_is_served_to_a_request_that_differs_in_anything_but_its_words(build_cached: Build) -> None:
    """10,368 requests with ``HYPOTHESIS_PROFILE=thorough``, some of them at each run; near matches are on."""
    tries = ALL if IS_THOROUGH else Random(14).sample(ALL, TRIES_AT_EACH_RUN)
    inference = build_cached(cache={**EXACT, "mode": "near", "max_mb": 256})
    assert inference.cache and len(ALL) > 10_000
    for again in (False, True):
        for number, (caller, cache_key, model, system, more, content) in enumerate(tries):
            messages = [*system, {"role": "user", "content": content}]
            headers = {"x_bf_cache_key": cache_key} if cache_key else {}
            call = cached(chat(model, caller=caller, messages=messages, **more), inference, **headers)
            found = await inference.stored_answer(call)
            if again:
                assert found is not None and orjson.loads(found.body)["choices"][0]["message"]["content"] == str(number)
            else:
                assert found is None, (number, call.fields)
                inference.cache.writer.store_answer(call, use_of(call), answer(str(number), model), None)
                await settled(inference)
