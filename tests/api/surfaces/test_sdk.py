"""The official SDK, with only its base URL changed: every method at once and as a job (contract 3, 4.2)."""

import openai
import pytest

from shared.jobs.model import Outcome, State
from tests.api.conftest import Gateway

# The SDK marks image variations and translations as deprecated; they are served all the same.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

MESSAGES = [{"role": "user", "content": "hello"}]
AUDIO = ("a.wav", b"RIFF0000WAVE" * 20)
PNG = ("a.png", b"\x89PNG\r\n\x1a\n" + b"0" * 64)

CALLS = {
    "chat.completions": {"model": "sim/gpt-4o", "messages": MESSAGES},
    "responses": {"model": "sim/gpt-4o", "input": "hello"},
    "completions": {"model": "sim/gpt-3.5-turbo-instruct", "prompt": "hello"},
    "embeddings": {"model": "sim/text-embedding-3-small", "input": "hello", "encoding_format": "float"},
    "moderations": {"model": "sim/omni-moderation-latest", "input": "hello"},
    "images.generate": {"model": "sim/gpt-image-1", "prompt": "a cat"},
    "images.edit": {"model": "sim/gpt-image-1", "prompt": "a cat", "image": PNG},
    "images.create_variation": {"model": "sim/dall-e-2", "image": PNG},
    "audio.speech": {"model": "sim/tts-1", "input": "hello", "voice": "alloy"},
    "audio.transcriptions": {"model": "sim/whisper-1", "file": AUDIO},
    "audio.translations": {"model": "sim/whisper-1", "file": AUDIO},
}


def method(sdk: openai.AsyncOpenAI, name: str):
    found = sdk
    for part in name.split("."):
        found = getattr(found, part)
    return found if name.startswith("images.") else found.create


def content(answer) -> object:
    """What a caller wants of any answer; falsy while there is none."""
    for field in ("choices", "output_text", "results", "content"):
        if getattr(answer, field, None):
            return getattr(answer, field)
    if isinstance(getattr(answer, "text", None), str):
        return answer.text
    data = getattr(answer, "data", None) or [None]
    return next(filter(None, (getattr(data[0], field, None) for field in ("embedding", "b64_json", "url"))), None)


@pytest.mark.parametrize("name", CALLS)
async def test_every_method_answers_at_once(gateway: Gateway, name: str):
    answer = await method(gateway.sdk(), name)(**CALLS[name])
    assert content(answer)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "audio.speech"])
async def test_every_method_is_a_job_too(gateway: Gateway, name: str):
    call = method(gateway.sdk(_strict_response_validation=True), name)
    initial = await call(**CALLS[name], extra_headers={"x-bf-async": "true"})
    job_id = getattr(initial, "id", None) or initial.model_extra["id"]
    assert not content(initial)
    poll = {"x-bf-async-id": job_id}
    assert not content(await call(**CALLS[name], extra_headers=poll))
    await gateway.worker.work_off()
    assert content(await call(**CALLS[name], extra_headers=poll))


async def test_speech_is_a_job_whose_answer_is_sound(gateway: Gateway):
    speech = gateway.sdk().audio.speech
    initial = await speech.create(**CALLS["audio.speech"], extra_headers={"x-bf-async": "true"})
    job_id = initial.response.headers["x-bf-async-id"]
    assert initial.response.json()["id"] == job_id
    assert initial.response.headers["content-type"] == "application/json"
    await gateway.worker.work_off()
    done = await speech.create(**CALLS["audio.speech"], extra_headers={"x-bf-async-id": job_id})
    at_once = await speech.create(**CALLS["audio.speech"])
    assert done.content == at_once.content
    assert done.response.headers["content-type"].startswith("audio/")


async def test_the_documented_chat_loop(gateway: Gateway):
    client = gateway.sdk()
    ask = {"model": "sim/gpt-4o", "messages": MESSAGES}
    initial = await client.chat.completions.create(**ask, extra_headers={"x-bf-async": "true"})
    assert not initial.choices
    await gateway.worker.work_off()
    poll = await client.chat.completions.create(**ask, extra_headers={"x-bf-async-id": initial.id})
    assert poll.choices[0].message.content


async def test_the_documented_responses_loop(gateway: Gateway):
    client = gateway.sdk()
    ask = {"model": "sim/gpt-4o", "input": "hello"}
    initial = await client.responses.create(**ask, extra_headers={"x-bf-async": "true"})
    assert initial.status != "completed"
    assert initial.output_text == ""
    await gateway.worker.work_off()
    poll = await client.responses.create(**ask, extra_headers={"x-bf-async-id": initial.id})
    assert poll.output_text
    assert (await client.responses.retrieve(initial.id)).output_text == poll.output_text


