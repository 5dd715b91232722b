"""Semantic matches on the inference path: none in shadow mode, then what the audits allow, then none again."""

import asyncio
import platform
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.redis_servers import server
from shared.cache import keyspace
from shared.cache.purge import Purge
from shared.cache.question_vectors import KEPT_S, QuestionVectors
from shared.governance.keys.caller import Caller
from shared.governance.limits.model import Limit
from shared.inference import embedding, semantic_answers
from shared.inference.call import Answer, AnswerStream, Call
from shared.inference.embedding import Embedder
from shared.inference.inference import Inference
from shared.settings.cache import SemanticSettings
from shared.store.encryption import PLAIN, BodyCipher
from shared.store.multiplexed import MultiplexedClient
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat
from tests.inference.test_answer_cache import Build, build_cached, cached, settled, store, use_of
from tests.waiting import wait_until

__all__ = ["build_cached", "store"]  # fixtures

ON_LINUX = (platform.system(), platform.machine()) == ("Linux", "x86_64")  # for which Redis 8 is a dependency
PRICES = {"sim/*": {"input": 1_000, "output": 1_000}}
# Of no disagreement in a row, 0.4 allows an answer to be served after 6 comparisons.
SEMANTIC = {
    "embedding": "sim/embedder",
    "similarity": 0.5,
    "guards": "basic",
    "shadow": False,
    "max_wrong": 0.4,
    "min_comparisons": 5,
    "audit": 0.0,
    "timeout_s": 30,
    "index": "memory",
}
ALWAYS_EQUAL = {"const": "Open the account page."}
NEVER_EQUAL = {"type": "integer"}
KEY = Caller(key_id="k")
QUESTIONS = (
    "How do I go about cancelling my magazine subscription?",
    "Please explain how I can cancel my magazine subscription",
    "I would like to know how to cancel my magazine subscription",
    "How can I get my magazine subscription cancelled?",
    "Can you describe how I cancel the magazine subscription?",
    "How would I cancel a magazine subscription of mine?",
    "Tell me how cancelling a magazine subscription is done",
    "How might we cancel our magazine subscription?",
    "How can readers of yours cancel the magazine subscription?",
    "How do you really cancel that magazine subscription?",
)


def settings(**semantic: Any) -> dict[str, Any]:
    return {"mode": "semantic", "lookup_timeout_s": 30, "semantic": {**SEMANTIC, **semantic}}


def question(text: str, answer: Any = ALWAYS_EQUAL, *, caller: Caller = KEY, **more: Any) -> Call:
    schema = {"name": "a", "schema": {"type": "object", "properties": {"text": answer}, "required": ["text"]}}
    messages = [{"role": "user", "content": text}]
    return chat(
        "sim/gpt",
        messages=messages,
        response_format={"type": "json_schema", "json_schema": schema},
        caller=caller,
        **more,
    )


async def ask(inference: Inference, call: Call, **headers: str) -> Call:
    """Answer a call, wait until its comparison is counted, and return it."""
    call = cached(call, inference, **headers)
    await inference.answer(call)
    await compared(inference)
    return call


async def compared(inference: Inference) -> None:
    assert inference.cache and inference.cache.semantic
    await settled(inference)
    await inference.cache.semantic.flush()
    await settled(inference)


async def learn(inference: Inference, answer: Any = ALWAYS_EQUAL) -> list[str]:
    """Ask all questions; return by which kind of match each was answered."""
    return [use_of(await ask(inference, question(text, answer))).kind for text in QUESTIONS]


def embedded(sim: RunningSimulator) -> int:
    return sum(request.path.endswith("/embeddings") for request in sim.requests)


async def test_nothing_is_served_before_enough_comparisons_agreed_and_what_then_is_says_so(
    build_cached: Build, sim: RunningSimulator
) -> None:
    inference = build_cached(billed=True, prices=PRICES, cache=settings())
    kinds = await learn(inference)
    assert kinds[:6] == ["exact"] * 6
    assert kinds[-1] == "semantic"
    call = cached(question("How could I cancel my magazine subscription now?"), inference)
    answer = await inference.answer(call)
    assert orjson.loads(orjson.loads(answer.body)["choices"][0]["message"]["content"]) == {
        "text": "Open the account page."
    }
    assert answer.headers["cache-status"].endswith("detail=semantic")
    assert answer.headers["x-bf-cache-hit-type"] == "semantic"
    assert 0.5 <= float(answer.headers["x-bf-cache-threshold"]) <= float(answer.headers["x-bf-cache-similarity"]) <= 1
    assert answer.headers["x-bf-cost-usd"] == "0.000000"
    assert float(answer.headers["x-bf-saved-usd"]) > 0
    assert use_of(call).to_debug()["hit_type"] == "semantic"


