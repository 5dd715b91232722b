"""Chat answers and the streams that say the same, for tests."""

from itertools import pairwise

import orjson
from hypothesis import strategies as st


def chat(message, finish_reason="stop", usage=None, **more):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason, "logprobs": None}
    choice |= more.pop("choice", {})
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795360000,
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def chunk(delta=None, finish_reason=None, choice=None, **more):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason, **(choice or {})}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1795360000,
        "model": "m",
        "choices": choices,
        **more,
    }


def stream_bytes(chunks, *, done=True):
    events = [b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks]
    return b"".join(events) + (b"data: [DONE]\n\n" if done else b"")


def function(name, arguments, call_id="call_1", **more):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}

texts = st.text(st.characters(codec="utf-8"), max_size=20)
counts = st.integers(0, 10**6)
usages = st.none() | st.fixed_dictionaries(
    {"prompt_tokens": counts, "completion_tokens": counts, "total_tokens": counts},
    optional={
        "prompt_tokens_details": st.none() | st.fixed_dictionaries({"cached_tokens": st.none() | counts}),
        "completion_tokens_details": st.none() | st.fixed_dictionaries({"reasoning_tokens": counts}),
    },
)
citations = st.fixed_dictionaries(
    {
        "type": st.just("url_citation"),
        "url_citation": st.fixed_dictionaries(
            {"url": texts, "title": texts, "start_index": counts, "end_index": counts}
        ),
    }
)
tokens = st.fixed_dictionaries(
    {
        "token": texts,
        "logprob": st.floats(-20, 0),
        "bytes": st.none() | st.lists(st.integers(0, 255), max_size=3),
        "top_logprobs": st.lists(
            st.fixed_dictionaries({"token": texts, "logprob": st.floats(-20, 0), "bytes": st.none()}), max_size=2
        ),
    }
)
thoughts = st.fixed_dictionaries(
    {"type": st.just("thinking"), "thinking": texts, "signature": st.text("ab", min_size=1, max_size=4)}
) | st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": texts})
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)


@st.composite
def pieces_of(draw, text):
    """The text, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    ends = [0, *cuts, len(text)]
    return [text[a:b] for a, b in pairwise(ends) if a < b]


@st.composite
def messages(draw):
    """Messages as wires make them: any of reasoning, text, refusal and calls, in chat's own order."""
    message = {"content": draw(st.none() | texts), "refusal": draw(st.none() | texts)}
    reasoning = draw(st.none() | texts)
    if reasoning is not None:
        message[draw(st.sampled_from(["reasoning_content", "reasoning"]))] = reasoning
    blocks = draw(st.lists(thoughts, max_size=2))
    if blocks:
        message["thinking_blocks"] = blocks
    if message["content"]:
        message["annotations"] = draw(st.lists(citations, max_size=2))
    calls = draw(st.lists(st.tuples(names, texts, st.booleans()), max_size=3))
    if calls:
        message["tool_calls"] = [
            function(
                name,
                arguments,
                f"call_{n}",
                **({"extra_content": {"google": {"thought_signature": "s"}}} if signed else {}),
            )
            for n, (name, arguments, signed) in enumerate(calls)
        ]
    return message


@st.composite
def answers(draw):
    """A complete answer and the chunks of a stream that says the same."""
    message = draw(messages())
    reason = draw(st.sampled_from(["stop", "length", "content_filter", "tool_calls", None]))
    usage = draw(usages)
    tier = draw(st.sampled_from([{}, {"service_tier": "flex"}, {"service_tier": "strange"}, {"service_tier": None}]))
    logprobs = draw(st.lists(tokens, max_size=3)) if message["content"] else []
    choice = {"logprobs": {"content": logprobs, "refusal": None}} if logprobs else {}
    whole = chat(message, reason, usage, choice=choice, **tier)
    deltas = [({"role": "assistant", "content": ""}, {})]
    for name in ("reasoning_content", "reasoning"):
        deltas += [({name: piece}, {}) for piece in draw(pieces_of(message.get(name) or ""))]
    for index, block in enumerate(message.get("thinking_blocks", [])):
        deltas.append(({"thinking_blocks": [{"index": index, **block}]}, {}))
    description = [({"content": piece}, {}) for piece in draw(pieces_of(message["content"] or ""))]
    for token in logprobs:
        place = draw(st.integers(0, len(description) - 1))
        # They stay in their order wherever they come: gathered at one chunk here, spread there.
        description[place][1].setdefault("logprobs", {"content": []})["content"].append(token)
    order = [token for _, more in description for token in more.get("logprobs", {}).get("content", [])]
    if logprobs:
        whole["choices"][0]["logprobs"]["content"] = order
    deltas += description
    deltas += [({"annotations": [each]}, {}) for each in message.get("annotations", [])]
    deltas += [({"refusal": piece}, {}) for piece in draw(pieces_of(message["refusal"] or ""))]
    for index, call in enumerate(message.get("tool_calls", [])):
        first = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        deltas.append(({"tool_calls": [first]}, {}))
        for piece in draw(pieces_of(call["function"]["arguments"])):
            deltas.append(({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, {}))
    chunks = [chunk(delta, choice=more, **tier) for delta, more in deltas]
    chunks.append(chunk({}, reason))
    if usage is not None:
        chunks.append(chunk(usage=usage))
    return whole, chunks


@st.composite
def fragments(draw, data):
    """The bytes, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    ends = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(ends)]
