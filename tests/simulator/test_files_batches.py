"""Files and batches, judged by OpenAI's client."""

import json

import openai
import pytest

USER = [{"role": "user", "content": "Hello"}]


def line(custom_id: str, **changes) -> dict:
    body = {"model": "gpt-4o", "messages": USER}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}


async def upload(client, *lines) -> openai.types.FileObject:
    content = b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)
    return await client.files.create(file=("batch.jsonl", content), purpose="batch")


async def start(client, *lines) -> openai.types.Batch:
    file = await upload(client, *lines)
    return await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
    )


async def test_a_file_lives_from_upload_to_deletion(client):
    file = await client.files.create(file=("notes.txt", b"some notes"), purpose="user_data")
    assert (file.filename, file.bytes, file.status, file.expires_at) == ("notes.txt", 10, "processed", None)
    assert (await client.files.retrieve(file.id)) == file
    assert (await client.files.content(file.id)).content == b"some notes"
    assert (await client.files.delete(file.id)).deleted is True
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(file.id)


async def test_files_are_listed_newest_first_and_by_purpose(client):
    older = await client.files.create(file=("a", b"a"), purpose="user_data")
    newer = await client.files.create(file=("b", b"b"), purpose="batch")
    assert [file.id async for file in client.files.list(limit=1)] == [newer.id, older.id]
    assert [file.id async for file in client.files.list(purpose="user_data")] == [older.id]
    assert newer.expires_at == newer.created_at + 30 * 86_400


@pytest.mark.parametrize(
    ("fields", "files", "param"),
    [
        ({"purpose": "batch"}, {"other": b"x"}, "file"),
        ({}, {"file": b"x"}, "purpose"),
        ({"purpose": "fun"}, {"file": b"x"}, "purpose"),
    ],
)
async def test_a_wrong_upload_is_refused(http, fields, files, param):
    reply = await http.post("/files", data=fields, files=files)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_a_batch_answers_its_lines_and_keeps_failures_apart(client):
    bad = line("bad", body={"model": "gpt-4o@status=500", "messages": USER})
    wrong = line("wrong", body={"model": "gpt-4o"})
    streamed = line("streamed", body={"model": "gpt-4o", "messages": USER, "stream": True})
    batch = await start(client, line("good"), b"", bad, wrong, streamed)
    assert batch.status == "validating"
    running = await client.batches.retrieve(batch.id)
    assert (running.status, running.request_counts.total) == ("in_progress", 4)
    done = await client.batches.retrieve(batch.id)
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 1, 3)
    output = json.loads((await client.files.content(done.output_file_id)).text)
    assert (output["custom_id"], output["response"]["status_code"]) == ("good", 200)
    assert output["response"]["body"]["object"] == "chat.completion"
    errors = [json.loads(row) for row in (await client.files.content(done.error_file_id)).text.splitlines()]
    assert [(row["custom_id"], row["response"]["status_code"]) for row in errors] == [
        ("bad", 500),
        ("wrong", 400),
        ("streamed", 400),
    ]
    assert (await client.batches.retrieve(batch.id)) == done


async def test_a_batch_without_failures_has_no_error_file(client):
    batch = await start(client, line("good"))
    for _ in range(2):
        batch = await client.batches.retrieve(batch.id)
    assert batch.output_file_id
    assert batch.error_file_id is None


async def test_a_broken_file_fails_the_batch_line_by_line(client):
    batch = await start(
        client,
        line("a"),
        line("a"),
        b"{",
        b"[]",
        line("b", url="/v1/embeddings"),
        {"custom_id": "c"},
    )
    failed = await client.batches.retrieve(batch.id)
    assert failed.status == "failed"
    assert [(error.line, error.code) for error in failed.errors.data] == [
        (2, "duplicate_custom_id"),
        (3, "invalid_json_line"),
        (4, "invalid_json_line"),
        (5, "mismatched_endpoint"),
        (6, "missing_required_parameter"),
    ]


async def test_an_empty_or_deleted_file_fails_the_batch(client):
    batch = await start(client)
    failed = await client.batches.retrieve(batch.id)
    assert failed.errors.data[0].code == "empty_file"
    batch = await start(client, line("a"))
    await client.files.delete(batch.input_file_id)
    assert (await client.batches.retrieve(batch.id)).status == "failed"


async def test_a_batch_can_be_cancelled_until_it_ends(client):
    batch = await start(client, line("a"))
    assert (await client.batches.cancel(batch.id)).status == "cancelling"
    assert (await client.batches.retrieve(batch.id)).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        await client.batches.cancel(batch.id)
    with pytest.raises(openai.NotFoundError):
        await client.batches.cancel("batch_unknown")


async def test_batches_are_listed_newest_first(client):
    first, second = await start(client, line("a")), await start(client, line("b"))
    assert [batch.id async for batch in client.batches.list(limit=1)] == [second.id, first.id]
    assert (await client.batches.list()).data[0].metadata == {"a": "b"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": "/v1/files"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-unknown"}, "input_file_id"),
    ],
)
async def test_a_wrong_batch_is_refused(http, client, change, param):
    file = await upload(client, line("a"))
    body = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h", **change}
    reply = await http.post("/batches", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def looked_at(client, batch_id: str, times: int) -> openai.types.Batch:
    for _ in range(times):
        batch = await client.batches.retrieve(batch_id)
    return batch


@pytest.mark.parametrize(
    ("modifier", "status"),
    [
        ("batch_latency=3600", "in_progress"),
        ("batch_latency=0.001", "completed"),
        ("batch_end=stuck", "in_progress"),
        ("batch_end=expired,batch_answered=1", "expired"),
        ("batch_end=failed", "failed"),
        ("latency=0", "completed"),
        ("no_such=1", "completed"),
    ],
)
async def test_a_batch_behaves_as_the_model_of_its_first_line(client, modifier, status):
    model = {"model": f"gpt-4o@{modifier}", "messages": USER}
    batch = await start(client, line("a", body=model), line("b", body=model))
    batch = await looked_at(client, batch.id, 4)
    assert batch.status == status
    if status == "expired":
        assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)


async def test_a_stuck_batch_ends_when_it_is_cancelled(sim, client):
    sim.script(path="/batches", batch_end="stuck")
    batch = await start(client, line("a"))
    assert (await looked_at(client, batch.id, 3)).status == "in_progress"
    await client.batches.cancel(batch.id)
    assert (await looked_at(client, batch.id, 2)).status == "cancelled"


async def test_the_flex_tier_has_faults_of_its_own(client):
    model = "gpt-4o@flex_status=429,flex_latency=0.01"
    answer = await client.chat.completions.create(model=model, messages=USER)
    assert answer.service_tier == "default"
    with pytest.raises(openai.RateLimitError):
        await client.with_options(max_retries=0).chat.completions.create(
            model=model, messages=USER, service_tier="flex"
        )
    flex = await client.chat.completions.create(model="gpt-4o", messages=USER, service_tier="flex")
    assert flex.service_tier == "flex"
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="gpt-4o@batch_end=soon", messages=USER)
