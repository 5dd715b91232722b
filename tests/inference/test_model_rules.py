"""What a key may use binds whatever way the model is spelled."""

import orjson
import pytest

from shared.errors import GatewayError, InvalidRequest, ModelBlocked
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.governance.pricing.prices import PriceBook
from shared.inference.assembly import build_inference
from shared.settings.model import Settings
from shared.settings.prices import PriceSettings
from shared.surfaces.request_body import read_request
from shared.surfaces.request_types import CHAT, IMAGE_EDITS, TRANSCRIPTIONS
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat

LIMITED = Caller(key_id="k", name="k", denied_models=("openai/gpt-5*",))


@pytest.mark.parametrize("model", ["openai/gpt-5", "openai/GPT-5", "gpt-5-Pro", "openai/Gpt-5.1"])
async def test_a_denied_model_is_denied_in_any_case(inference, model: str) -> None:
    with pytest.raises(ModelBlocked):
        await inference.answer(chat(model, caller=LIMITED))
    assert not LIMITED.may_use("openai", model.removeprefix("openai/"))


@pytest.mark.parametrize(
    "model", ["openai/ gpt-5", "openai//gpt-5", "openai/./gpt-5", "openai/a/../gpt-5", "openai/a /b", "openai/a/"]
)
@pytest.mark.parametrize("caller", [ANONYMOUS, LIMITED])
async def test_a_name_that_is_not_canonical_is_a_400(inference, caller: Caller, model: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await inference.answer(chat(model, caller=caller))
    assert (refusal.value.status, refusal.value.param) == (400, "model")


def test_white_space_around_a_name_is_not_part_of_it() -> None:
    body = orjson.dumps({"model": " openai/gpt-5 ", "messages": [{"role": "user", "content": "hi"}]})
    assert read_request(CHAT, body, "application/json").model == "openai/gpt-5"


async def test_the_authorised_model_is_the_one_written(inference, sim: RunningSimulator) -> None:
    await inference.answer(chat("sim/gpt", messages=[{"role": "user", "content": '{"model": "no"}'}]))
    assert sim.requests[-1].body["model"] == "gpt"


MESSAGES = '"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"gpt-5-pro",%s,"model":"gpt-4o-mini"}',
        '{"model":"gpt-5-pro",%s,"\\u006dodel":"gpt-4o-mini"}',
        '{"m\\u006fdel":"gpt-5-pro",%s,"model" : "gpt-4o-mini"}',
        '{"model":"a",%s,"tools":[{"model":"a","model":"b"}]}',
    ],
)
def test_a_model_that_is_named_twice_is_a_400(body: str) -> None:
    with pytest.raises(InvalidRequest, match="more than once") as refusal:
        read_request(CHAT, (body % MESSAGES).encode(), "application/json")
    assert refusal.value.param == "model"


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"a",%s,"tools":[{"model":"b"},{"model" :"c"}]}',
        '{"model":"a",%s,"x":"\\"model\\":1","y":{"z\\"model":1}}',
        '{"model":"a",%s,"x":"\\u0061","y":{"model":2}}',
        '{"model":"model",%s}',
    ],
)
def test_models_in_different_objects_are_no_repetition(body: str) -> None:
    assert read_request(CHAT, (body % MESSAGES).encode(), "application/json").model in {"a", "model"}


def form(*parts: tuple[str, str, str]) -> bytes:
    head = "--b\r\ncontent-disposition: form-data; name="
    lines = [
        f'{head}"{name}"{filename and "; filename=" + filename}\r\n\r\n{value}\r\n' for name, value, filename in parts
    ]
    return ("".join(lines) + "--b--\r\n").encode()


FORM = "multipart/form-data; boundary=b"


def test_a_form_with_two_models_is_a_400() -> None:
    body = form(("model", "gpt-5", ""), ("file", "sound", "a.wav"), ("model", "whisper-1", ""))
    with pytest.raises(InvalidRequest, match="more than one field 'model'"):
        read_request(TRANSCRIPTIONS, body, FORM)


def test_text_where_a_file_belongs_is_a_400() -> None:
    with pytest.raises(InvalidRequest, match="must be a file") as refusal:
        read_request(TRANSCRIPTIONS, form(("model", "whisper-1", ""), ("file", "sound", "")), FORM)
    assert refusal.value.param == "file"
    with pytest.raises(InvalidRequest, match="must be a file") as refusal:
        read_request(IMAGE_EDITS, form(("prompt", "p", ""), ("image[]", "data", "")), FORM)
    assert refusal.value.param == "image"


def test_a_file_where_the_model_belongs_is_a_400() -> None:
    with pytest.raises(InvalidRequest, match="must be text") as refusal:
        read_request(TRANSCRIPTIONS, form(("model", "whisper-1", "m"), ("file", "sound", "a.wav")), FORM)
    assert refusal.value.param == "model"


def test_a_whole_form_is_read() -> None:
    body = form(("model", "whisper-1", ""), ("file", "sound", "a.wav"))
    assert read_request(TRANSCRIPTIONS, body, FORM).model == "whisper-1"


async def test_a_deployment_is_ruled_and_priced_as_its_model() -> None:
    azure = {
        "base_url": "http://127.0.0.1:9",
        "keys": [{"value": "k"}],
        "deployments": {"gpt-4o": "prod-gpt4o", "other": "gpt-4o-mini"},
    }
    inference = build_inference(Settings.model_validate({"providers": {"azure": azure}}), {})
    denied = Caller(key_id="k", name="k", denied_models=("azure/gpt-4o",))
    try:
        for name in ("azure/prod-gpt4o", "azure/PROD-gpt4o", "azure/GPT-4o"):
            with pytest.raises(ModelBlocked):
                await inference.authorise(chat(name, caller=denied))
        with pytest.raises(GatewayError):
            await inference.answer(chat("azure/unknown"))
        assert inference.providers.resolve("azure/prod-gpt4o")[1] == "gpt-4o"
        assert inference.providers.resolve("azure/unknown")[1] == "unknown"
    finally:
        await inference.aclose()


def test_a_price_is_found_in_any_case() -> None:
    prices = PriceBook({"p/Big-*": PriceSettings(input=1)}, {"openai": "openai"})
    assert prices.price("p", "bIG-model")
    assert prices.price("openai", "GPT-4o") == prices.price("openai", "gpt-4o") is not None
