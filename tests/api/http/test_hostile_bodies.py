"""Bodies that are not what they should be, at once and as jobs: a clear 4xx, and nothing reaches a provider."""

import asyncio

import httpx
import orjson
import pytest

from tests.api.conftest import CHAT, Gateway

AS_JOB = {"x-bf-async": "true"}
NOW: dict[str, str] = {}


@pytest.mark.parametrize("headers", [NOW, AS_JOB], ids=["now", "job"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b"null", "null"),
        (b"[]", "an array"),
        (b'"text"', "a string"),
        (b"5", "a number"),
        (b"true", "a boolean"),
        (b'{"model": "\xff"}', "not valid JSON"),
        (b'\xef\xbb\xbf{"model": "m"}', "not valid JSON"),
        (b'{"temperature": NaN}', "not valid JSON"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "not valid JSON"),
        (b'{"a":' * 201 + b"1" + b"}" * 201, "nested deeper than 200 levels"),
        (b'{"model": "m", "messages": ' + b"[" * 200 + b"]" * 200 + b"}", "nested deeper than 200 levels"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "is required"),
        (b'{"model": "\\ud800"}', "not valid JSON"),
        ("{}".encode("utf-16"), "not valid JSON"),
    ],
)
async def test_no_json_object(gateway: Gateway, sim, headers, body: bytes, says: str):
    answer = await gateway.http.post("/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert sim.requests == []


@pytest.mark.parametrize("headers", [NOW, AS_JOB], ids=["now", "job"])
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {"messages": CHAT["messages"]}, "model"),
        ("chat/completions", {"model": "m"}, "messages"),
        ("chat/completions", {**CHAT, "model": None}, "model"),
        ("chat/completions", {**CHAT, "model": 5}, "model"),
        ("chat/completions", {**CHAT, "model": ""}, "model"),
        ("chat/completions", {**CHAT, "model": "m" * 257}, "model"),
        ("chat/completions", {**CHAT, "model": "m\r\nx: y"}, "model"),
        ("chat/completions", {**CHAT, "messages": "hi"}, "messages"),
        ("chat/completions", {**CHAT, "messages": []}, "messages"),
        ("chat/completions", {**CHAT, "messages": ["hi"]}, "messages[0]"),
        ("chat/completions", {**CHAT, "stream": "yes"}, "stream"),
        ("completions", {"model": "m"}, "prompt"),
        ("embeddings", {"model": "m"}, "input"),
        ("moderations", {}, "input"),
        ("images/generations", {"model": "m"}, "prompt"),
        ("audio/speech", {"model": "m", "input": "x"}, "voice"),
    ],
)
async def test_fields_that_are_missing_or_wrong(gateway: Gateway, sim, headers, path: str, body, param: str):
    answer = await gateway.post(f"/openai/{path}", body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert sim.requests == []


async def test_a_response_may_leave_its_model_to_the_default_provider(gateway: Gateway, sim):
    await gateway.post("/openai/responses", {"input": "hi", "prompt": {"id": "pmpt_1"}})
    assert sim.requests[-1].path == "/v1/responses"


async def test_an_unknown_provider_error_lists_the_configured_ones(gateway: Gateway):
    answer = await gateway.post("/v1/chat/completions", {**CHAT, "model": "nowhere/gpt"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "unknown_provider")
    assert "openai" in error["message"]
    assert "sim" in error["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/json; charset=latin-1", "nonsense"])
async def test_any_content_type_will_do_where_the_body_is_json(gateway: Gateway, content_type: str):
    answer = await gateway.http.post(
        "/v1/chat/completions", content=orjson.dumps(CHAT), headers={"content-type": content_type}
    )
    assert answer.status_code == 200


async def test_compressed_bodies_are_refused(gateway: Gateway):
    answer = await gateway.http.post("/v1/chat/completions", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "content-encoding")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"garbage"),
        ("multipart/form-data; boundary=b", b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'),
        ("multipart/form-data; boundary=b", b"--b\r\ncontent-disposition: form-data\r\n\r\nm\r\n--b--\r\n"),
    ],
)
async def test_malformed_forms(gateway: Gateway, content_type: str, body: bytes):
    answer = await gateway.http.post(
        "/v1/audio/transcriptions", content=body, headers={"content-type": content_type, **AS_JOB}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("data", "param"), [({}, "model"), ({"model": "sim/w"}, "file")])
