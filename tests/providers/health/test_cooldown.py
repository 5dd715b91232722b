import pytest

from shared.errors import UpstreamRefused
from shared.providers.health import cooldown
from shared.providers.health.cooldown import Cooldowns, HealthScope


def refused(status: int, retry_after_s: float | None = None, code: str | None = None) -> UpstreamRefused:
    return UpstreamRefused(status, {"message": "no", "code": code}, provider="p", retry_after_s=retry_after_s)


def test_a_rate_limit_rests_the_key_for_that_model_as_long_as_told() -> None:
    downs = Cooldowns()
    downs.rest("k", "m", refused(429, 7), 100)
    rest = downs.of("k", "m", 100)
    assert rest
    assert (rest.until, rest.told) == (107, True)
    assert downs.of("k", "other", 100) is None
    assert downs.of("k", "m", 107) is None


def test_untold_rests_grow_up_to_a_minute_and_begin_anew_after_an_answer() -> None:
    downs = Cooldowns()
    lengths = [downs.rest("k", "m", refused(429), 0)[1].until for _ in range(8)]
    assert lengths == [1, 2, 4, 8, 16, 32, 60, 60]
    assert downs.served("k", "m") == [HealthScope("k", "m")]
    assert not downs
    assert downs.rest("k", "m", refused(429), 0)[1].until == 1


@pytest.mark.parametrize(
    ("error", "model", "length_s"),
    [
        (refused(401), "", 300),
        (refused(402, 3), "", 300),
        (refused(403), "m", 60),
        (refused(429, None, "insufficient_quota"), "", 300),
    ],
)
def test_a_refused_key_rests_longer(error: UpstreamRefused, model: str, length_s: float) -> None:
    place, rest = Cooldowns().rest("k", "m", error, 0)
    assert place == HealthScope("k", model)
    assert rest.until == length_s


def test_the_longer_of_two_rests_counts() -> None:
    downs = Cooldowns()
    downs.rest("k", "m", refused(429, 5), 0)
    downs.rest("k", "m", refused(401), 0)
    rest = downs.of("k", "m", 1)
    assert rest
    assert rest.status == 401
    assert set(downs.all(1)) == {HealthScope("k", "m"), HealthScope("k", "")}


def test_a_rest_that_is_long_over_is_forgotten() -> None:
    downs = Cooldowns()
    downs.rest("k", "m", refused(429), 0)
    assert downs.of("k", "m", 30) is None
    assert downs, "kept to grow from"
    assert downs.of("k", "m", 100) is None
    assert not downs


def test_made_up_models_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooldown, "MAX_KEPT", 3)
    downs = Cooldowns()
    for number in range(3):
        downs.rest("k", f"m{number}", refused(429, 5), 0)
    downs.rest("k", "late", refused(429, 5), 10)
    assert set(downs.all(10)) == {HealthScope("k", "late")}
    for number in range(3):
        downs.rest("k", f"n{number}", refused(429, 50), 10)
    assert len(downs.all(10)) <= 3
