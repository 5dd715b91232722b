"""The other OpenAI endpoints, judged by OpenAI's client."""

import base64
import io
import math
import struct
import wave
import zlib

import openai
import pytest
from openai.types.audio import TranslationVerbose


async def read_stream(stream) -> list:
    return [chunk async for chunk in stream]


async def test_a_completion_continues_every_prompt(client):
    reply = await client.completions.create(model="m", prompt=["one", "two"], n=2)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in reply.choices}) == 4
    echoed = await client.completions.create(model="m", prompt="Once upon", echo=True, max_tokens=1)
    assert echoed.choices[0].text.startswith("Once upon")
    assert (echoed.choices[0].finish_reason, echoed.usage.completion_tokens) == ("length", 1)


@pytest.mark.parametrize("echo", [True, False])
async def test_a_streamed_completion_says_the_same(lenient, echo):
    whole = await lenient.completions.create(model="m", prompt=[1, 2, 3], echo=echo)
    options = {"include_usage": True}
    stream = await lenient.completions.create(
        model="m", prompt=[1, 2, 3], echo=echo, stream=True, stream_options=options
    )
    chunks = await read_stream(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage
    plain = await read_stream(await lenient.completions.create(model="m", prompt=[1, 2, 3], stream=True))
    assert plain[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("prompt", [7, [], [[]], [{}], [["x"]]])
async def test_a_wrong_prompt_is_refused(http, prompt):
    reply = await http.post("/completions", json={"model": "m", "prompt": prompt})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "prompt")
    reply = await http.post("/completions", json={"model": "m"})
    assert reply.json()["error"]["code"] == "missing_required_parameter"


async def test_embeddings_are_unit_vectors_of_their_text(lenient):
    reply = await lenient.embeddings.create(model="text-embedding-3-small", input=["cat", "dog", "cat"])
    first, second, third = (item.embedding for item in reply.data)
    assert first == third != second
    assert len(first) == 1536
    assert math.isclose(sum(value * value for value in first), 1, rel_tol=1e-4)
    assert reply.usage.prompt_tokens == 3


@pytest.mark.parametrize("value", ["text", [5, 6, 7], [[5, 6], [7]]])
async def test_embeddings_come_as_floats_or_as_base64(http, value):
    body = {"model": "m", "input": value, "dimensions": 4}
    floats = (await http.post("/embeddings", json={**body, "encoding_format": "float"})).json()
    packed = (await http.post("/embeddings", json={**body, "encoding_format": "base64"})).json()
    assert len(floats["data"]) == len(packed["data"])
    decoded = struct.unpack("<4f", base64.b64decode(packed["data"][0]["embedding"]))
    assert decoded == pytest.approx(floats["data"][0]["embedding"], rel=1e-6)


async def test_a_large_embedding_model_has_more_dimensions(http):
    reply = (await http.post("/embeddings", json={"model": "text-embedding-3-large", "input": "x"})).json()
    assert len(reply["data"][0]["embedding"]) == 3072


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
)
async def test_wrong_embeddings_are_refused(http, change, param):
    reply = await http.post("/embeddings", json={"model": "m", "input": "x", **change})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_models_are_listed_and_any_other_exists_too(client):
    assert "sim-echo" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("anthropic/claude:beta")).id == "anthropic/claude:beta"


