"""What limits have left: read together, the tightest first, and no more than a board can show."""

import pytest

from shared.governance.limits import headroom
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.headroom import read_headroom
from shared.governance.limits.model import Limit
from shared.store.commands import RedisCommands


async def test_the_tightest_limits_come_first_and_each_once(
    commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = LimitGuard(commands)
    limits = [Limit("requests", f"key:{name}", "1d", amount) for name, amount in (("a", 10), ("b", 2), ("c", 1))]
    await guard.admit("r", limits, cost=0, tokens=0)
    unlimited = Limit("cost", "run:a:1", "run", -1)
    assert await read_headroom(guard, [*limits, *limits, unlimited]) == [
        ("requests", "key:c", "1d", 0.0), ("requests", "key:b", "1d", 0.5), ("requests", "key:a", "1d", 0.9),
    ]  # fmt: skip
    monkeypatch.setattr(headroom, "MAX_SERIES", 1)
    monkeypatch.setattr(headroom, "MAX_READ", 2)
    assert await read_headroom(guard, limits) == [("requests", "key:b", "1d", 0.5)]
    assert await read_headroom(guard, []) == []
