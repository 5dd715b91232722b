"""Everything that a store holds, as bytes."""

from shared.store.commands import RedisCommands

_READ = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1),
    b"stream": ("XRANGE", "-", "+"),
}


async def dump(commands: RedisCommands) -> dict[str, bytes]:
    """Return the content of every key."""
    found: dict[str, bytes] = {}
    cursor: bytes = b"0"
    while True:
        cursor, keys = await commands.execute("SCAN", cursor, "COUNT", 1000)
        for key in keys:
            kind = await commands.execute("TYPE", key)
            if kind != b"none":
                name, *more = _READ[kind]
                found[key.decode()] = b"\0".join(_flat(await commands.execute(name, key, *more)))
        if cursor == b"0":
            return found


def _flat(value: object) -> list[bytes]:
    if isinstance(value, list | tuple | set):
        return [piece for each in value for piece in _flat(each)]
    return [value] if isinstance(value, bytes) else []
