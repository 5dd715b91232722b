import pytest

from shared.errors import UpstreamRefused
from shared.providers.health import cooldown
from shared.providers.health.cooldown import Cooldowns, HealthScope


def refused(status: int, retry_after_s: float | None = None, code: str | None = None) -> UpstreamRefused:
    return UpstreamRefused(status, {"message": "no", "code": code}, provider="p", retry_after_s=retry_after_s)


def test_a_rate_limit_cools_the_key_down_for_that_model_as_stated() -> None:
    cooldowns = Cooldowns()
    cooldowns.add("k", "m", refused(429, 7), 100)
    cooldown = cooldowns.of("k", "m", 100)
    assert cooldown
    assert (cooldown.until, cooldown.stated) == (107, True)
    assert cooldowns.of("k", "other", 100) is None
    assert cooldowns.of("k", "m", 107) is None


def test_unstated_cooldowns_grow_up_to_a_minute_and_restart_after_an_answer() -> None:
    cooldowns = Cooldowns()
    lengths = [cooldowns.add("k", "m", refused(429), 0)[1].until for _ in range(8)]
    assert lengths == [1, 2, 4, 8, 16, 32, 60, 60]
    assert cooldowns.served("k", "m") == [HealthScope("k", "m")]
    assert not cooldowns
    assert cooldowns.add("k", "m", refused(429), 0)[1].until == 1


@pytest.mark.parametrize(
    ("error", "model", "length_s"),
    [
        (refused(401), "", 300),
        (refused(402, 3), "", 300),
        (refused(403), "m", 60),
        (refused(429, None, "insufficient_quota"), "", 300),
    ],
)
def test_a_refused_key_cools_down_longer(error: UpstreamRefused, model: str, length_s: float) -> None:
    scope, cooldown = Cooldowns().add("k", "m", error, 0)
    assert scope == HealthScope("k", model)
    assert cooldown.until == length_s


def test_the_longer_of_two_cooldowns_counts() -> None:
    cooldowns = Cooldowns()
    cooldowns.add("k", "m", refused(429, 5), 0)
    cooldowns.add("k", "m", refused(401), 0)
    cooldown = cooldowns.of("k", "m", 1)
    assert cooldown
    assert cooldown.status == 401
    assert set(cooldowns.all(1)) == {HealthScope("k", "m"), HealthScope("k", "")}


def test_an_old_cooldown_is_forgotten() -> None:
    cooldowns = Cooldowns()
    cooldowns.add("k", "m", refused(429), 0)
    assert cooldowns.of("k", "m", 30) is None
    assert cooldowns, "kept to grow from"
    assert cooldowns.of("k", "m", 100) is None
    assert not cooldowns


def test_made_up_models_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooldown, "MAX_KEPT", 3)
    cooldowns = Cooldowns()
    for number in range(3):
        cooldowns.add("k", f"m{number}", refused(429, 5), 0)
    cooldowns.add("k", "late", refused(429, 5), 10)
    assert set(cooldowns.all(10)) == {HealthScope("k", "late")}
    for number in range(3):
        cooldowns.add("k", f"n{number}", refused(429, 50), 10)
    assert len(cooldowns.all(10)) <= 3