async def test_moderation_flags_the_category_that_is_named(client):
    reply = await client.moderations.create(input=["a lovely day", "graphic violence"])
    assert [result.flagged for result in reply.results] == [False, True]
    assert reply.results[1].categories.violence is True
    parts = [{"type": "text", "text": "hate"}, {"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}]
    (result,) = (await client.moderations.create(model="omni-moderation-latest", input=parts)).results
    assert result.category_scores.hate > 0.5


async def test_one_text_is_moderated_without_naming_a_model(client):
    assert (await client.moderations.create(input="violence")).model == "omni-moderation-latest"


@pytest.mark.parametrize("body", [{}, {"input": 7}, {"input": []}, {"input": ["x", {}]}])
async def test_a_wrong_moderation_is_refused(http, body):
    reply = await http.post("/moderations", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input")


def pixel_of(png: bytes) -> bytes:
    """Check every chunk of a PNG and return its decompressed data."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data = 8, b""
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + content),)
        data += content if kind == b"IDAT" else b""
        at += 12 + size
    return zlib.decompress(data)


async def test_images_come_as_valid_pngs(client, http):
    reply = await client.images.generate(prompt="a cat", model="gpt-image-1", n=2)
    assert len(reply.data) == 2
    assert len(pixel_of(base64.b64decode(reply.data[0].b64_json))) == 4
    assert reply.usage.output_tokens == 544
    linked = await client.images.generate(prompt="a cat", model="dall-e-3")
    picture = await http.get(linked.data[0].url)
    assert picture.headers["content-type"] == "image/png"
    assert pixel_of(picture.content)


async def test_images_are_edited_and_varied_from_uploads(client, http):
    image = ("cat.png", b"png bytes", "image/png")
    edited = await client.images.edit(model="gpt-image-1", image=[image, image], prompt="make it blue")
    assert edited.usage.input_tokens_details.image_tokens == 544
    form = {"n": "2", "response_format": "b64_json"}
    varied = (await http.post("/images/variations", files={"image": image}, data=form)).json()
    assert [bool(pixel_of(base64.b64decode(item["b64_json"]))) for item in varied["data"]] == [True, True]
    by_link = {"prompt": "blue", "images": [{"image_url": "https://x.example/i.png"}]}
    assert (await http.post("/images/edits", json=by_link)).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "x", "n": 11}, "n"),
        ({"prompt": "x", "response_format": "gif"}, "response_format"),
    ],
)
async def test_wrong_images_are_refused(http, body, param):
    reply = await http.post("/images/generations", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_wrong_image_forms_are_refused(http):
    reply = await http.post("/images/edits", files={"image": b"x"})
    assert reply.json()["error"]["param"] == "prompt"
    reply = await http.post("/images/edits", files={"mask": b"x"}, data={"prompt": "x"})
    assert reply.json()["error"]["param"] == "image"
    reply = await http.post("/images/variations", json={})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_content_type")


async def test_speech_is_a_playable_wav_or_bytes_of_the_wanted_type(client, http):
    sound = await client.audio.speech.create(model="tts-1", input="hi", voice="alloy", response_format="wav")
    with wave.open(io.BytesIO(sound.content)) as played:
        assert (played.getnchannels(), played.getframerate(), played.getnframes()) == (1, 8000, 800)
    body = {"model": "tts-1", "input": "hi", "voice": "alloy"}
    mp3 = await http.post("/audio/speech", json=body)
    again = await http.post("/audio/speech", json={**body, "response_format": "opus"})
    assert (mp3.headers["content-type"], again.headers["content-type"]) == ("audio/mpeg", "audio/opus")
    assert mp3.content == again.content


@pytest.mark.parametrize(
    ("change", "param"),
    [({"input": ""}, "input"), ({"voice": None}, "voice"), ({"response_format": ["mp3"]}, "response_format")],
)
async def test_wrong_speech_is_refused(http, change, param):
    reply = await http.post("/audio/speech", json={"model": "m", "input": "x", "voice": "y", **change})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_transcriptions_come_in_every_format(client):
    file = ("talk.mp3", b"sound", "audio/mpeg")
    plain = await client.audio.transcriptions.create(model="whisper-1", file=file)
    text = await client.audio.transcriptions.create(model="whisper-1", file=file, response_format="text")
    verbose = await client.audio.transcriptions.create(
        model="whisper-1", file=file, response_format="verbose_json", language="de"
    )
    subtitles = await client.audio.transcriptions.create(model="whisper-1", file=file, response_format="vtt")
    assert plain.text == text.strip() == verbose.text == verbose.segments[0].text
    assert verbose.language == "de"
    assert subtitles.startswith("WEBVTT")
    assert plain.text in subtitles


async def test_translations_are_english(http):
    file = {"file": ("talk.mp3", b"sound", "audio/mpeg")}
    form = {"model": "whisper-1", "language": "de"}
    verbose = (
        await http.post("/audio/translations", files=file, data={**form, "response_format": "verbose_json"})
    ).json()
    assert (verbose["task"], verbose["language"]) == ("translate", "english")
    assert TranslationVerbose.model_validate(verbose, strict=True).text == verbose["text"]
    assert (await http.post("/audio/translations", files=file, data=form)).json() == {"text": verbose["text"]}


@pytest.mark.parametrize(
    ("fields", "files", "param"),
    [
        ({}, {"file": b"x"}, "model"),
        ({"model": "m"}, {"other": b"x"}, "file"),
        ({"model": "m", "response_format": "doc"}, {"file": b"x"}, "response_format"),
        ({"model": "m", "stream": "true"}, {"file": b"x"}, "stream"),
    ],
)
async def test_wrong_transcriptions_are_refused(http, fields, files, param):
    reply = await http.post("/audio/transcriptions", data=fields, files=files)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_modifiers_work_in_forms_too(client):
    with pytest.raises(openai.RateLimitError):
        await client.audio.transcriptions.create(model="whisper-1@status=429", file=("a", b"x"))


async def test_every_route_exists_without_its_version(http, sim):
    reply = await http.get(f"{sim.origin}/models")
    assert reply.json()["object"] == "list"


async def test_unknown_paths_and_methods_get_the_envelope(http):
    missing = await http.post("/nonsense", json={})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_url")
    for path in ("/chat/completions", "/responses/resp_1/cancel"):
        wrong = await http.get(path)
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_supported")


@pytest.mark.parametrize(
    ("content", "code"), [(b"{", "invalid_json"), (b"\xff", "invalid_json"), (b"[1]", "invalid_type")]
)
async def test_a_broken_body_is_refused(http, content, code):
    reply = await http.post("/chat/completions", content=content)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)
