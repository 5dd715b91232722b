from collections import Counter

from shared.providers.base import ProviderKey
from shared.providers.health.selection import choose_key

KEYS = [
    ProviderKey(name="a", value="1", weight=1),
    ProviderKey(name="b", value="2", weight=3),
    ProviderKey(name="c", value="3", weight=0),
]


def test_keys_are_chosen_by_weight() -> None:
    chosen = [choose_key(KEYS[:2], chance=chance) for chance in (0.0, 0.24, 0.26, 0.99, 1.0)]
    assert [key.name for key in chosen if key] == ["a", "a", "b", "b", "b"]
    assert choose_key(KEYS) in KEYS
    assert choose_key([]) is None
    assert choose_key(KEYS[:1]) is KEYS[0]


def test_a_session_stays_with_its_key_and_sessions_spread_by_weight() -> None:
    sessions = [f"session-{number}" for number in range(2000)]
    chosen = {session: choose_key(KEYS, session) for session in sessions}
    assert all(choose_key(KEYS, session) is key for session, key in chosen.items())
    counts = Counter(key.name for key in chosen.values() if key)
    assert 0.7 < counts["b"] / 2000 < 0.8
    assert counts["c"] == 0


def test_a_key_that_goes_takes_only_its_own_sessions_along() -> None:
    for number in range(200):
        session = f"session-{number}"
        before = choose_key(KEYS, session)
        assert before is KEYS[1] or choose_key([KEYS[0], KEYS[2]], session) is before


def test_any_text_can_be_a_session() -> None:
    assert choose_key(KEYS, "\ud800\0é") in KEYS
