"""`generateContent` whole and streamed, `countTokens`, and the routes of the Gemini API, also under Vertex's paths.

Models of generation 3 and later sign their calls and give them ids, older ones do neither; `sim-blocked` refuses every
prompt.
Source: https://ai.google.dev/api
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from simulator.calls import Answer, Call, Reply, Route, Stream
from simulator.google.checks import (
    GEMINI,
    check_request,
    envelope,
    fields_of,
    generation,
    invalid,
    list_of,
    signature,
)
from simulator.google.embeddings import embed, embed_batch, predict
from simulator.google.models import list_models, list_published, retrieve_model
from simulator.model.ids import opaque
from simulator.model.json_schema import DEPTH_LIMIT, Json
from simulator.model.text import ANY_OBJECT, Ask, Composition, Tool, choose_tool, compose, count_tokens

TOKENS_PER_MEDIUM = 258
BLOCKED_MODEL = "sim-blocked"
CANDIDATES_LIMIT = 8
BAD_FRAME = b'data: {"candidates": [{"cont\r\n\r\n'
_CHOICES = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}


def generate(call: Call) -> Answer:
    """Answer `generateContent`.

    Raises:
        Refusal: the service would not take the request.
    """
    generated = _Generated(call)
    return Reply(orjson.dumps(generated.whole()), tokens=generated.tokens)


def generate_stream(call: Call) -> Answer:
    """Answer `streamGenerateContent`: events with `alt=sse`, else one JSON array.

    Raises:
        Refusal: the service would not take the request.
    """
    generated = _Generated(call)
    chunks = list(generated.chunks())
    if call.query("alt") == "sse":
        frames = [(token, _event(chunk)) for token, chunk in chunks]
        return Stream(frames[:-1], frames[-1][1], error_frame, bad_frame=BAD_FRAME, content_type=b"text/event-stream")
    items = [(token, (b",\r\n" if at else b"[") + orjson.dumps(chunk)) for at, (token, chunk) in enumerate(chunks)]
    broken = orjson.dumps(_broken())
    return Stream(
        items[:-1],
        items[-1][1] + b"]",
        lambda sent: (b",\r\n" if sent else b"[") + broken + b"]",
        bad_frame=b',\r\n{"candidates": [{"cont',
        content_type=b"application/json; charset=UTF-8",
    )


def error_frame(_sent: int) -> bytes:
    """Return the event that ends a broken stream."""
    return _event(_broken())


def _broken() -> dict[str, Any]:
    return envelope(503, "The model is overloaded. Please try again later.")


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\r\n\r\n"


class _Generated:
    """An answer, sent whole or in chunks."""

    def __init__(self, call: Call) -> None:
        self._model = call.params["model"]
        body = fields_of(call.body)
        contents = check_request(body, self._model)
        self._config = fields_of(body.get("generationConfig"))
        self._thinking = fields_of(self._config.get("thinkingConfig"))
        self._prompt_tokens = _count([*contents, *_instruction(body)])
        count = self._config.get("candidateCount") or 1
        if not isinstance(count, int) or not 1 <= count <= CANDIDATES_LIMIT:
            raise invalid(f"candidateCount must be from 1 to {CANDIDATES_LIMIT}.", "generation_config.candidate_count")
        ask = _ask(call, body, contents, self._config)
        wanted = bool(self._thinking.get("thinkingLevel") or self._thinking.get("thinkingBudget"))
        behaviour = replace(call.behaviour, reasoning=call.behaviour.reasoning or wanted)
        self._compositions = [compose(replace(ask, turn=turn), behaviour) for turn in range(count)]
        self._head = {"modelVersion": self._model.partition("@")[0], "responseId": opaque("", 22)}
        self._blocked = self._model.startswith(BLOCKED_MODEL)
        self._signs = generation(self._model) >= 3

    @property
    def tokens(self) -> int:
        return sum(composition.tokens for composition in self._compositions)

    def whole(self) -> dict[str, Any]:
        if self._blocked:
            return self._refused()
        candidates = [
            _candidate(
                index, self._thoughts(composition) + self._parts(composition, index), _finish_reason(composition)
            )
            for index, composition in enumerate(self._compositions)
        ]
        if self._config.get("responseLogprobs") is True:
            for candidate, composition in zip(candidates, self._compositions, strict=True):
                candidate["logprobsResult"] = _logprobs(composition)
        return {"candidates": candidates, "usageMetadata": self._usage(self.tokens), **self._head}

    def chunks(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Chunks with the number of the token each goes out with; usage counts up."""
        if self._blocked:
            yield 0, self._refused()
            return
        token = 0
        for index, composition in enumerate(self._compositions):
            parts = self._thoughts(composition, pieces=True) + self._pieces(composition, index)
            for part in parts:
                token += 1
                yield token, self._chunk(_candidate(index, [part]), token)
            last = index == len(self._compositions) - 1
            ending = [{"text": ""} | self._signature(index)] if composition.tool is None else []
            spent = self.tokens if last else token
            yield token, self._chunk(_candidate(index, ending, _finish_reason(composition)), spent)

    def _chunk(self, candidate: dict[str, Any], tokens: int) -> dict[str, Any]:
        return {"candidates": [candidate], "usageMetadata": self._usage(tokens), **self._head}

    def _refused(self) -> dict[str, Any]:
        feedback = {"blockReason": "SAFETY", "safetyRatings": []}
        return {"promptFeedback": feedback, "usageMetadata": self._usage(0), **self._head}

    def _thoughts(self, composition: Composition, *, pieces: bool = False) -> list[dict[str, Any]]:
        if not composition.reasoning or self._thinking.get("includeThoughts") is not True:
            return []
        texts = composition.reasoning if pieces else ["".join(composition.reasoning)]
        return [{"text": text, "thought": True} for text in texts]

    def _parts(self, composition: Composition, index: int) -> list[dict[str, Any]]:
        if composition.tool is not None:
            return [self._call(composition, index)]
        return [{"text": composition.text} | self._signature(index)]

    def _pieces(self, composition: Composition, index: int) -> list[dict[str, Any]]:
        """Texts come in pieces, calls as a whole."""
        return (
            [self._call(composition, index)]
            if composition.tool is not None
            else [{"text": piece} for piece in composition.pieces]
        )

    def _call(self, composition: Composition, index: int) -> dict[str, Any]:
        called = {"name": composition.tool.name if composition.tool else "", "args": orjson.loads(composition.text)}
        return {"functionCall": called | ({"id": opaque("", 8)} if self._signs else {})} | self._signature(index)

    def _signature(self, index: int) -> dict[str, Any]:
        return {"thoughtSignature": signature(f"{self._head['responseId']}/{index}")} if self._signs else {}

    def _usage(self, tokens: int) -> dict[str, Any]:
        thought = min(sum(len(composition.reasoning) for composition in self._compositions), tokens)
        usage = {
            "promptTokenCount": self._prompt_tokens,
            "totalTokenCount": self._prompt_tokens + tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": self._prompt_tokens}],
        }
        counts = {"candidatesTokenCount": tokens - thought, "thoughtsTokenCount": thought}
        return usage | {name: count for name, count in counts.items() if count}


