"""Every key dies: finds those in a store that never would."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from redis.asyncio import Redis

NO_EXPIRY = -1


async def assert_no_key_leaks(redis: Redis, permanent: Sequence[str] = ()) -> None:
    """Fail, naming them, if there are keys without a TTL.

    Args:
        redis: The store; all its keys are looked at.
        permanent: Glob patterns of keys that may stay for ever.
    """
    leaked = [
        name
        async for key in redis.scan_iter(count=1000)
        if await redis.pttl(key) == NO_EXPIRY and not _is_listed(name := _text(key), permanent)
    ]
    assert not leaked, f"keys that never expire: {', '.join(sorted(leaked))}"


def _text(key: str | bytes) -> str:
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else key


def _is_listed(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
