"""The simulated Ollama, and the simulated token endpoints."""

import base64
import json
import time

import httpx
import orjson
import pytest

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.fixture
async def plain(sim):
    async with httpx.AsyncClient(base_url=sim.origin, trust_env=False) as client:
        yield client


async def test_ollama_streams_lines_unless_told_not_to(plain):
    reply = await plain.post("/api/chat", json={"model": "qwen3", "messages": HI, "think": True})
    assert reply.headers["content-type"] == "application/x-ndjson"
    lines = [orjson.loads(line) for line in reply.content.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    whole = (
        await plain.post("/api/chat", json={"model": "qwen3", "messages": HI, "think": True, "stream": False})
    ).json()
    for name in ("content", "thinking"):
        assert "".join(line["message"].get(name, "") for line in lines) == whole["message"][name]
    assert (lines[-1]["eval_count"], lines[-1]["done_reason"]) == (whole["eval_count"], "stop")


async def test_ollama_calls_tools_whole_and_keeps_to_formats(plain):
    async def ask(**params):
        reply = await plain.post("/api/chat", json={"model": "m", "messages": HI, "stream": False, **params})
        return reply.json()["message"]

    assert (await ask(tools=[TOOL]))["tool_calls"][0]["function"] == {"index": 0, "name": "look", "arguments": {}}
    assert json.loads((await ask(format="json"))["content"]).keys() == {"answer"}
    assert (await ask(format={"type": "integer"}))["content"].isdigit()
    messages = [
        *HI,
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": {}}}]},
        {"role": "tool"},
    ]
    assert "tool_calls" not in await ask(tools=[TOOL], messages=messages)
    assert (await ask(model="sim-echo", options={"num_predict": 1, "stop": ["z"]}))["content"] == "Hi"


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/api/chat", {"messages": HI}, "model is required"),
        ("/api/chat", {"model": "m", "messages": "Hi"}, "list of messages"),
        ("/api/chat", {"model": "m", "messages": [{"role": "developer"}]}, "invalid role"),
        ("/api/chat", {"model": "m", "messages": [{"role": "user", "content": []}]}, "of type string"),
        (
            "/api/chat",
            {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]},
            "arguments",
        ),
        ("/api/chat", {"model": "m", "messages": HI, "format": "xml"}, "invalid format"),
        ("/api/chat", {"model": "m", "messages": HI, "options": 1}, "options"),
        ("/api/embed", {"model": "m", "input": [1]}, "invalid input"),
    ],
)
async def test_ollama_refuses_in_plain_text(plain, path, body, error):
    reply = await plain.post(path, json=body)
    assert reply.status_code == 400
    assert error in reply.json()["error"]


async def test_ollama_embeds_and_lists(plain):
    one = (await plain.post("/api/embed", json={"model": "m", "input": "a", "dimensions": 3})).json()
    assert len(one["embeddings"][0]) == 3
    assert (await plain.get("/api/tags")).json()["models"][0]["name"] == "llama3.1:8b"
    assert "version" in (await plain.get("/api/version")).json()


async def test_ollama_breaks_off_with_an_error_line(plain):
    reply = await plain.post("/api/chat", json={"model": "m@error_event=1", "messages": HI})
    assert "error" in orjson.loads(reply.content.splitlines()[-1])


def assertion(head=None, **claims):
    now = int(time.time())
    known = {
        "iss": "robot",
        "aud": "https://oauth2.googleapis.com/token",
        "scope": "s",
        "iat": now,
        "exp": now + 3600,
    }
    parts = [orjson.dumps({"alg": "RS256"} | (head or {})), orjson.dumps(known | claims), b"signature"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIST = base64.urlsafe_b64encode(b"[]").decode()


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": GRANT, "assertion": assertion()}, None),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": GRANT}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": "a.b.c"}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": f"{LIST}.{LIST}.{LIST}"}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion({"alg": "HS256"})}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion(iss="invalid")}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion(aud="elsewhere")}, "invalid_scope"),
        ({"grant_type": GRANT, "assertion": assertion(scope="")}, "invalid_scope"),
        ({"grant_type": GRANT, "assertion": assertion(exp=2**40)}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion(iat=1, exp=2)}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": assertion(iat="now")}, "invalid_grant"),
    ],
)
async def test_googles_token_endpoint(plain, form, error):
    reply = await plain.post("/token", data=form)
    assert reply.status_code == (400 if error else 200)
    assert reply.json().get("error") == error
    if not error:
        assert reply.json()["access_token"].startswith("ya29.")


SECRET = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b", "scope": "https://x/.default"}


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        (SECRET, 200, None),
        ({**SECRET, "grant_type": "password"}, 400, "unsupported_grant_type"),
        ({**SECRET, "client_id": ""}, 400, "invalid_request"),
        ({**SECRET, "scope": "x"}, 400, "invalid_scope"),
        ({**SECRET, "client_secret": "invalid"}, 401, "invalid_client"),
    ],
)
async def test_entras_token_endpoint(plain, sim, form, status, error):
    reply = await plain.post("/my-tenant/oauth2/v2.0/token", data=form)
    assert (reply.status_code, reply.json().get("error")) == (status, error)
    sim.script(path="/my-tenant/*", status=503)
    away = await plain.post("/my-tenant/oauth2/v2.0/token", data=form)
    assert (away.status_code, away.json()["error"]) == (503, "temporarily_unavailable")
