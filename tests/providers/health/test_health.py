import time

import pytest

from shared.errors import CircuitOpen, ProviderRateLimited, UpstreamFailure, UpstreamRefused
from shared.providers.base import Provider, ProviderKey
from shared.providers.client import gate_of
from shared.providers.health import board as health
from shared.providers.health.board import HealthBoard, ProviderHealth
from shared.providers.health.changes import HealthChange, read_change, write_change
from shared.settings.model import BreakerSettings

BREAKER = BreakerSettings(window_s=10, min_requests=2, error_rate=0.5, open_s=5)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def board_of(clock: Clock, *keys: str, concurrency: int = 100) -> tuple[HealthBoard, list[HealthChange]]:
    made = Provider(
        name="p",
        wire="openai",
        host="direct",
        base_url="http://p",
        keys=tuple(ProviderKey(name=name, value="secret-value", models=("*",)) for name in keys),
        breaker=BREAKER,
        concurrency=concurrency,
    )
    board = HealthBoard({"p": made}, {"p": gate_of(made)}, clock)
    changes: list[HealthChange] = []
    board.notify = changes.append
    return board, changes


def refused(status: int, retry_after_s: float | None = None) -> UpstreamRefused:
    return UpstreamRefused(status, {}, provider="p", retry_after_s=retry_after_s)


def unreached() -> UpstreamFailure:
    error = UpstreamFailure("no connection")
    error.reached = False
    return error


def name_of(key: ProviderKey | None) -> str:
    assert key
    return key.name


def test_a_key_that_cools_down_is_skipped(clock: Clock) -> None:
    mine = board_of(clock, "a", "b")[0]["p"]
    mine.failed("a", "m", refused(429, 30))
    assert {name_of(mine.choose("m", "")) for _ in range(20)} == {"b"}
    assert {name_of(mine.choose("other", "")) for _ in range(50)} == {"a", "b"}, "the limit is of a model"
    clock.now += 31
    assert {name_of(mine.choose("m", "")) for _ in range(50)} == {"a", "b"}


def test_a_stated_cooldown_of_every_key_is_an_error_with_the_shortest_wait(clock: Clock) -> None:
    mine = board_of(clock, "a", "b")[0]["p"]
    mine.failed("a", "m", refused(429, 30))
    mine.failed("b", "m", refused(429, 10))
    assert not mine.has_other("m", frozenset())
    with pytest.raises(ProviderRateLimited) as refusal:
        mine.choose("m", "")
    assert refusal.value.retry_after_s == mine.soonest_s("m") == 10
    assert name_of(mine.choose("m", "", waited=True)) == "b"


def test_refused_keys_are_tried_again_when_there_is_no_other(clock: Clock) -> None:
    mine = board_of(clock, "a")[0]["p"]
    mine.failed("a", "m", refused(401))
    assert name_of(mine.choose("m", "")) == "a", "its answer says why better than we could"


def test_a_provider_without_keys_cools_down_too(clock: Clock) -> None:
    mine = board_of(clock)[0]["p"]
    assert mine.choose("m", "") is None
    mine.failed("", "m", refused(429, 10))
    with pytest.raises(ProviderRateLimited):
        mine.choose("m", "")
    assert mine.choose("m", "", waited=True) is None
    assert mine.soonest_s("m") == 10


def test_an_answer_ends_a_cooldown(clock: Clock) -> None:
    board, changes = board_of(clock, "a")
    mine = board["p"]
    mine.failed("a", "m", refused(401))
    assert not mine.quiet
    mine.answered("a", "m", 0.1)
    assert [change.kind for change in changes] == ["rest", "served"]
    mine.choose("m", "")
    assert mine.calm
    assert mine.quiet


def test_a_model_that_fails_is_left_alone_then_probed(clock: Clock) -> None:
    board, changes = board_of(clock, "a")
    mine = board["p"]
    for _ in range(2):
        mine.failed("a", "m", refused(500))
    with pytest.raises(CircuitOpen) as refusal:
        mine.choose("m", "")
    assert refusal.value.retry_after_s == 5
    assert name_of(mine.choose("healthy", "")) == "a"
    clock.now += 5
    assert name_of(mine.choose("m", "")) == "a"
    with pytest.raises(CircuitOpen):
        mine.choose("m", "")
    mine.answered("a", "m", 0.1)
    assert name_of(mine.choose("m", "")) == "a"
    assert [change.kind for change in changes] == ["open", "closed"]
    clock.now += 11
    mine.answered("a", "m", 0.1)
    assert mine.quiet, "what has not failed for a window is forgotten"


