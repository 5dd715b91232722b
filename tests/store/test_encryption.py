"""Sealing of bodies: what opens, and what does not."""

import os
import sys

import pytest

from shared.errors import BodyUndecryptable
from shared.settings.load import InvalidConfiguration, effective, load_settings
from shared.settings.model import Settings
from shared.store.encryption import (
    FRAME_BYTES,
    MAGIC,
    PLAIN,
    BodyCipher,
    EncryptionUnavailable,
    is_sealed,
    key_id,
    sealing_key,
)

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
CIPHER = BodyCipher((KEY,))


@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES])
def test_a_sealed_body_opens_for_its_purpose_alone(size: int) -> None:
    body = os.urandom(size)
    sealed = CIPHER.seal(body, "jobs/a/payload")
    assert CIPHER.open(sealed, "jobs/a/payload") == body
    assert is_sealed(sealed) == bool(size)
    assert size < FRAME_BYTES - 1 or body[:1000] not in sealed
    if size:
        with pytest.raises(BodyUndecryptable, match="bytes were changed"):
            CIPHER.open(sealed, "jobs/b/payload")


def test_the_same_body_is_sealed_differently_each_time() -> None:
    assert CIPHER.seal(b"body", "a") != CIPHER.seal(b"body", "a")


def _frames(body: bytes) -> list[bytes]:
    return [MAGIC + frame for frame in CIPHER.seal(body, "a").split(MAGIC)[1:]]


@pytest.mark.parametrize(
    "changed",
    [
        lambda frames: frames[:-1],
        lambda frames: frames[1:],
        lambda frames: frames[::-1],
        lambda frames: [frames[0], *frames],
        lambda frames: [*frames[:-1], frames[-1][:-1]],
        lambda frames: [*frames, MAGIC],
        lambda frames: [frames[0][:-1] + b"\x00", *frames[1:]],
        lambda frames: [frames[0], b"plain", *frames[1:]],
    ],
)
def test_what_was_cut_or_put_together_anew_does_not_open(changed) -> None:
    frames = _frames(b"x" * (2 * FRAME_BYTES + 1))
    stored = b"".join(changed(frames))
    for opened in (CIPHER.open, CIPHER.open_all):
        with pytest.raises(BodyUndecryptable):
            opened(stored, "a")


def test_a_second_body_or_plain_bytes_after_a_body_are_refused_where_one_is_expected() -> None:
    one = CIPHER.seal(b"one", "a")
    for stored in (one + one, one + b"plain"):
        with pytest.raises(BodyUndecryptable):
            CIPHER.open(stored, "a")


def test_appended_bodies_are_read_sealed_or_plain() -> None:
    one, two = CIPHER.seal(b"one\n", "a"), CIPHER.seal(b"two\n", "b")
    assert CIPHER.open_all(b"zero\n" + one + b"and\n" + two + b"end\n", "a", "b") == b"zero\none\nand\ntwo\nend\n"
    assert PLAIN.open_all(b"plain", "a") == b"plain"
    with pytest.raises(BodyUndecryptable):
        CIPHER.open_all(one + two, "a")


def test_the_first_key_seals_and_all_open() -> None:
    rotated, old = BodyCipher((OTHER, KEY)), CIPHER.seal(b"old", "a")
    assert rotated.open(old, "a") == b"old"
    assert sealing_key(old) == CIPHER.key_ids[0] == key_id(KEY).hex()
    assert sealing_key(rotated.seal(b"new", "a")) == rotated.key_ids[0] == key_id(OTHER).hex()
    assert sealing_key(b"plain") == ""
    for cipher in (BodyCipher((OTHER,)), PLAIN):
        with pytest.raises(BodyUndecryptable, match=key_id(KEY).hex()):
            cipher.open(old, "a")


def test_without_a_key_bodies_stay_as_they_are() -> None:
    assert PLAIN.seal(b"body", "a") == PLAIN.open(b"body", "a") == b"body"
    assert not PLAIN.is_on


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(EncryptionUnavailable, match=r"finops-gateway\[encryption\]"):
        BodyCipher((KEY,))


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    ],
)
def test_keys_are_hex_or_base64_and_several_have_commas_between_them(text: str) -> None:
    settings = load_settings(None, {"FINOPS_ENCRYPTION_KEY": f"{text}, {OTHER.hex()}"})
    assert settings.store.keys() == (KEY, OTHER)
    assert text not in str(effective(settings))
    assert Settings.model_validate({"store": {"encryption_key": [text]}}).store.keys() == (KEY,)
    assert Settings().store.keys() == ()


@pytest.mark.parametrize("text", ["short", "z" * 64, KEY.hex()[:-2], "ä" * 43, "_" * 42])
def test_a_weak_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="must be 32 random bytes") as refused:
        load_settings(None, {"FINOPS_ENCRYPTION_KEY": text})
    assert text not in str(refused.value)
