"""Checks of the encryption of bodies: its library, and whether the configured keys open what the store holds."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from shared.checks.findings import Finding, fail, ok
from shared.settings.model import Settings
from shared.store.commands import RedisCommands, translated_faults
from shared.store.encryption import BodyCipher, EncryptionUnavailable, sealing_key

_CHECK: Final = "encryption"
_ROUNDS: Final = 20
_COUNT: Final = 1000
_BODIES: Final = ("finops:job:*:payload", "finops:job:*:result", "finops:response:*", "finops:file:*:*")
_HEAD_BYTES: Final = 12
_FIX: Final = (
    "add it to [store] encryption_key of API and workers, after the first key; until then these bodies are 500"
)


async def check_encryption(
    commands: RedisCommands, settings: Settings, others: Sequence[RedisCommands] = ()
) -> list[Finding]:
    """Compare the keys with which stored bodies are sealed with those that are configured.

    Looks at the first bytes of some tens of thousands of keys at most.

    Args:
        commands: A connection to the store.
        settings: The keys that are configured.
        others: Connections to further shards, whose bodies count too.

    Raises:
        StoreConnectionError: The store does not answer.
    """
    try:
        cipher = BodyCipher(settings.store.keys())
    except EncryptionUnavailable as error:
        return [fail(_CHECK, str(error), "install it where API and workers run; nothing starts until then")]
    used: Counter[str] = Counter()
    for shard in (commands, *others):
        used.update(await _sealing_keys(shard))
    return list(_judge(cipher.key_ids, used))


def _judge(configured: Sequence[str], used: dict[str, int]) -> Iterator[Finding]:
    missing = {key: count for key, count in used.items() if key and key not in configured}
    for key, count in missing.items():
        yield fail(_CHECK, f"{count} stored bodies are sealed with the key {key}, which is not configured", _FIX)
    if configured and not missing:
        older = [key for key in configured[1:] if key in used]
        needed = f"; {', '.join(older)} still needed" if older else ""
        yield ok(_CHECK, f"bodies are sealed with the key {configured[0]}{needed}")


async def _sealing_keys(commands: RedisCommands) -> dict[str, int]:
    """Count stored bodies by the id of their key; empty: not sealed."""
    found: dict[str, int] = {}
    with translated_faults():
        for pattern in _BODIES:
            async for keys in _scan(commands, pattern):
                reads = [("GETRANGE", key, 0, _HEAD_BYTES - 1) for key in keys]
                for head in await commands.execute_many(reads, retry_safe=True):
                    key = sealing_key(head)
                    found[key] = found.get(key, 0) + 1
    return found


async def _scan(commands: RedisCommands, pattern: str) -> AsyncIterator[list[bytes]]:
    cursor = b"0"
    for _ in range(_ROUNDS):
        scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", _COUNT, "TYPE", "string")
        cursor, keys = await commands.execute(*scan, retry_safe=True)
        if keys:
            yield keys
        if cursor == b"0":
            return