def _candidate(index: int, parts: list[dict[str, Any]], reason: str | None = None) -> dict[str, Any]:
    content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    return {"content": content, "index": index} | ({"finishReason": reason} if reason else {})


def _finish_reason(composition: Composition) -> str:
    return "MAX_TOKENS" if composition.cut_short else "STOP"


def _logprobs(composition: Composition) -> dict[str, Any]:
    chosen = [{"token": piece, "tokenId": at, "logProbability": -0.25} for at, piece in enumerate(composition.pieces)]
    return {"chosenCandidates": chosen, "topCandidates": [{"candidates": [token]} for token in chosen]}


def _instruction(body: dict[str, Any]) -> list[dict[str, Any]]:
    instruction = body.get("systemInstruction")
    return [instruction] if isinstance(instruction, dict) else []


def _texts(content: dict[str, Any]) -> list[str]:
    """Return the texts of a content, with function results as JSON."""
    texts = []
    for part in (fields_of(part) for part in list_of(content.get("parts"))):
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif "functionResponse" in part:
            texts.append(orjson.dumps(fields_of(part["functionResponse"]).get("response")).decode())
    return texts


def _count(contents: list[dict[str, Any]]) -> int:
    tokens = 0
    for content in contents:
        media = [part for part in list_of(content.get("parts")) if {"inlineData", "fileData"} & fields_of(part).keys()]
        tokens += sum(count_tokens(text) for text in _texts(content)) + TOKENS_PER_MEDIUM * len(media)
    return tokens