@pytest.mark.parametrize(
    ("status", "exception"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_a_failed_job_ends_the_loop_with_the_sdks_own_exception_at_the_first_poll(
    gateway: Gateway, status: int, exception: type[openai.APIStatusError]
):
    client = gateway.sdk(max_retries=3)
    ask = {"model": f"sim/gpt-4o@status={status}", "messages": MESSAGES}
    initial = await client.chat.completions.create(**ask, extra_headers={"x-bf-async": "true"})
    (claim,) = await gateway.worker.claim()
    failure = {"message": "it broke", "type": "some_error", "param": None, "code": "some_code"}
    outcome = Outcome(state=State.FAILED, status_code=status, error=failure)
    assert await gateway.services.store.finish(claim, outcome)
    with pytest.raises(exception) as raised:
        await client.chat.completions.create(**ask, extra_headers={"x-bf-async-id": initial.id})
    assert raised.value.status_code == status
    assert raised.value.code == "some_code"
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert raised.value.request_id


async def test_streams(gateway: Gateway):
    client = gateway.sdk()
    stream = await client.chat.completions.create(model="sim/gpt-4o", messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    whole = await client.chat.completions.create(model="sim/gpt-4o", messages=MESSAGES)
    assert text == whole.choices[0].message.content
    async with client.responses.stream(model="sim/gpt-4o", input="hello") as events:
        kinds = [event.type async for event in events]
        assert (await events.get_final_response()).output_text
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


async def test_parsing_helpers_take_pending_bodies(gateway: Gateway):
    from pydantic import BaseModel

    class Answer(BaseModel):
        value: int

    client = gateway.sdk()
    headers = {"x-bf-async": "true"}
    chat = await client.chat.completions.parse(
        model="sim/gpt-4o", messages=MESSAGES, response_format=Answer, extra_headers=headers
    )
    response = await client.responses.parse(model="sim/gpt-4o", input="x", text_format=Answer, extra_headers=headers)
    assert (chat.choices, response.output_parsed) == ([], None)


async def test_models_are_listed_and_found_by_encoded_names(gateway: Gateway):
    client = gateway.sdk()
    ids = [model.id async for model in client.models.list()]
    assert all("/" in name for name in ids)
    assert (await client.models.retrieve(ids[0])).id == ids[0]
    assert (await client.models.retrieve("gpt-4o")).id == "openai/gpt-4o"
    with pytest.raises(openai.NotFoundError) as raised:
        await client.models.retrieve("openai/no-such-model@status=404")
    assert raised.value.code == "model_not_found"


async def test_a_background_response_through_retrieve_and_cancel(gateway: Gateway):
    client = gateway.sdk(_strict_response_validation=True)
    made = await client.responses.create(model="sim/gpt-4o", input="hello", background=True, metadata={"a": "b"})
    assert (made.status, made.background, made.metadata) == ("queued", True, {"a": "b"})
    assert made.id.startswith("resp_")
    items = await client.responses.input_items.list(made.id)
    assert items.data[0].content[0].text == "hello"
    await gateway.worker.work_off()
    done = await client.responses.retrieve(made.id)
    assert (done.id, done.status, done.background) == (made.id, "completed", True)
    assert done.output_text
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a completed response"):
        await client.responses.cancel(made.id)
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_a_cancelled_background_response_has_no_output_and_is_cancelled_again_alike(gateway: Gateway):
    client = gateway.sdk()
    made = await client.responses.create(model="sim/gpt-4o", input="hello", background=True)
    with pytest.raises(openai.BadRequestError, match="in-flight"):
        await client.responses.delete(made.id)
    for _ in range(2):
        cancelled = await client.responses.cancel(made.id)
        assert (cancelled.status, cancelled.output) == ("cancelled", [])


async def test_a_failed_background_response_is_a_status_when_retrieved_and_an_error_when_polled(gateway: Gateway):
    client = gateway.sdk()
    made = await client.responses.create(model="sim/gpt-4o@status=500", input="hello", background=True)
    await gateway.worker.work_off()
    failed = await client.responses.retrieve(made.id)
    assert (failed.status, failed.error.code) == ("failed", "server_error")
    with pytest.raises(openai.InternalServerError):
        await client.responses.create(model="x", input="y", extra_headers={"x-bf-async-id": made.id})


@pytest.mark.parametrize(("window", "priority", "deadline_s"), [("soonest", "normal", 0), ("2h", "low", 7200)])
async def test_a_completion_window_is_priority_and_deadline(gateway: Gateway, window, priority, deadline_s):
    body = {
        "model": "sim/gpt-4o", "input": "x", "background": True, "background_options": {"completion_window": window}
    }  # fmt: skip
    made = (await gateway.post("/v1/responses", body)).json()
    job = await gateway.services.store.get(made["id"])
    assert job is not None
    assert job.priority == priority
    assert (job.deadline_ms - job.created_ms if job.deadline_ms else 0) == deadline_s * 1000
    payload = await gateway.services.store.payload(made["id"])
    assert payload is not None
    assert b"background" not in payload


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("background", "yes", "background"),
        ("background_options", {"completion_window": "1y"}, "background_options.completion_window"),
    ],
)
async def test_wrong_background_fields_are_refused(gateway: Gateway, field: str, value, param: str):
    body = {"model": "sim/gpt-4o", "input": "x", "background": True, field: value}
    answer = await gateway.post("/v1/responses", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_how_long_a_background_response_is_kept(gateway: Gateway):
    for body, ttl_s in (({}, 7 * 86_400), ({"store": False}, 600)):
        made = await gateway.post("/v1/responses", {"model": "sim/gpt-4o", "input": "x", "background": True, **body})
        job = await gateway.services.store.get(made.json()["id"])
        assert job is not None
        assert job.ttl_s == ttl_s


async def test_streaming_what_was_not_created_as_a_stream_is_refused(gateway: Gateway):
    client = gateway.sdk()
    made = await client.responses.create(model="sim/gpt-4o", input="hello", background=True)
    with pytest.raises(openai.BadRequestError) as raised:
        await client.responses.retrieve(made.id, stream=True)
    assert raised.value.param == "stream"


async def test_ids_of_a_provider_are_asked_of_it(gateway: Gateway, sim):
    client = gateway.sdk()
    made = await client.responses.create(model="openai/gpt-4o", input="hello", store=True)
    assert (await client.responses.retrieve(made.id)).output_text == made.output_text
    assert [entry.path for entry in sim.requests][-1] == f"/v1/responses/{made.id}"
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve("00000000-0000-4000-8000-000000000000")
    assert len(sim.requests) == 2
