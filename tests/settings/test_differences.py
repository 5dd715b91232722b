"""What changes between two configurations, with secrets masked."""

from typing import Any

from shared.settings.differences import differences, fixed_changes
from shared.settings.model import Settings


def settings(**raw: Any) -> Settings:
    return Settings.model_validate(raw)


def test_changed_settings_are_listed_with_both_values() -> None:
    old = settings(aliases={"a": "x/y"}, routes={"r": {"targets": ["x/a"]}}, log={"requests": False})
    new = settings(jobs={"max_attempts": 5}, routes={"r": {"targets": ["x/a", "x/b"]}}, fallbacks={"x/a": ["x/b"]})
    assert set(map(str, differences(old, new))) == {
        "jobs.max_attempts: 3 -> 5",
        "log.requests: false -> true",
        "aliases.a: x/y -> -",
        "routes.r.targets[1].model: - -> x/b",
        "routes.r.targets[1].weight: - -> 1.0",
        "fallbacks.x/a: - -> x/b",
    }
    assert differences(old, old) == []


def test_a_changed_secret_is_listed_and_masked() -> None:
    keys = [{"openai": {"keys": [f"sk-{letter * 16}-same"]}} for letter in "ab"]
    [line] = map(str, differences(settings(providers=keys[0]), settings(providers=keys[1])))
    assert line == "providers.openai.keys[0].value: ****same -> ****same"


def test_what_needs_a_restart_is_named() -> None:
    new = settings(server={"port": 9}, redis={"url": "redis://h/1"}, jobs={"max_attempts": 5})
    assert fixed_changes(settings(), new) == ["server.port", "redis.url"]
