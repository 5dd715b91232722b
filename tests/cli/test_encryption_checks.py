"""What `finops doctor` says of the encryption of bodies."""

import sys

import pytest

from shared.checks.encryption import check_encryption
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.encryption import BodyCipher

OLD, NEW, GONE = (bytes([number] * 32) for number in (1, 2, 3))


async def found(commands: RedisCommands, *keys: bytes) -> list[tuple[str, str]]:
    settings = Settings.model_validate({"store": {"encryption_key": [key.hex() for key in keys]}})
    return [(finding.level, finding.message) for finding in await check_encryption(commands, settings)]


async def test_without_a_key_and_sealed_bodies_nothing_is_said(commands: RedisCommands) -> None:
    await commands.execute("SET", "finops:job:a:payload", "{}")
    assert await found(commands) == []


async def test_a_key_that_stored_bodies_need_and_that_is_missing_fails(commands: RedisCommands) -> None:
    old, new, gone = (BodyCipher((key,)) for key in (OLD, NEW, GONE))
    await commands.execute("SET", "finops:job:a:payload", old.seal(b"body", "a"))
    await commands.execute("SET", "finops:response:a", new.seal(b"body", "a"))
    assert await found(commands, NEW, OLD, GONE) == [
        ("OK", f"bodies are sealed with the key {new.key_ids[0]}; {old.key_ids[0]} still needed")
    ]
    for number in (0, 1):
        await commands.execute("SET", f"finops:file:a:{number}", gone.seal(b"body", "a"))
    problem = f"2 stored bodies are sealed with the key {gone.key_ids[0]}, which is not configured"
    assert await found(commands, NEW, OLD) == [("FAIL", problem)]
    assert len(await found(commands)) == 3


async def test_a_look_at_a_large_store_ends(commands: RedisCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.checks.encryption._ROUNDS", 1)
    monkeypatch.setattr("shared.checks.encryption._COUNT", 1)
    for number in range(100):
        await commands.execute("SET", f"finops:file:a:{number}", b"plain")
    assert await found(commands, NEW) == [("OK", f"bodies are sealed with the key {BodyCipher((NEW,)).key_ids[0]}")]


async def test_a_missing_library_fails(commands: RedisCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    ((level, message),) = await found(commands, NEW)
    assert (level, "finops-gateway[encryption]" in message) == ("FAIL", True)