async def test_forms_without_what_they_need(gateway: Gateway, data, param: str):
    files = {"other": ("a", b"b")} if param == "file" else {"file": ("a", b"b")}
    answer = await gateway.http.post("/v1/audio/transcriptions", data=data, files=files, headers=AS_JOB)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_streamed_transcription_says_so_in_its_form(gateway: Gateway):
    async def send(stream: str) -> httpx.Response:
        return await gateway.http.post(
            "/v1/audio/transcriptions",
            data={"model": "sim/whisper-1", "stream": stream},
            files={"file": ("a.wav", b"RIFF0000WAVE" * 20)},
            headers=AS_JOB,
        )

    assert (await send("true")).json()["error"]["param"] == "stream"
    assert (await send("maybe")).json()["error"]["param"] == "stream"
    assert (await send("false")).status_code == 200


async def test_a_body_that_says_it_is_too_large_is_refused_unread(gateway: Gateway, sim):
    answer = await gateway.http.post("/v1/chat/completions", content=b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"]


async def test_a_body_that_turns_out_too_large_is_refused_too(gateway: Gateway):
    async def endless():
        for _ in range(40):
            yield b" " * 65_536

    answer = await gateway.http.post("/v1/chat/completions", content=endless(), headers=AS_JOB)
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_caller_that_asks_first_is_refused_before_it_sends(gateway: Gateway):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\nexpect: 100-continue\r\n\r\n"
    )
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"request_too_large" in answer
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("length", [b"9" * 30, b"-1", b"abc"])
async def test_absurd_lengths(gateway: Gateway, length: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %b\r\n\r\n" % length
    )
    answer = await reader.read()
    assert answer.split()[1] in {b"400", b"413"}
    writer.close()
    await writer.wait_closed()


async def test_a_body_of_the_largest_size_is_served(gateway: Gateway):
    body = orjson.dumps(CHAT)
    padded = body + b" " * (1024 * 1024 - len(body))
    assert (await gateway.http.post("/v1/chat/completions", content=padded)).status_code == 200


async def test_a_caller_that_hangs_up_amid_its_body_leaves_nothing_behind(gateway: Gateway, sim):
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await gateway.post("/v1/chat/completions", CHAT)).status_code == 200
    assert len(sim.requests) == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1._X", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("\xe9", False), ("", False)],
)
async def test_a_sane_request_id_is_kept_any_other_replaced(gateway: Gateway, given: str, kept: bool):
    answer = await gateway.http.get("/health/live", headers={"x-request-id": given.encode("latin-1")})
    request_id = answer.headers["x-request-id"]
    assert (request_id == given) is kept
    assert kept or (request_id.startswith("req_") and len(request_id) == 36)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/openai/nothing/here", 404, "not_found"),
        ("GET", "/v1/async/nothing", 404, "not_found"),
        ("POST", "/openai/chat/completions/", 404, "not_found"),
        ("GET", "/openai/embeddings", 405, "method_not_allowed"),
        ("DELETE", "/openai/chat/completions", 405, "method_not_allowed"),
        ("PUT", "/v1/async/chat/completions", 405, "method_not_allowed"),
        ("POST", "/health/live", 405, "method_not_allowed"),
        ("OPTIONS", "/openai/chat/completions", 405, "method_not_allowed"),
    ],
)
async def test_the_frameworks_own_errors_have_the_envelope_too(gateway: Gateway, method, path, status, code):
    answer = await gateway.http.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", CHAT),
        ("/openai/deployments/sim/gpt-4o/chat/completions?api-version=2024-10-21", CHAT),
        ("/anthropic/v1/messages", {**CHAT, "max_tokens": 5}),
        ("/v1/threads", {"messages": []}),
    ],
)
async def test_a_large_body_is_served_and_one_of_too_many_values_is_refused(start, path: str, fields):
    gateway = await start(server={"max_json_values": 1000})
    text = {**fields, "metadata": {"text": 'a "long" text \n' * 20_000}}
    if path == "/v1/chat/completions":
        answer = await gateway.post(path, {**CHAT, "messages": [{"role": "user", "content": "word, " * 24_000}]})
        assert answer.status_code == 200
        assert answer.json()["usage"]["prompt_tokens"] > 20_000  # all of it has arrived
    for body in (text, {**text, "extra": [1] * 2000}):
        answer = await gateway.post(path, body)
        refused = "has more than 1000 JSON values" in answer.text
        assert refused == ("extra" in body), answer.text
        assert not refused or answer.status_code == 400


@pytest.mark.parametrize(
    ("extra", "message"), [("word, " * 30_000, "input file does not exist"), ([1] * 100_000, "JSON values")]
)
async def test_a_large_request_for_a_batch_is_read_like_any_other(gateway: Gateway, extra: object, message: str):
    fields = {"input_file_id": "file-finops-x", "endpoint": "/v1/embeddings", "completion_window": "24h"}
    answer = await gateway.post("/v1/batches", {**fields, "extra": extra})
    assert message in answer.json()["error"]["message"]
    assert answer.status_code in {400, 404}