def _ask(call: Call, body: dict[str, Any], contents: list[dict[str, Any]], config: dict[str, Any]) -> Ask:
    user_texts = ["\n".join(_texts(content)) for content in contents if content.get("role") != "model"]
    limit, stops = config.get("maxOutputTokens"), config.get("stopSequences")
    return Ask(
        model=call.params["model"],
        read="\n".join(text for content in [*_instruction(body), *contents] for text in _texts(content)),
        last_user=user_texts[-1] if user_texts else "",
        limit=limit if isinstance(limit, int) else None,
        stops=tuple(stop for stop in list_of(stops) if isinstance(stop, str)),
        schema=_schema(config),
        tool=_tool(call, body, any("functionResponse" in part for part in contents[-1]["parts"])),
    )


def _schema(config: dict[str, Any]) -> Json:
    if config.get("responseMimeType") != "application/json":
        return None
    if "responseJsonSchema" in config:
        return config["responseJsonSchema"]
    return _lower(config["responseSchema"]) if "responseSchema" in config else ANY_OBJECT


def _lower(schema: Json, depth: int = 0) -> Json:
    """OpenAPI's types in small letters, as JSON schema has them; what nests absurdly deep is left out."""
    if depth > 4 * DEPTH_LIMIT:
        return {}
    if isinstance(schema, list):
        return [_lower(each, depth + 1) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else _lower(value, depth + 1)
        for name, value in fields_of(schema).items()
    }


def _tool(call: Call, body: dict[str, Any], after_result: bool) -> Tool | None:
    config = fields_of(fields_of(body.get("toolConfig")).get("functionCallingConfig"))
    allowed = list_of(config.get("allowedFunctionNames"))
    tools = [tool for tool in _declared(body) if not allowed or tool.name in allowed]
    choice = _CHOICES.get(str(config.get("mode")), "auto")
    return choose_tool(tools, choice, after_result=after_result, forced=call.behaviour.tool)


def _declared(body: dict[str, Any]) -> Iterator[Tool]:
    for tool in list_of(body.get("tools")):
        for each in list_of(fields_of(tool).get("functionDeclarations")):
            declared = fields_of(each)
            schema = declared.get("parametersJsonSchema") or _lower(declared.get("parameters") or {"type": "object"})
            yield Tool(str(declared.get("name")), schema)


def count(call: Call) -> Reply:
    """Answer `countTokens`, of contents or of a whole request."""
    body = fields_of(call.body)
    whole = fields_of(body.get("generateContentRequest") or body)
    contents = [fields_of(content) for content in list_of(whole.get("contents"))]
    tokens = _count([*contents, *_instruction(whole)])
    return Reply(orjson.dumps({"totalTokens": tokens}))


def model_in_path(call: Call) -> str | None:
    """Return the model named in the path."""
    return call.params.get("model")


_METHODS = {
    "generateContent": generate,
    "streamGenerateContent": generate_stream,
    "countTokens": count,
    "embedContent": embed,
    "batchEmbedContents": embed_batch,
}
_VERTEX = "/{version}/projects/{project}/locations/{location}/publishers/google/models/{model}"


def routes() -> list[Route]:
    """Return all routes, for both versions of the Gemini API and for Vertex."""
    places = ("/v1beta/models/{model:path}", "/v1/models/{model:path}", _VERTEX)
    made = [
        Route("POST", f"{place}:{name}", answer, GEMINI, model_in_path)
        for place in places
        for name, answer in _METHODS.items()
    ]
    return [
        *made,
        Route("POST", f"{_VERTEX}:predict", predict, GEMINI, model_in_path),
        Route("GET", "/v1beta1/publishers/{publisher}/models", list_published, GEMINI),
        Route("GET", "/v1beta/models", list_models, GEMINI, model_in_path),
        Route("GET", "/v1beta/models/{model:path}", retrieve_model, GEMINI, model_in_path),
    ]
