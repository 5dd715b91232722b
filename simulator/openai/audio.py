"""`POST /audio/speech`, `/audio/transcriptions` and `/audio/translations`."""

import zlib
from typing import Any

import orjson

from simulator.calls import Call, Refusal, Reply, Route
from simulator.form import Form
from simulator.model.media import tiny_sound, tiny_wav
from simulator.model.text import lorem, seed_of
from simulator.openai.errors import OPENAI, missing, need_model

SOUND_TYPES = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}
DURATION_S = 2.5
PIECES = 12


def answer_speech(call: Call) -> Reply:
    """A sound: a playable file for `wav`, deterministic bytes for the other formats.

    Raises:
        Refusal: a required field is absent or the format is unknown.
    """
    need_model(call)
    for name in ("input", "voice"):
        if call.body.get(name) in (None, ""):
            raise missing(name)
    wanted = call.body.get("response_format") or "mp3"
    if not isinstance(wanted, str) or wanted not in SOUND_TYPES:
        raise Refusal(400, f"Invalid 'response_format': use {', '.join(SOUND_TYPES)}.", param="response_format")
    seed = seed_of(str(call.body["input"]))
    return Reply(tiny_wav(seed) if wanted == "wav" else tiny_sound(seed), content_type=SOUND_TYPES[wanted])


def answer_transcriptions(call: Call) -> Reply:
    """The text "heard" in an upload, decided by its bytes.

    Raises:
        Refusal: model or file is absent, the format is unknown, or a stream is asked for.
    """
    return _heard(call, "transcribe", str(call.need_form().fields.get("language") or "english"))


def answer_translations(call: Call) -> Reply:
    """Like a transcription, always into English.

    Raises:
        Refusal: as for transcriptions.
    """
    return _heard(call, "translate", "english")


def _heard(call: Call, task: str, language: str) -> Reply:
    form = call.need_form()
    content = _sound(form)
    if form.fields.get("stream") == "true":
        raise Refusal(400, "The simulator does not stream transcriptions.", param="stream")
    seed = zlib.crc32(content)
    text = "".join(lorem(seed, PIECES))
    wanted = form.fields.get("response_format") or "json"
    if wanted == "verbose_json":
        return Reply(orjson.dumps(_verbose(task, language, text, seed)))
    if wanted == "json":
        usage = {"type": "duration", "seconds": DURATION_S}
        return Reply(orjson.dumps({"text": text, "usage": usage} if task == "transcribe" else {"text": text}))
    plain = {
        "text": f"{text}\n",
        "srt": f"1\n00:00:00,000 --> 00:00:02,500\n{text}\n\n",
        "vtt": f"WEBVTT\n\n00:00:00.000 --> 00:00:02.500\n{text}\n\n",
    }
    if wanted not in plain:
        raise Refusal(400, f"Invalid 'response_format': {wanted}.", param="response_format")
    return Reply(plain[wanted].encode(), content_type=b"text/plain; charset=utf-8")


def _sound(form: Form) -> bytes:
    if not form.fields.get("model"):
        raise missing("model")
    if "file" not in form.files:
        raise missing("file")
    return form.files["file"][0].content


def _verbose(task: str, language: str, text: str, seed: int) -> dict[str, Any]:
    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": DURATION_S,
        "text": text,
        "tokens": [seed % 50_000 + at for at in range(PIECES)],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.2,
        "no_speech_prob": 0.01,
    }
    body = {"task": task, "language": language, "duration": DURATION_S, "text": text, "segments": [segment]}
    if task == "transcribe":
        body["usage"] = {"type": "duration", "seconds": DURATION_S}
    return body


ROUTES = (
    Route("POST", "/audio/speech", answer_speech, OPENAI),
    Route("POST", "/audio/transcriptions", answer_transcriptions, OPENAI),
    Route("POST", "/audio/translations", answer_translations, OPENAI),
)
