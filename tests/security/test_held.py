"""What the security review tried in vain, tried again."""

import asyncio
import itertools

import httpx
import pytest

from shared.surfaces.multipart import MAX_PARTS, MalformedForm, form_fields
from tests.api.batch_work import create, line
from tests.api.conftest import CHAT, KEY_A, KEY_B, Gateway, Start
from tests.rogue import rogue_upstream

OWNER = {"x-bf-vk": KEY_A}
STRANGERS = ({"x-bf-vk": KEY_B}, {"authorization": "Bearer sk-another-clients"}, {})
PREFIXES = ("/v1", "/openai", "/openai/v1")
MESSAGE = {"model": "openai/gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}


async def objects_of_one_key(gateway: Gateway) -> dict[str, str]:
    """Make one of everything; return the ids by kind."""
    waiting = await gateway.submit(**OWNER)
    done = await gateway.submit(**OWNER)
    body = {"model": "sim/gpt-4o", "input": "hello", "background": True}
    response = (await gateway.post("/v1/responses", body, headers=OWNER)).json()
    claims = {claim.id: claim for claim in await gateway.worker.claim(3)}
    await gateway.worker.complete(claims[done])
    batch = await create(gateway, line(model="sim/x"), KEY_A)
    made = {"waiting": waiting, "done": done, "response": response["id"]}
    return {**made, "batch": batch["id"], "file": batch["input_file_id"]}


def probes(ids: dict[str, str]) -> list[tuple[str, str, dict[str, str], object]]:
    """Method, path, headers and body of every request that would read, change or remove one of the objects."""
    found: list[tuple[str, str, dict[str, str], object]] = []
    jobs = (ids["waiting"], ids["done"])
    for job, (method, tail) in itertools.product(
        jobs,
        [("GET", ""), ("GET", "/content"), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")],
    ):
        found.append((method, f"/v1/async/jobs/{job}{tail}", {}, None))
    for job in jobs:
        found += [("GET", f"/v1/async/chat/completions/{job}{tail}", {}, None) for tail in ("", "/content")]
        polled = {"x-bf-async-id": job}
        chats = [f"{prefix}/chat/completions" for prefix in PREFIXES]
        chats += ["/v1/async/chat/completions", "/openai/deployments/sim/gpt-4o/chat/completions"]
        found += [("POST", path, polled, CHAT) for path in chats]
        found.append(("POST", "/anthropic/v1/messages", polled, MESSAGE))
        content = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
        found.append(("POST", "/genai/v1beta/models/gpt-4o:generateContent", polled, content))
    for prefix in PREFIXES:
        response, file, batch = (
            f"{prefix}/{kind}s/{ids[kind]}".replace("batchs", "batches") for kind in ("response", "file", "batch")
        )
        found += [
            ("GET", path, {}, None) for path in (response, f"{response}/input_items", file, f"{file}/content", batch)
        ]
        found += [("POST", f"{path}/cancel", {}, None) for path in (response, batch)]
        found += [("DELETE", path, {}, None) for path in (response, file)]
    return found


async def test_nothing_of_one_key_is_there_for_another(tenants: Gateway) -> None:
    ids = await objects_of_one_key(tenants)

    async def ask(stranger: dict[str, str], probe: tuple[str, str, dict[str, str], object]) -> str:
        method, path, headers, body = probe
        answer = await tenants.http.request(method, path, headers={**headers, **stranger}, json=body)
        return (
            "" if answer.status_code == 404 else f"{method} {path} {stranger}: {answer.status_code} {answer.text[:80]}"
        )

    tried = list(itertools.product(STRANGERS, probes(ids)))
    assert len(tried) > 150
    leaks = await asyncio.gather(*(ask(*one) for one in tried))
    assert not [leak for leak in leaks if leak]
    for lists in ("/v1/async/jobs", "/v1/files", "/v1/batches"):
        page = (await tenants.http.get(lists, headers={"x-bf-vk": KEY_B, "x-bf-provider": "finops"})).text
        assert not any(made in page for made in ids.values())
    for kind, path in (("waiting", "/v1/async/jobs"), ("response", "/v1/responses"), ("file", "/v1/files")):
        own = await tenants.http.get(f"{path}/{ids[kind]}", headers=OWNER)
        assert own.status_code in {200, 202}, own.text  # nothing was changed or removed


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model": "sim/gpt-4o", "messages": "\ud800"}',
        rb'{"model": "sim/gpt-4o", "messages": [], "temperature": 1e999}',
        b'{"model": "sim/gpt-4o", "messages": [], "user": "a\x00b"}',
        b'{"model": "sim/gpt-4o", "messages": [], "temperature": -Infinity}',
        b'{"model": "sim/gpt-4o", "messages": [], "max_tokens": 1' + b"0" * 400 + b"}",
    ],
)
async def test_odd_json_is_a_400(gateway: Gateway, body: bytes) -> None:
    answer = await gateway.http.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400, answer.text


