"""Objects in a provider's account belong to the virtual key that made them, whatever the path that leads there."""

from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from tests.api.conftest import ADMIN_KEY, KEY_A, KEY_B, Gateway, Start
from tests.rogue import Rogue, rogue_upstream

KEY_ALL = "sk-bf-account-0123456789"
KEY_OFF = "sk-bf-nothing-0123456789"
A, B = {"x-bf-vk": KEY_A}, {"x-bf-vk": KEY_B}
ALL, OFF, ADMIN = {"x-bf-vk": KEY_ALL}, {"x-bf-vk": KEY_OFF}, {"x-bf-vk": ADMIN_KEY}
KEYS = {
    "team-a": {"value": KEY_A},
    "team-b": {"value": KEY_B, "denied_models": ["openai/gpt-5*"]},
    "all": {"value": KEY_ALL, "passthrough": "account"},
    "off": {"value": KEY_OFF, "passthrough": "off"},
}


@pytest.fixture
async def rogue() -> AsyncIterator[Rogue]:
    async with rogue_upstream() as upstream:
        yield upstream


@pytest.fixture
async def shared(start: Start, rogue: Rogue) -> Gateway:
    """A gateway whose keys share one account at a provider that answers what a test wants."""
    openai = {"base_url": rogue.url, "keys": [{"value": "sk-upstream"}], "retry": {"max_attempts": 1}}
    return await start(virtual_keys=KEYS, providers={"openai": openai, "other": {**openai, "wire": "openai"}})


async def ask(gateway: Gateway, method: str, path: str, headers: dict[str, str], json: object = None) -> httpx.Response:
    return await gateway.http.request(method, f"/openai/v1{path}", headers=headers, json=json)


async def make(gateway: Gateway, rogue: Rogue, resource_id: str, path: str = "/assistants") -> None:
    """Make an object as team A."""
    rogue.answer("200 OK", orjson.dumps({"id": resource_id, "object": "assistant"}))
    assert (await ask(gateway, "POST", path, A, {"model": "gpt-4o"})).json()["id"] == resource_id
    rogue.heads.clear()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/assistants/asst_0001"),
        ("POST", "/assistants/asst_0001"),
        ("DELETE", "/assistants/asst_0001"),
        ("GET", "/threads/asst_0001/messages"),
        ("GET", "/files/asst_0001/content"),
        ("GET", "/responses/asst_0001"),
        ("GET", "/batches/asst_0001"),
        ("GET", "/chat/completions/asst_0001/messages"),
        ("DELETE", "/models/ft:gpt-4o:org::1"),
    ],
)
async def test_another_keys_object_is_a_404_and_nothing_is_sent(
    shared: Gateway, rogue: Rogue, method: str, path: str
) -> None:
    await make(shared, rogue, "asst_0001")
    body = {} if method == "POST" else None
    for stranger in (B, {"x-bf-vk": ""}, {}):
        answer = await ask(shared, method, path, stranger, body)
        assert answer.status_code in {401, 404}
    assert not rogue.heads
    assert (await ask(shared, method, path, OFF, body)).status_code == 403
    assert not rogue.heads
    assert (await ask(shared, method, path, ALL, body)).status_code == 200


async def test_its_owner_uses_an_object_and_those_of_another_provider_are_others(shared: Gateway, rogue: Rogue) -> None:
    await make(shared, rogue, "asst_0001")
    assert (await ask(shared, "GET", "/assistants/asst_0001", A)).status_code == 200
    assert (await ask(shared, "GET", "/assistants/asst_0001", {**A, "x-bf-provider": "other"})).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"assistant_id": "asst_0001"},
        {"thread": {"messages": [{"content": [{"file_id": "asst_0001"}]}]}},
        {"tools": [{"vector_store_ids": ["asst_0001"]}]},
        {"conversation": {"id": "asst_0001"}},
        {"input": [{"type": "item_reference", "id": "asst_0001"}]},
    ],
)
async def test_a_body_may_only_refer_to_the_callers_objects(shared: Gateway, rogue: Rogue, body: object) -> None:
    await make(shared, rogue, "asst_0001")
    assert (await ask(shared, "POST", "/threads/runs", B, body)).status_code == 404
    assert not rogue.heads
    assert (await ask(shared, "POST", "/threads/runs", A, body)).status_code == 200


async def test_an_echo_makes_nobody_the_owner(shared: Gateway, rogue: Rogue) -> None:
    rogue.answer(
        "200 OK", orjson.dumps({"id": "asst_0002", "metadata": {"id": "file-victim", "file_id": "file-victim"}})
    )
    answer = await ask(shared, "POST", "/assistants", B, {"model": "gpt-4o", "metadata": {"file_id": "file-victim"}})
    assert answer.status_code == 200
    assert (await ask(shared, "GET", "/files/file-victim", B)).status_code == 404
    await make(shared, rogue, "asst_0001")
    rogue.answer("200 OK", orjson.dumps({"id": "asst_0001"}))
    await ask(shared, "POST", "/assistants", B, {"model": "gpt-4o"})
    assert (await ask(shared, "GET", "/assistants/asst_0001", B)).status_code == 404, "the first owner stays"


