"""The Files API: which files are stored here and which are forwarded, who sees them, and hostile uploads."""

import json

import httpx
import openai
import pytest

from api.http.bodies import replay
from tests.api.batch_work import create, line, upload, work_off
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start
from tests.waiting import wait_until

UPSTREAM = {"keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
TENANTS = {"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B, "models": ["sim/*"]}}


def providers(sim, **more) -> dict[str, object]:
    """OpenAI, who has batches, and two who have none."""
    openai_wire = {**UPSTREAM, "wire": "openai", "base_url": sim.base_url}
    claude = {**UPSTREAM, "wire": "anthropic", "base_url": sim.base_url.removesuffix("/v1")}
    return {"openai": openai_wire, "sim": openai_wire, "claude": claude, **more}


@pytest.fixture
async def gateway(start: Start, sim) -> Gateway:
    return await start(providers=providers(sim), aliases={"quick": "openai/gpt-4o"})


@pytest.fixture
async def tenants(start: Start, sim) -> Gateway:
    return await start(providers=providers(sim), virtual_keys=TENANTS)


async def send(gateway: Gateway, content: str | bytes, headers: dict[str, str] | None = None, **fields: str):
    form = {"purpose": "batch", **fields}
    return await gateway.http.post("/v1/files", data=form, files={"file": ("in.jsonl", content)}, headers=headers)


async def is_ours(gateway: Gateway, file_id: str) -> bool:
    return bool(await gateway.services.commands.execute("EXISTS", f"finops:file:{file_id}"))


@pytest.mark.parametrize(
    ("content", "ours"),
    [
        (line(model="openai/gpt-4o"), False),
        (f"{line(model='gpt-4o')}\n{line(model='openai/gpt-4o')}", False),
        (line(model="sim/x"), True),
        (line(model="claude/x"), True),
        (f"{line(model='gpt-4o')}\n{line(model='sim/x')}", True),
        (line(model="quick"), True),
        (line(model="nobody/x"), True),
        (line(model="gpt-4o", fallbacks=["sim/x"]), True),
        ("{no json", True),
        ('"text"', True),
        (b"\xff\xfe", True),
        ("", True),
    ],
)
async def test_a_file_goes_where_one_provider_can_run_it(gateway: Gateway, content: str | bytes, ours: bool):
    answer = await send(gateway, content)
    assert answer.status_code == 200, answer.text
    assert await is_ours(gateway, answer.json()["id"]) == ours


async def test_a_providers_batch_is_made_and_run_there(gateway: Gateway):
    content = f"{line('a', 'openai/gpt-4o')}\n{line('b', 'gpt-4o')}\n\nnothing/openai/\n"
    client = gateway.sdk()
    file = await client.files.create(
        file=('a".jsonl', content.encode()), purpose="batch", extra_body={"provider": "openai"}
    )
    sent = (await client.files.content(file.id)).text
    assert [json.loads(text)["body"]["model"] for text in sent.splitlines()[:2]] == ["gpt-4o", "gpt-4o"]
    assert sent.splitlines()[2:] == ["", "nothing/openai/"]
    again = await client.files.create(file=("b.jsonl", line(model="gpt-4o").encode()), purpose="batch")
    batch = await client.batches.create(
        input_file_id=again.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert not await gateway.services.commands.execute("EXISTS", f"finops:batch:{batch.id}")
    assert (await client.batches.retrieve(batch.id)).id == batch.id


async def test_who_names_a_provider_is_obeyed(gateway: Gateway):
    there = await send(gateway, line(model="sim/x"), {"x-bf-provider": "openai"})
    assert not await is_ours(gateway, there.json()["id"])
    here = await send(gateway, line(model="gpt-4o"), provider="finops")
    assert await is_ours(gateway, here.json()["id"])
    nowhere = await send(gateway, line(model="gpt-4o"), {"x-bf-provider": "claude"})
    assert nowhere.status_code == 501
    refused = await send(gateway, line(model="gpt-4o"), provider="a b\r\nx: y")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "provider")


async def test_files_of_other_purposes_are_not_looked_into(gateway: Gateway):
    client = gateway.sdk()
    file = await client.files.create(file=("notes.txt", b"anything"), purpose="assistants")
    assert not await is_ours(gateway, file.id)
    assert (await client.files.retrieve(file.id)).filename == "notes.txt"
    assert (await client.files.content(file.id)).content == b"anything"
    assert (await client.files.delete(file.id)).deleted


async def test_a_key_that_may_not_use_all_of_a_provider_has_its_batches_run_here(start: Start, sim):
    keys = {"team-a": {"value": KEY_A, "models": ["openai/gpt-4o"]}}
    gateway = await start(providers=providers(sim), virtual_keys=keys)
    kept = await send(gateway, line(model="openai/gpt-4o"), {"x-bf-vk": KEY_A})
    assert await is_ours(gateway, kept.json()["id"])
    body = {"input_file_id": kept.json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = await gateway.post("/v1/batches", body, headers={"x-bf-vk": KEY_A})
    assert (await work_off(gateway, made.json()["id"]))["request_counts"]["completed"] == 1


async def test_a_key_with_limits_has_its_batches_run_here(start: Start, sim):
    keys = {"team-a": {"value": KEY_A, "budget": {"limit_usd": 1.0, "window": "1d"}}}
    gateway = await start(providers=providers(sim), virtual_keys=keys)
    kept = await send(gateway, line(model="openai/gpt-4o"), {"x-bf-vk": KEY_A})
    assert await is_ours(gateway, kept.json()["id"])


async def test_a_large_file_is_taken_piece_by_piece(gateway: Gateway):
    content = "\n".join(line(str(number), "sim/x", user="u" * 200_000) for number in range(15)).encode()
    assert len(content) > gateway.services.settings.server.max_body_bytes * 2
    answer = await send(gateway, content)
    file = answer.json()
    assert (file["bytes"], file["purpose"], file["status"]) == (len(content), "batch", "processed")
    read = await gateway.http.get(f"/openai/files/{file['id']}/content")
    assert read.content == content
    there = await send(gateway, content, {"x-bf-provider": "openai"})
    assert there.status_code == 200
    assert not [
        key
        for key in await gateway.services.commands.execute("KEYS", "finops:file:*")
        if file["id"] not in key.decode()
    ]
    batch = await gateway.post(
        "/v1/batches", {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    )
    assert (await work_off(gateway, batch.json()["id"], window=4))["request_counts"]["completed"] == 15


async def test_what_is_too_large_is_a_413(start: Start, sim):
    gateway = await start(providers=providers(sim), files={"max_mb": 2, "max_stored_mb_per_key": 3})
    too_large = await send(gateway, b"x" * 2_200_000)
    assert (too_large.status_code, "files.max_mb" in too_large.text) == (413, True)
    other = await send(gateway, b"x" * 1_500_000, purpose="assistants")
    assert (other.status_code, "server.max_body_mb" in other.text) == (413, True)
    far = await send(gateway, b"x" * 3_300_000)
    assert far.status_code == 413
    fields = await gateway.http.post(
        "/v1/files",
        data={"purpose": "batch", **{f"f{number}": "x" * 300_000 for number in range(5)}},
        files={"file": ("a", b"")},
    )
    assert fields.status_code == 413
    assert (await send(gateway, b"x" * 1_900_000)).status_code == 200
    full = await send(gateway, b"x" * 1_900_000)
    assert (full.status_code, full.json()["error"]["code"]) == (413, "storage_full")
    assert len(await gateway.services.commands.execute("KEYS", "finops:file:*")) == 3


async def test_a_name_cannot_leave_its_header(gateway: Gateway):
    name = 'a"b%0d%0aset-cookie: x=1é.jsonl'
    form = (
        b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--B\r\n'
        b'content-disposition: form-data; name="file"; filename="a\tb\x01\xc3\xa9; x=\\"1\\".jsonl"\r\n\r\n'
        + line(model="sim/x").encode()
        + b"\r\n--B--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=B"}
    file = (await gateway.http.post("/v1/files", content=form, headers=headers)).json()
    assert file["filename"].isprintable()
    assert "é" in file["filename"]
    content = await gateway.http.get(f"/v1/files/{file['id']}/content")
    assert content.headers["content-disposition"].isascii()
    assert "\r" not in content.headers["content-disposition"]
    sent = await gateway.http.post("/v1/files", data={"purpose": "batch"}, files={"file": (name, line(model="gpt-4o"))})
    assert sent.status_code == 200
    assert "set-cookie" not in sent.headers


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "created_at"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"}, "expires_after[seconds]"),
        ({"expires_after[seconds]": "٣٦٠٠"}, "expires_after[seconds]"),
    ],
)
async def test_a_lifetime_that_is_none_is_a_400(gateway: Gateway, fields: dict[str, str], param: str):
    refused = await send(gateway, line(model="sim/x"), **fields)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_a_file_lives_as_long_as_it_says(gateway: Gateway):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "7200"}
    file = (await send(gateway, line(model="sim/x"), **fields)).json()
    assert file["expires_at"] == file["created_at"] + 7200
    assert 7100 < await gateway.services.commands.execute("TTL", f"finops:file:{file['id']}:0") <= 7200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--B\r\n",
        b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--B--\r\n',
        b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--B\r\nrubbish',
        b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--Bx',
        b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        + b'--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n' * 2
        + b"--B--\r\n",
    ],
)
async def test_a_form_that_is_none_is_refused(gateway: Gateway, body: bytes):
    headers = {"content-type": "multipart/form-data; boundary=B"}
    answer = await gateway.http.post("/v1/files", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]
    assert not await gateway.services.commands.execute("KEYS", "finops:file:*")


async def test_an_upload_that_is_no_form_is_forwarded(gateway: Gateway):
    answer = await gateway.post("/v1/files", {"purpose": "batch"})
    assert answer.status_code == 400


async def test_a_caller_that_hangs_up_leaves_nothing(gateway: Gateway):
    async def half():
        yield b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        yield b'--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 3_000_000
        raise httpx.ReadError("gone")

    with pytest.raises(httpx.ReadError):
        await gateway.http.post(
            "/v1/files", content=half(), headers={"content-type": "multipart/form-data; boundary=B"}
        )

    async def clean() -> bool:
        return not await gateway.services.commands.execute("KEYS", "finops:file:*")

    await wait_until(clean)


async def test_what_is_one_keys_is_unknown_to_another(tenants: Gateway):
    file = await upload(tenants, line(model="sim/x"), KEY_A)
    batch = await create(tenants, line(model="sim/x"), KEY_A)
    paths = [f"files/{file['id']}", f"files/{file['id']}/content", f"batches/{batch['id']}"]
    for path in paths:
        assert (await tenants.http.get(f"/v1/{path}", headers={"x-bf-vk": KEY_A})).status_code == 200
        assert (await tenants.http.get(f"/v1/{path}", headers={"x-bf-vk": ADMIN_KEY})).status_code == 200
        for headers in ({"x-bf-vk": KEY_B}, {}):
            unknown = await tenants.http.get(f"/v1/{path}", headers=headers)
            assert unknown.status_code == 404, path
            assert unknown.headers["x-should-retry"] == "false"
    other = {"x-bf-vk": KEY_B}
    assert (await tenants.http.delete(f"/v1/files/{file['id']}", headers=other)).status_code == 404
    assert (await tenants.http.post(f"/v1/batches/{batch['id']}/cancel", headers=other)).status_code == 404
    body = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert (await tenants.post("/v1/batches", body, headers=other)).status_code == 404
    listed = await tenants.http.get("/v1/files", headers={"x-bf-vk": KEY_A})
    assert len(listed.json()["data"]) == 2
    for cursor in (f"files?after={file['id']}", f"batches?after={batch['id']}"):
        assert (await tenants.http.get(f"/v1/{cursor}", headers=other)).status_code == 400


async def test_ids_of_ours_that_name_nothing_are_404(gateway: Gateway):
    file, batch = await upload(gateway, line(model="sim/x")), await create(gateway, line(model="sim/x"))
    await gateway.services.commands.execute("DEL", f"finops:file:{file['id']}", f"finops:batch:{batch['id']}")
    assert (await gateway.http.get(f"/v1/files/{file['id']}")).status_code == 404
    assert (await gateway.http.delete(f"/v1/files/{file['id']}")).status_code == 404
    assert (await gateway.http.get(f"/v1/batches/{batch['id']}")).status_code == 404
    with pytest.raises(openai.NotFoundError):
        await gateway.sdk().batches.retrieve("batch_fictional")


async def test_lists_go_on_with_the_providers_own(gateway: Gateway):
    client = gateway.sdk()
    theirs = await client.files.create(file=("a.txt", b"x"), purpose="assistants")
    ours = [(await upload(gateway, line(model="sim/x")))["id"] for _ in range(5)]
    files = [file.id async for file in client.files.list(limit=2)]
    assert files == [*reversed(ours), theirs.id]
    oldest = await client.files.list(order="asc", limit=3, purpose="batch")
    assert [file.id for file in oldest.data] == ours[:3]
    there = await client.files.list(extra_headers={"x-bf-provider": "openai"})
    assert [file.id for file in there.data] == [theirs.id]
    made = [(await create(gateway, line(model="sim/x")))["id"] for _ in range(3)]
    batches = [batch.id async for batch in client.batches.list(limit=2)]
    assert batches[:3] == list(reversed(made))
    rest = await client.batches.list(after=made[0])
    assert rest.data == []


async def test_a_list_of_the_gateway_alone_asks_no_provider(gateway: Gateway):
    for kind in ("files", "batches"):
        listed = (await gateway.http.get(f"/v1/{kind}", headers={"x-bf-provider": "finops"})).json()
        assert (listed["data"], listed["has_more"]) == ([], False)


async def test_without_such_a_provider_lists_end_with_ours(start: Start, sim):
    gateway = await start(providers={"sim": providers(sim)["sim"]}, virtual_keys=TENANTS)
    assert (await gateway.http.get("/v1/files")).json()["data"] == []
    await create(gateway, line(model="sim/x"), KEY_A)
    listed = (await gateway.http.get("/v1/batches", headers={"x-bf-vk": KEY_A})).json()
    assert (len(listed["data"]), listed["has_more"]) == (1, False)
    assert (await gateway.http.get("/v1/batches")).json()["data"] == []


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("files?limit=0", "limit"),
        ("files?order=up", "order"),
        ("batches?limit=101", "limit"),
        ("batches?limit=x", "limit"),
    ],
)
async def test_a_list_that_cannot_be_is_a_400(gateway: Gateway, path: str, param: str):
    refused = await gateway.http.get(f"/v1/{path}")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_a_file_in_use_stays(gateway: Gateway):
    batch = await create(gateway, line(model="sim/x"))
    path = f"/v1/files/{batch['input_file_id']}"
    refused = await gateway.http.delete(path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "file_in_use")
    await work_off(gateway, batch["id"])
    assert (await gateway.http.delete(path)).json() == {"id": batch["input_file_id"], "object": "file", "deleted": True}


async def test_a_file_that_goes_while_it_is_read_is_a_404(gateway: Gateway):
    file = await upload(gateway, line(model="sim/x"))
    await gateway.services.commands.execute("DEL", f"finops:file:{file['id']}:0")
    assert (await gateway.http.get(f"/v1/files/{file['id']}/content")).status_code == 404


BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"endpoint": "/v1/audio/speech"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"output_expires_after": 5}, "output_expires_after"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": True}}, "output_expires_after.seconds"),
    ],
)
async def test_a_batch_that_cannot_be_is_a_400(gateway: Gateway, more: dict[str, object], param: str):
    file = await upload(gateway, line(model="sim/x"))
    refused = await gateway.post("/v1/batches", {**BATCH, "input_file_id": file["id"], **more})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"input_file_id":1}', b'{"input_file_id":"file-abc"}'])
async def test_a_batch_of_a_providers_file_is_forwarded(gateway: Gateway, body: bytes):
    answer = await gateway.http.post("/v1/batches", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500


async def test_an_output_cannot_be_the_input_of_another(gateway: Gateway):
    batch = await work_off(gateway, (await create(gateway, line(model="sim/x")))["id"])
    refused = await gateway.post("/v1/batches", {**BATCH, "input_file_id": batch["output_file_id"]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input_file_id")


async def test_outputs_live_as_long_as_asked(gateway: Gateway):
    made = await create(gateway, line(model="sim/x"), output_expires_after={"anchor": "created_at", "seconds": 3600})
    batch = await work_off(gateway, made["id"])
    file = (await gateway.http.get(f"/v1/files/{batch['output_file_id']}")).json()
    assert file["expires_at"] - file["created_at"] == 3600


async def test_the_same_request_again_is_the_same_batch(gateway: Gateway):
    file = await upload(gateway, line(model="sim/x"))
    body = {**BATCH, "input_file_id": file["id"]}
    bearer, retry = {"authorization": "Bearer sk-mine"}, {"x-stainless-retry-count": "1"}
    first = (await gateway.post("/v1/batches", body, headers=bearer)).json()["id"]
    blind = await gateway.post("/v1/batches", body, headers={**bearer, **retry})
    assert blind.json()["id"] == first
    unknown = [(await gateway.post("/v1/batches", body, headers=retry)).json()["id"] for _ in range(2)]
    assert len({first, *unknown}) == 3, "callers without any identity may be two"
    key = {"Idempotency-Key": "k"}
    named = (await gateway.post("/v1/batches", body, headers=key)).json()["id"]
    assert named != first
    assert (await gateway.post("/v1/batches", body, headers=key)).json()["id"] == named
    conflict = await gateway.post("/v1/batches", {**body, "metadata": {"a": "b"}}, headers=key)
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "idempotency_conflict")


async def test_too_many_batches_an_hour_are_refused(gateway: Gateway):
    file = await upload(gateway, line(model="sim/x"))
    now_us = int((await gateway.services.commands.execute("TIME"))[0]) * 1_000_000
    many = [text for number in range(2000) for text in (now_us, f"b{number}")]
    await gateway.services.commands.execute("ZADD", "finops:owner:-:batches", *many)
    refused = await gateway.post("/v1/batches", {**BATCH, "input_file_id": file["id"]})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")


async def test_jobs_go_on_beside_a_batch(gateway: Gateway):
    batch = await create(gateway, "\n".join(line(str(n), "sim/x") for n in range(5)))
    job_id = await gateway.submit(CHAT)
    await work_off(gateway, batch["id"])
    assert (await gateway.poll(job_id)).json()["choices"]


async def test_a_form_that_breaks_before_it_says_what_it_is_for_is_the_providers_affair(gateway: Gateway):
    headers = {"content-type": "multipart/form-data; boundary=B"}
    parts = [b"--B\r\n", b"rubbish\r\n", b"more"]

    async def body():
        for part in parts:
            yield part

    answer = await gateway.http.post("/v1/files", content=body(), headers=headers)
    assert answer.status_code == 400


async def test_a_providers_batches_are_listed_for_who_names_it(gateway: Gateway):
    await create(gateway, line(model="sim/x"))
    there = await gateway.http.get("/v1/batches", headers={"x-bf-provider": "openai"})
    assert there.json()["data"] == []
    past = await gateway.http.get("/v1/batches?after=batch_theirs")
    assert past.status_code in {200, 400}


async def test_a_request_that_was_read_can_be_read_again():
    hangup = {"type": "http.disconnect"}

    async def receive():
        return hangup

    again = replay(b"body", receive)
    assert (await again())["body"] == b"body"
    assert await again() is hangup


async def test_a_store_that_is_away_takes_no_file_and_says_so(start: Start, sim):
    gateway = await start(redis_url="redis://127.0.0.1:9/0", providers=providers(sim))
    answer = await send(gateway, line(model="sim/x"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    forwarded = await send(gateway, line(model="gpt-4o"))
    assert forwarded.status_code == 503, "nobody knows whether there are virtual keys"