def test_an_urgent_call_passes_an_open_circuit_once_a_second(clock: Clock) -> None:
    mine = board_of(clock, "a")[0]["p"]
    assert mine.wait_s("m") == 0
    for _ in range(2):
        mine.failed("a", "m", refused(500))
    assert mine.wait_s("m") == 5
    with pytest.raises(CircuitOpen) as refusal:
        mine.choose("m", "", urgent=True)
    assert refusal.value.retry_after_s == 1
    clock.now += 1
    assert name_of(mine.choose("m", "", urgent=True)) == "a"
    with pytest.raises(CircuitOpen):
        mine.choose("m", "", urgent=True)
    mine.answered("a", "m", 0.1)
    assert mine.wait_s("m") == 0


def test_a_provider_without_keys_has_circuits_too(clock: Clock) -> None:
    mine = board_of(clock)[0]["p"]
    for _ in range(2):
        mine.failed("", "m", refused(500))
    assert (mine.wait_s("m"), mine.wait_s("other")) == (5, 0)


def test_a_key_that_fails_is_passed_over(clock: Clock) -> None:
    mine = board_of(clock, "a", "b")[0]["p"]
    for _ in range(2):
        mine.failed("a", "m", UpstreamFailure("reset"))
    assert {name_of(mine.choose("m", "")) for _ in range(20)} == {"b"}


def test_a_provider_that_cannot_be_reached_is_left_alone_as_a_whole(clock: Clock) -> None:
    board, _ = board_of(clock, "a")
    mine = board["p"]
    for _ in range(2):
        mine.failed("a", "m", unreached())
    with pytest.raises(CircuitOpen):
        mine.choose("another", "")
    assert board.states()["p"]["circuit"] == "open"
    clock.now += 5
    mine.choose("another", "")
    mine.failed("a", "another", refused(400))
    assert board.states()["p"]["circuit"] == "closed", "it answered, that is what was asked"


def test_other_processes_apply_the_changes(clock: Clock) -> None:
    here, changes = board_of(clock, "a", "b", concurrency=100)
    there, _ = board_of(clock, "a", "b", concurrency=100)
    here["p"].failed("a", "m", refused(429, 30))
    for _ in range(2):
        here["p"].failed("b", "n", refused(503))
    for change in changes:
        there.learn(change)
    state = there.states()["p"]
    assert [(rest["key"], rest["model"], rest["status"]) for rest in state["resting_keys"]] == [("a", "m", 429)]
    assert [(each["key"], each["model"], each["circuit"]) for each in state["circuits"]] == [("b", "n", "open")]
    assert state["concurrency"]["limit"] < 100
    assert "secret-value" not in str(state)
    changes.clear()
    here["p"].answered("a", "m", 0.1)
    clock.now += 5
    here["p"].answered("b", "n", 0.1)
    for change in changes:
        there.learn(change)
    assert there.states()["p"]["resting_keys"] == there.states()["p"]["circuits"] == []


def test_expired_or_unknown_changes_are_ignored(clock: Clock) -> None:
    board, _ = board_of(clock, "a")
    board.learn(HealthChange(kind="rest", provider="p", key="a", until=time.time() - 1))
    board.learn(HealthChange(kind="rest", provider="nobody", key="a", until=time.time() + 9))
    assert board["p"].calm
    assert list(board) == ["p"]
    assert len(board) == 1


def test_made_up_models_do_not_fill_the_memory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MAX_CIRCUITS", 8)
    monkeypatch.setattr(health, "MAX_MODELS", 4)
    mine = board_of(clock, "a")[0]["p"]
    for number in range(40):
        mine.keys(f"m{number}")
        for _ in range(1 + number % 2):
            mine.failed("a", f"m{number}", refused(500))
    assert len(mine._circuits) <= 8
    assert len(mine._serving) <= 4
    assert mine._open <= mine._circuits.keys()


def test_the_times_of_models_are_kept_when_asked_for(clock: Clock) -> None:
    mine: ProviderHealth = board_of(clock, "a")[0]["p"]
    mine.measure()
    mine.answered("a", "m", 0.25)
    assert mine.latencies.expected_s("m", clock.now) == 0.25
    assert not mine.quiet


def test_changes_are_read_back_and_garbage_is_not() -> None:
    change = HealthChange(kind="rest", provider="p", key="a", model="m", until=5.0, stated=True, status=429)
    assert read_change(write_change(change, "me")) == ("me", change)
    for garbage in (b"", b"[]", b"1", b'{"v": 2}', b'{"v": 1}', b'{"v": 1, "by": "x", "kind": "rest"}'):
        assert read_change(garbage) is None
    wrong = HealthChange(kind="dance", provider="p")  # type: ignore[arg-type]
    assert read_change(b'{"v":1,"by":"x","kind":"dance","provider":"p"}') is None, wrong
    assert read_change(b'{"v":1,"by":"x","kind":"rest","provider":7}') is None
    assert read_change(b'{"v":1,"by":"x","kind":"rest","provider":"p","until":"soon"}') is None