async def test_a_submit_is_answered_by_a_match_that_may_be_served(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(cache=settings())
    submit = question("How could I cancel my magazine subscription now?")
    assert await inference.stored_answer(cached(submit, inference)) is None
    assert not sim.requests  # before anything may be served, nothing waits for an embedding
    await learn(inference)
    asked = len(sim.requests)
    answer = await inference.stored_answer(cached(submit, inference))
    assert answer is not None and answer.headers["cache-status"].endswith("detail=semantic")
    assert {request.path for request in sim.requests[asked:]} == {"/v1/embeddings"}
    unlike = cached(question("How is the weather in the mountains today?"), inference)
    assert await inference.stored_answer(unlike) is None


async def test_the_run_of_a_submit_that_found_nothing_takes_the_questions_vector(
    build_cached: Build, sim: RunningSimulator, store: MultiplexedClient
) -> None:
    inference = build_cached(cache=settings())
    await learn(inference)
    before = embedded(sim)
    unlike = question("How is the weather in the mountains today?")
    assert await inference.stored_answer(cached(unlike, inference)) is None
    [vector] = await store.execute("KEYS", keyspace.question("*"))
    assert 0 < await store.execute("TTL", vector) <= KEPT_S
    await ask(inference, replace(unlike, job_id="job"))
    assert embedded(sim) == before + 1
    assert not await store.execute("EXISTS", vector)
    await ask(inference, replace(question("How is the weather by the sea today?"), job_id="other"))
    assert embedded(sim) == before + 2  # a submit that embedded nothing leaves its run to do so


@pytest.mark.parametrize("stored", [b"", b"12345", b"1" * 40_000])
async def test_a_stored_vector_that_is_none_is_not_taken(store: MultiplexedClient, stored: bytes) -> None:
    await store.execute("SET", keyspace.question("q"), stored)
    assert await QuestionVectors(store, PLAIN).take(keyspace.question("q")) is None


async def test_vectors_are_sealed_where_bodies_are(store: MultiplexedClient) -> None:
    await store.execute("PING")  # connected, commands keep their order
    key, vector = keyspace.question("q"), array("f", [1.0, 0.0])
    vectors = QuestionVectors(store, BodyCipher([b"1" * 32]))
    vectors.keep(key, vector)
    assert await vectors.take(key) == vector
    vectors.keep(key, vector)
    assert vector.tobytes() not in await store.execute("GET", key)
    assert await QuestionVectors(store, BodyCipher([b"2" * 32])).take(key) is None


async def test_in_shadow_mode_nothing_is_served_and_everything_is_counted(build_cached: Build) -> None:
    inference = build_cached(cache=settings(shadow=True))
    assert await learn(inference) == ["exact"] * len(QUESTIONS)
    assert inference.cache
    [(family, evidence)] = await inference.cache.store.audits.families()
    assert (family.scope, family.model) == ("key:k", "sim/gpt")
    assert evidence.counts(50) == (len(QUESTIONS) - 1, 0)
    assert evidence.serves_from(50, 0.4, 5) is not None


async def test_answers_that_differ_end_what_was_served_in_every_process(
    build_cached: Build, caplog: pytest.LogCaptureFixture
) -> None:
    inference, other = build_cached(cache=settings()), build_cached(cache=settings(audit=1.0))
    assert (await learn(inference))[-1] == "semantic"
    await learn(other, NEVER_EQUAL)
    call = await ask(inference, question("How could I cancel my magazine subscription now?"))
    assert use_of(call).entry is None
    assert "cache.untrusted" in caplog.text


async def test_answers_that_differ_are_never_served(build_cached: Build) -> None:
    inference = build_cached(cache=settings())
    assert "semantic" not in await learn(inference, NEVER_EQUAL)


async def test_a_judge_decides_where_texts_differ(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(cache=settings(judge="sim/judge", shadow=True))
    await learn(inference, NEVER_EQUAL)
    assert inference.cache
    [(_, evidence)] = await inference.cache.store.audits.families()
    seen, wrong = evidence.counts(0)
    assert wrong == seen > 0  # the simulator says neither SAME nor DIFFERENT
    assert sum(b'"judge"' in request.raw for request in sim.requests) == wrong


async def test_audited_matches_go_to_the_provider_and_are_compared(build_cached: Build) -> None:
    inference = build_cached(cache=settings(audit=1.0))
    assert "semantic" not in await learn(inference)
    assert inference.cache
    [(_, evidence)] = await inference.cache.store.audits.families()
    assert evidence.counts(0) == (len(QUESTIONS) - 1, 0)


async def test_one_keys_evidence_and_answers_serve_no_other_key(build_cached: Build) -> None:
    inference = build_cached(cache=settings())
    await learn(inference)
    other = Caller(key_id="other")
    call = await ask(inference, question("How could I cancel my magazine subscription now?", caller=other))
    assert use_of(call).kind == "exact" and use_of(call).entry is None


@pytest.mark.parametrize(
    "headers",
    [
        {"x_bf_cache_type": "near"},
        {"x_bf_cache_type": "direct"},
        {"cache_control": "no-cache"},
        {"x_bf_cache_threshold": "1"},
        {"x_bf_cache_key": "another"},
    ],
)
async def test_requests_can_ask_for_closer_matches_alone(build_cached: Build, headers: dict[str, str]) -> None:
    inference = build_cached(cache=settings())
    await learn(inference)
    call = await ask(inference, question("How could I cancel my magazine subscription now?"), **headers)
    assert use_of(call).entry is None


async def test_streams_and_identical_calls_in_progress_are_served_too(
    build_cached: Build, sim: RunningSimulator
) -> None:
    inference = build_cached(cache=settings())
    await learn(inference)
    before = len(sim.requests)
    text = "How could I cancel my magazine subscription now?"
    stream = await inference.stream(cached(question(text, stream=True), inference))
    assert b"Open the account page." in b"".join([events async for events in stream])
    calls = [cached(question(text + " Is it possible?"), inference) for _ in range(3)]
    answers = await asyncio.gather(*map(inference.answer, calls))
    assert {answer.headers["cache-status"].rpartition("=")[2] for answer in answers} == {"semantic"}
    assert {request.path for request in sim.requests[before:]} == {"/v1/embeddings"}


async def test_embeddings_are_booked_to_the_caller_and_its_permissions_do_not_hinder_them(
    build_cached: Build, sim: RunningSimulator, store: MultiplexedClient
) -> None:
    inference = build_cached(billed=True, prices=PRICES, cache=settings())
    limits = (Limit("cost", "key:k", "1d", 10**9), Limit("requests", "key:k", "1d", 2))
    caller = Caller(key_id="k", models=("sim/gpt",), limits=limits)
    await ask(inference, question(QUESTIONS[0], caller=caller))
    await ask(inference, question(QUESTIONS[1], caller=caller))
    assert embedded(sim) == 2


async def test_a_spent_budget_is_a_miss_and_does_not_stop_others(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(billed=True, prices={"sim/gpt": {"input": 0, "output": 0}}, cache=settings())
    poor = Caller(key_id="k", limits=(Limit("cost", "key:k", "1d", 10),))
    for text in QUESTIONS[:4]:  # under a budget a model without a price is refused
        call = await ask(inference, question(text, caller=poor))
        assert use_of(call).stored
    assert embedded(sim) == 0
    await ask(inference, question(QUESTIONS[4], caller=Caller(key_id="rich")))
    assert embedded(sim) == 1


@pytest.mark.parametrize(
    "embedder", ["embedder@status=500", "embedder@latency=60", "embedder@cut=0", "embedder@reset=1"]
)
async def test_an_embedding_that_fails_is_a_miss_and_is_asked_for_less(
    build_cached: Build, sim: RunningSimulator, embedder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PAUSE_S", 3600)
    inference = build_cached(cache=settings(embedding=f"sim/{embedder}", timeout_s=0.05))
    for text in QUESTIONS[:5]:
        assert use_of(await ask(inference, question(text))).stored
    assert embedded(sim) <= 6  # a connection that is reset is tried twice


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"data":[]}', b'{"data":[{"embedding":"AAAA"}]}', b'{"data":[{"embedding":[0,0]}]}']
)
async def test_an_embedding_that_is_none_is_a_miss(body: bytes) -> None:
    class Garbage:
        async def answer(self, _call: Call) -> Answer:
            return Answer(status=200, body=body)

        async def stream(self, _call: Call) -> AnswerStream:
            raise AssertionError("an embedding is no stream")

    embedder = Embedder(SemanticSettings(embedding="sim/e", judge="sim/judge"))
    assert await embedder.embed("How are you?", chat("sim/gpt"), Garbage()) is None
    assert not await embedder.judges_alike(("a", "b"), ("c", "d"), chat("sim/gpt"), Garbage())


async def test_a_judge_that_says_the_same_is_believed() -> None:
    class Judge:
        async def answer(self, call: Call) -> Answer:
            assert b"a question" in call.body
            return Answer(status=200, body=b'{"choices":[{"message":{"content":" same."}}]}')

        async def stream(self, _call: Call) -> AnswerStream:
            raise AssertionError("a judgement is no stream")

    embedder = Embedder(SemanticSettings(judge="sim/judge"))
    assert await embedder.judges_alike(("a question", "b"), ("c", "d"), chat("sim/gpt"), Judge())


async def test_entries_that_are_gone_leave_the_index(build_cached: Build, store: MultiplexedClient) -> None:
    inference = build_cached(cache=settings())
    await learn(inference)
    assert inference.cache
    await inference.cache.store.purge(Purge(model="sim/gpt"))
    call = await ask(inference, question("How could I cancel my magazine subscription now?"))
    assert use_of(call).entry is None


async def test_embeddings_are_made_in_this_process_where_configured(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(cache=settings(embedding="local"))
    assert (await learn(inference))[-1] == "semantic"
    assert embedded(sim) == 0


@pytest.mark.parametrize("index", ["vectorset", "search"] if ON_LINUX else [])
async def test_vectors_are_found_in_a_store_that_searches_by_every_process(
    build_cached: Build, request: pytest.FixtureRequest, index: str
) -> None:
    url = request.getfixturevalue("redis_8")
    cache = {**settings(index=index, min_comparisons=6), "url": url}
    caller = Caller(key_id=index)
    for number, text in enumerate((*QUESTIONS, "How could I cancel my magazine subscription now?")):
        inference = build_cached(cache=cache)  # none knows what another one stored
        call = await ask(inference, question(text, caller=caller))
        assert use_of(call).entry is None
        again = await ask(inference, question(f"{text} Is it possible?", caller=caller))
        assert (use_of(again).kind == "semantic") is (number >= 3)


@pytest.mark.parametrize(
    ("scope", "caller", "name"),
    [
        ("shared", KEY, "shared"),
        ("customer", Caller(key_id="k", customer="acme", team="red"), "customer:acme"),
        ("customer", Caller(key_id="k", team="red"), "team:red"),
        ("team", Caller(key_id="k", customer="acme", team="red"), "team:red"),
        ("key", Caller(key_id="k", customer="acme", team="red"), "key:k"),
        ("team", Caller(scope="hash"), "no key"),
    ],
)
async def test_evidence_is_of_those_who_share_answers(
    build_cached: Build, scope: str, caller: Caller, name: str
) -> None:
    inference = build_cached(cache={**settings(), "scope": scope})
    for text in QUESTIONS[:2]:
        await ask(inference, question(text, caller=caller))
    assert inference.cache
    [(family, evidence)] = await inference.cache.store.audits.families()
    assert (family.scope, evidence.counts(0)) == (name, (1, 0))


async def test_a_store_that_dies_is_a_miss(build_cached: Build, tmp_path: Path) -> None:
    with server(tmp_path / "own") as own:
        inference = build_cached(cache={**settings(), "url": own.url, "lookup_timeout_s": 0.5})
        assert (await learn(inference))[-1] == "semantic"
    for text in ("How could I cancel my magazine subscription now?", "How else can I cancel a magazine subscription?"):
        call = await ask(inference, question(text))
        assert use_of(call).entry is None


async def test_what_is_not_one_text_or_not_english_is_not_compared(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(cache=settings())
    await ask(inference, question("Welche Fristen gelten für die Kündigung meines Vertrags?"))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    messages = [{"role": "user", "content": "How do I cancel it?"}]
    await ask(inference, chat("sim/gpt", messages=messages, tools=[tool], tool_choice="required", caller=KEY))
    await ask(inference, chat("sim/gpt@tool", messages=messages, caller=KEY))
    assert embedded(sim) <= 1


async def test_comparisons_are_bounded_and_end_with_the_process(
    build_cached: Build, sim: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_answers, "MOST_AT_ONCE", 2)
    inference = build_cached(cache=settings(embedding="sim/embedder@hang"))
    for text in QUESTIONS[:4]:
        await inference.answer(cached(question(text), inference))
    await settled(inference)
    await wait_until(lambda: embedded(sim) == 2)
    await inference.aclose()
    assert embedded(sim) == 2


async def test_families_that_were_used_long_ago_are_forgotten(
    build_cached: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_answers, "MOST_FAMILIES", 1)
    inference = build_cached(cache=settings())
    await learn(inference)
    await ask(inference, question(QUESTIONS[0], caller=Caller(key_id="other")))
    call = await ask(inference, question("How could I cancel my magazine subscription now?"))
    assert use_of(call).entry is None  # its family is read again
    call = await ask(inference, question("How else can I cancel a magazine subscription?"))
    assert use_of(call).kind == "semantic"