async def test_lists_hold_the_callers_own(shared: Gateway, rogue: Rogue) -> None:
    await make(shared, rogue, "asst_0001")
    objects = [{"id": "asst_0001"}, {"id": "asst_0009"}, "nothing"]
    rogue.answer("200 OK", orjson.dumps({"object": "list", "data": objects, "last_id": "asst_0009", "has_more": False}))
    assert (await ask(shared, "GET", "/assistants", A)).json() == {
        "object": "list",
        "data": [{"id": "asst_0001"}],
        "first_id": "asst_0001",
        "last_id": "asst_0001",
        "has_more": False,
    }
    assert (await ask(shared, "GET", "/assistants", B)).json()["data"] == []
    assert len((await ask(shared, "GET", "/assistants", ALL)).json()["data"]) == 3
    rogue.answer("200 OK", orjson.dumps({"data": objects[:2], "has_more": True}))
    rogue.heads.clear()
    page = (await ask(shared, "GET", "/assistants?limit=3", A)).json()
    assert (len(page["data"]), page["has_more"]) == (3, True)
    assert [b"after=asst_0009" in head for head in rogue.heads] == [False, True, True]
    for broken in (b"[]", b"nothing"):
        rogue.answer("200 OK", broken)
        assert (await ask(shared, "GET", "/assistants", A)).status_code == 502


async def test_a_batchs_output_belongs_to_the_batchs_owner(shared: Gateway, rogue: Rogue) -> None:
    await make(shared, rogue, "file-0001", "/assistants")
    rogue.answer("200 OK", orjson.dumps({"id": "batch_0001", "output_file_id": None}))
    assert (await ask(shared, "POST", "/batches", A, {"input_file_id": "file-0001"})).status_code == 200
    rogue.answer("200 OK", orjson.dumps({"id": "batch_0001", "output_file_id": "file-0002"}))
    assert (await ask(shared, "GET", "/files/file-0002/content", A)).status_code == 404
    assert (await ask(shared, "GET", "/batches/batch_0001", A)).status_code == 200
    assert (await ask(shared, "GET", "/files/file-0002/content", A)).status_code == 200
    assert (await ask(shared, "GET", "/files/file-0002/content", B)).status_code == 404


async def test_what_a_stream_makes_is_its_callers(shared: Gateway, rogue: Rogue) -> None:
    event = orjson.dumps({"id": "run_0001", "object": "thread.run", "thread_id": "thread_0001"})
    body = b"event: thread.run.created\ndata: %b\n\ndata: [DONE]\n\n" % event
    rogue.reply = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body
    assert (await ask(shared, "POST", "/threads/runs", A, {"stream": True})).content == body
    rogue.answer("200 OK")
    assert (await ask(shared, "GET", "/threads/thread_0001", A)).status_code == 200
    assert (await ask(shared, "GET", "/threads/thread_0001", B)).status_code == 404


@pytest.mark.parametrize("model", ["gpt-5", "GPT-5", "openai/gpt-5-pro"])
async def test_a_model_that_the_key_may_not_use_is_403_in_any_body(shared: Gateway, rogue: Rogue, model: str) -> None:
    for body in ({"model": model}, {"session": {"model": model}}):
        answer = await ask(shared, "POST", "/videos", B, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_blocked")
    form = await shared.http.post("/v1/videos", headers=B, files={"input": b"x"}, data={"model": model})
    assert form.status_code == 403
    assert not rogue.heads


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"model":"gpt-5","model":"gpt-4o"}', "application/json"),
        (b'{"model":"gpt-5"', "text/plain"),
        (b"no form", "multipart/form-data; boundary=b"),
        (b'{"model":"a//b"}', "application/json"),
    ],
)
async def test_a_body_that_parsers_read_differently_is_a_400(
    shared: Gateway, rogue: Rogue, content: bytes, content_type: str
) -> None:
    answer = await shared.http.post("/v1/videos", headers={**B, "content-type": content_type}, content=content)
    assert answer.status_code == 400
    assert not rogue.heads