BOUNDARY = b"--b\r\n"
FIELD = b'content-disposition: form-data; name="a"\r\n\r\n1\r\n'


@pytest.mark.parametrize(
    "body",
    [
        (BOUNDARY + FIELD) * (MAX_PARTS + 1) + b"--b--\r\n",
        BOUNDARY + b"a: b\r\n" * 200_000 + b"\r\n\r\n--b--\r\n",
        BOUNDARY + b"a: " + b"b" * 2_000_000,
        BOUNDARY + b'content-disposition: form-data; name="a"\r\n\r\n' + b"\r\n--" * 400_000,
        b"\r" * 2_000_000,
        b"--" * 1_000_000,
    ],
    ids=["parts", "headers", "header", "near-boundaries", "returns", "dashes"],
)
def test_a_multipart_flood_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedForm):
        form_fields(body, "multipart/form-data; boundary=b")


async def test_a_path_or_query_cannot_carry_a_line_break_to_a_provider(gateway: Gateway, sim) -> None:
    for path in (b"/v1/assistants/a%0d%0ax:%20y", b"/v1/models?a=%0d%0ax:%20y"):
        await gateway.http.get(httpx.URL(gateway.url, raw_path=path))
    for request in sim.requests:
        assert "x" not in request.headers


async def test_no_other_origin_is_let_in_and_the_host_is_never_used(gateway: Gateway) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST", "host": "evil.example"}
    for method, path in [("OPTIONS", "/v1/chat/completions"), ("GET", "/v1/batches"), ("GET", "/"), ("GET", "/ui")]:
        answer = await gateway.http.request(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "evil.example" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("wire", ["openai", "anthropic", "gemini", "ollama"])
async def test_a_models_name_changes_no_path_and_an_images_address_is_never_called(start: Start, wire: str) -> None:
    key = [{"value": "sk-upstream-key-0123456789"}]
    async with rogue_upstream() as provider, rogue_upstream() as images:
        provider.answer("400 Bad Request")
        up = {"wire": wire, "base_url": f"http://127.0.0.1:{provider.port}/base", "keys": key}
        gateway = await start(providers={"up": up})
        image = {"type": "image_url", "image_url": {"url": f"{images.url}/a.png"}}
        for model in ("m/../../../admin", "m%2f..%2f..", "m?a=b", "m#c", "m:streamGenerateContent?x=y", "m x"):
            body = {"model": f"up/{model}", "messages": [{"role": "user", "content": [image]}]}
            assert (await gateway.post("/v1/chat/completions", body)).status_code == 400
        targets = [head.split(b" ")[1] for head in provider.heads]
        assert images.heads == []
    for target in targets:
        assert target.startswith(b"/base/")
        assert not {b"..", b"admin", b"a=b", b"x=y"} & set(target.replace(b"?", b"/").split(b"/"))
