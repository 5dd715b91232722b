"""Stored responses: who finds them, and what happens when they cannot be stored."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from shared.errors import InvalidRequest, StorageFull
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.inference import conversations as module
from shared.inference.conversations import Conversations
from shared.inference.keys import stored_response
from shared.jobs.queue import JobQueue, QueueLimits
from shared.providers.wires.base import MalformedAnswer, ProviderRequest
from shared.providers.wires.bridged import BridgedWire, Recalled
from shared.providers.wires.openai import OpenAIWire
from shared.store.multiplexed import MultiplexedClient
from shared.surfaces.request_types import RESPONSES
from shared.surfaces.response_ids import mint_response_id
from tests.jobs.conftest import new_job

OWNER, OTHER, ADMIN = Caller(key_id="a"), Caller(key_id="b"), Caller(admin=True)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


def response_with(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": f"msg_{text}", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": mint_response_id(), "object": "response", "output": [message]}


async def keep(conversations: Conversations, text: str, previous: str = "", caller: Caller = OWNER) -> str:
    response = response_with(text)
    fields = {"input": f"ask {text}", **({"previous_response_id": previous} if previous else {})}
    await conversations.keep(fields, response, caller)
    return str(response["id"])


async def test_only_its_owner_and_administrators_find_a_response(store: MultiplexedClient) -> None:
    conversations = Conversations(store)
    response_id = await keep(conversations, "one")
    for caller in (OWNER, ADMIN):
        kept = await conversations.find(response_id, caller)
        assert kept is not None
        assert kept.response["id"] == response_id
    for caller in (OTHER, ANONYMOUS):
        assert await conversations.find(response_id, caller) is None
    assert 0 < await store.execute("TTL", stored_response(response_id)) <= module.TTL_S


async def test_a_conversation_is_followed_back(store: MultiplexedClient) -> None:
    conversations = Conversations(store)
    first = await keep(conversations, "one")
    second = await keep(conversations, "two", previous=first)
    recalled = await conversations.recall({"previous_response_id": second, "input": "three"}, OWNER)
    texts = [item["content"][0]["text"] for item in recalled.history]
    assert texts == ["ask one", "one", "ask two", "two"]
    await conversations.delete(first, OWNER.key_id)
    with pytest.raises(InvalidRequest, match=first):
        await conversations.history(second, OWNER)


async def test_a_circle_ends(store: MultiplexedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TURNS", 5)
    conversations = Conversations(store)
    response = response_with("round")
    await conversations.keep({"input": "x", "previous_response_id": response["id"]}, response, OWNER)
    with pytest.raises(InvalidRequest):
        await conversations.history(response["id"], OWNER)


async def test_what_a_later_version_kept_is_not_misread(store: MultiplexedClient) -> None:
    response_id = mint_response_id()
    await store.execute("SET", stored_response(response_id), orjson.dumps({"v": module.VERSION + 1}))
    assert await Conversations(store).find(response_id, ADMIN) is None


@pytest.mark.parametrize("name", ["", "resp_*", "a b", "x" * 100])
async def test_what_is_no_id_never_becomes_a_key(store: MultiplexedClient, name: str) -> None:
    assert await Conversations(store).find(name, ADMIN) is None


async def test_an_answer_is_given_even_if_it_cannot_be_kept(store: MultiplexedClient) -> None:
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    await Conversations(gone).keep({"input": "x"}, response_with("one"), OWNER)
    await gone.aclose()
    odd = response_with("two")
    await Conversations(store).keep({"input": [5]}, odd, OWNER)
    assert await Conversations(store).find(odd["id"], OWNER) is None


@pytest.mark.parametrize("body", [b"[]", b'{"choices":[]}', b'{"choices":[{"message":5}]}'])
def test_an_answer_that_is_no_chat_is_malformed(body: bytes) -> None:
    fields = {"model": "m", "input": "hello"}
    ask = ProviderRequest(request_type=RESPONSES, model="m", body=b"", fields=fields, answer_id=mint_response_id())
    with pytest.raises(MalformedAnswer):
        BridgedWire(OpenAIWire(), Recalled(), background=False).answer(ask, body, "application/json")


def test_a_stream_that_is_no_chats_is_malformed() -> None:
    fields = {"model": "m", "input": "hello", "stream": True}
    ask = ProviderRequest(
        request_type=RESPONSES, model="m", body=b"", fields=fields, stream=True, answer_id=mint_response_id()
    )
    stream = BridgedWire(OpenAIWire(), Recalled(), background=False).stream(ask)
    with pytest.raises(MalformedAnswer):
        stream.feed(b'data: {"choices":[{"delta":5}]}\n\n')


async def test_a_caller_keeps_no_more_than_it_may(store: MultiplexedClient, caplog: pytest.LogCaptureFixture) -> None:
    size = await store.execute("STRLEN", stored_response(await keep(Conversations(store), "one", caller=OTHER)))
    conversations, queue = Conversations(store, max_stored=2 * size), JobQueue(store, QueueLimits())
    first, second = await keep(conversations, "one"), await keep(conversations, "two")
    third = await keep(conversations, "six")
    assert [await conversations.find(one, OWNER) is not None for one in (first, second, third)] == [True, True, False]
    assert "no room" in caplog.text
    job = new_job(owner="a", payload=b"x", max_stored=2 * size)
    with pytest.raises(StorageFull):
        await queue.submit(job)
    assert await conversations.find(await keep(conversations, "one", caller=OTHER), OTHER) is not None
    larger = Caller(key_id="a", max_stored_mb=1)
    assert await conversations.find(await keep(conversations, "ten", caller=larger), OWNER) is not None
    for response_id in (first, second):
        await conversations.delete(response_id, "a")
    await conversations.delete(first, "a")
    assert (await queue.submit(job)).created


async def test_what_has_expired_makes_room(store: MultiplexedClient) -> None:
    conversations = Conversations(store, max_stored=4096)
    await store.execute("HSET", "finops:stored:a:responses", "1", 4096)
    for owner, takes_room in (("a", await keep(conversations, "one")), ("b", "")):
        await store.execute("HSET", f"finops:stored:{owner}", "responses", 4096)
        submission = await JobQueue(store, QueueLimits()).submit(new_job(owner=owner, payload=b"x", max_stored=4096))
        assert submission.created
        assert not takes_room or await conversations.find(takes_room, OWNER) is not None