async def test_only_listed_headers_go_on(shared: Gateway, rogue: Rogue) -> None:
    rogue.answer("200 OK")
    hostile = {
        "x-http-method-override": "DELETE",
        "x-original-url": "/v1/files",
        "x-rewrite-url": "/v1/files",
        "x-amz-security-token": "t",
        "x-goog-user-project": "p",
        "anthropic-api-key": "k",
        "ocp-apim-subscription-key": "k",
        "cf-connecting-ip": "1.2.3.4",
        "user-agent": "caller",
        "connection": "accept",
    }
    passed = {"openai-beta": "assistants=v2", "accept": "application/json", "range": "bytes=0-9"}
    rogue.bodies.clear()
    sent = await shared.http.request(
        "GET", "/v1/models/gpt-4o", headers={**ALL, **hostile, **passed, "x-bf-provider": "openai"}, content=b"{}"
    )
    assert sent.status_code in {200, 404}
    await ask(shared, "GET", "/assistants", {**ALL, **hostile, **passed})
    lines = rogue.lines()
    assert passed.items() <= lines.items()
    assert not (hostile.keys() - {"user-agent", "connection"}) & lines.keys()
    assert lines["user-agent"] == "finops-gateway"
    assert rogue.bodies[-1] == b"", "a body of a GET stays here"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/chat/Completions", 404),
        ("/v1/chat/completions;x", 404),
        ("/v1//files", 404),
        ("/v1/files/..;/x", 404),
        ("/v1/assistants/%252e%252e", 404),
        ("/v1/assistants/a%5cb", 404),
        ("/v1/organization/admin_api_keys", 404),
        ("/v1/assistants/asst_1/cancel", 404),
    ],
)
async def test_tricks_with_paths_lead_nowhere(shared: Gateway, rogue: Rogue, path: str, status: int) -> None:
    answer = await shared.http.request("POST", httpx.URL(shared.url, raw_path=path.encode()), headers=ALL, json={})
    assert answer.status_code == status, answer.text
    assert not rogue.heads


async def test_every_method_counts_under_the_rate_limit(start: Start, rogue: Rogue) -> None:
    key = {"value": KEY_A, "passthrough": "account", "rate_limit": {"requests": 2, "window": "1d"}}
    openai = {"base_url": rogue.url, "keys": [{"value": "sk-upstream"}]}
    gateway = await start(virtual_keys={"team-a": key}, providers={"openai": openai})
    rogue.answer("200 OK")
    for method, status in (("GET", 200), ("DELETE", 200), ("GET", 429), ("DELETE", 429)):
        assert (await ask(gateway, method, "/assistants/asst_0001", A)).status_code == status


async def test_without_virtual_keys_every_id_is_forwarded(start: Start, rogue: Rogue) -> None:
    gateway = await start(providers={"openai": {"base_url": rogue.url, "keys": [{"value": "sk-upstream"}]}})
    rogue.answer("200 OK")
    assert (await ask(gateway, "GET", "/assistants/asst_0001", {})).status_code == 200


RESPONSE = {"id": "resp_0001", "object": "response", "output": [{"type": "message", "id": "msg_0001"}]}


async def respond(gateway: Gateway, headers: dict[str, str], **more: object) -> httpx.Response:
    return await ask(gateway, "POST", "/responses", headers, {"model": "gpt-4o", "input": "hi", **more})


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_stored_response_of_the_provider_is_its_callers(
    shared: Gateway, rogue: Rogue, *, streamed: bool
) -> None:
    if streamed:
        event = orjson.dumps({"type": "response.completed", "response": RESPONSE})
        rogue.reply = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: %b\n\n" % event
    else:
        rogue.answer("200 OK", orjson.dumps(RESPONSE))
    assert (await respond(shared, A, stream=streamed)).status_code == 200
    rogue.answer("200 OK", orjson.dumps({**RESPONSE, "id": "resp_0002"}))
    reference = [{"type": "item_reference", "id": "msg_0001"}]
    for uses in ({"previous_response_id": "resp_0001"}, {"input": reference}, {"conversation": "conv_unknown"}):
        rogue.heads.clear()
        refused = await respond(shared, B, **uses)
        assert refused.status_code == 404
        assert not rogue.heads
        job = await ask(
            shared, "POST", "/responses", {**B, "x-bf-async": "true"}, {"model": "gpt-4o", "input": "", **uses}
        )
        assert job.status_code == 404
        expected = 404 if "conversation" in uses else 200
        assert (await respond(shared, A, **uses)).status_code == expected
        assert (await respond(shared, ALL, **uses)).status_code == 200
    assert (await ask(shared, "GET", "/responses/resp_0001", A)).status_code == 200
    assert (await ask(shared, "GET", "/responses/resp_0001", B)).status_code == 404


async def test_a_file_in_a_chat_is_its_callers(shared: Gateway, rogue: Rogue) -> None:
    await make(shared, rogue, "file-0001")
    for key in ("file_id", "file\\u005fid"):
        body = b'{"model":"gpt-4o","messages":[{"role":"user","content":[{"file":{"%b":"file-0001"}}]}]}' % key.encode()
        for headers, status in ((A, 200), (B, 404)):
            answer = await shared.http.post("/openai/chat/completions", content=body, headers=headers)
            assert answer.status_code == status


async def test_a_chat_is_recorded_where_the_provider_keeps_it(shared: Gateway, rogue: Rogue) -> None:
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    for number, store in enumerate((False, True)):
        rogue.answer("200 OK", orjson.dumps({"id": f"chatcmpl-{number}", "choices": []}))
        await ask(shared, "POST", "/chat/completions", A, {**chat, "store": store})
        found = await ask(shared, "GET", f"/chat/completions/chatcmpl-{number}", A)
        assert found.status_code == (200 if store else 404)
