"""What a request asks of the cache."""

from math import inf

import pytest

from shared.cache.policy import CachePolicy, read_policy
from shared.errors import InvalidRequest
from shared.settings.cache import CacheSettings

EXACT = CacheSettings(mode="exact", max_ttl_s=86_400)
ASKED = CacheSettings(mode="exact", when="asked")


def policy(settings: CacheSettings = EXACT, request_type: str = "chat.completions", **headers: str) -> CachePolicy:
    found = read_policy({n.replace("_", "-").encode(): v.encode() for n, v in headers.items()}, settings, request_type)
    assert found is not None
    return found


def test_without_headers_an_answer_is_looked_for_and_stored() -> None:
    assert policy() == CachePolicy(ttl_s=3600)
    assert policy(request_type="embeddings").ttl_s == 7 * 86_400


@pytest.mark.parametrize(
    ("directives", "expected"),
    [
        ("no-store", {"look": False, "store": False}),
        ("No-Cache", {"look": False, "reload": True}),
        ("max-age=60", {"max_age_s": 60}),
        ('max-age="60"', {"max_age_s": 60}),
        ("max-age", {"max_age_s": 0}),
        ("max-age=-1", {"max_age_s": 0}),
        ("max-age=9e9", {"max_age_s": 0}),
        ("only-if-cached", {"only_if_cached": True}),
        ("no-store, no-cache", {"look": False, "store": False, "reload": True}),
        (" , private,, min-fresh=1", {}),
    ],
)
def test_the_directives_of_cache_control(directives: str, expected: dict[str, object]) -> None:
    assert policy(cache_control=directives) == CachePolicy(**{"ttl_s": 3600, **expected})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("30s", 30), ("5m", 300), ("1H", 3600), ("1d", 86_400), ("999999999d", 86_400)]
)
def test_a_life_is_read_and_capped(text: str, seconds: int) -> None:
    assert policy(x_bf_cache_ttl=text).ttl_s == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "1.5", "5 m", "1w", "9999999999", "⁵"])
def test_an_invalid_life_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="x-bf-cache-ttl must be a time"):
        policy(x_bf_cache_ttl=text)


@pytest.mark.parametrize("text", ["", "  ", "k" * 257, "a\tb"])
def test_an_invalid_cache_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        policy(x_bf_cache_key=text)
    assert refused.value.param == "x-bf-cache-key"


def test_an_unknown_kind_of_match_and_an_unclear_switch_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="must be direct, near or semantic, not 'fuzzy'"):
        policy(x_bf_cache_type="fuzzy")
    with pytest.raises(InvalidRequest, match="must be true or false, not 'maybe'"):
        policy(x_bf_cache_debug="maybe")


@pytest.mark.parametrize("text", ["-0.1", "1.1", "nan", "high", ""])
def test_an_invalid_threshold_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="between 0 and 1"):
        policy(x_bf_cache_threshold=text)


def test_a_request_may_ask_for_closer_matches() -> None:
    assert policy(x_bf_cache_type="Semantic", x_bf_cache_threshold="0.9") == CachePolicy(ttl_s=3600, threshold=0.9)
    direct = policy(x_bf_cache_type="direct")
    assert direct == CachePolicy(ttl_s=3600, near=False, semantic=False)
    near = policy(x_bf_cache_type="near")
    assert near == CachePolicy(ttl_s=3600, semantic=False)
    for one in (direct, near, policy(x_bf_cache_threshold="0.9")):
        assert CachePolicy.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({}, False),
        ({"cache_control": "no-store"}, False),
        ({"x_bf_cache_ttl": "soon"}, False),
        ({"cache_control": "max-age=1"}, True),
        ({"x_bf_cache_key": "k"}, True),
    ],
)
def test_asked_means_a_cache_key_or_max_age(headers: dict[str, str], asks: bool) -> None:
    found = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    assert (read_policy(found, ASKED, "chat.completions") is not None) is asks


@pytest.mark.parametrize(
    "before",
    [
        CachePolicy(ttl_s=5),
        CachePolicy(ttl_s=5, look=False, store=False, reload=True, partition="p", max_age_s=9.0),
    ],
)
def test_a_jobs_record_keeps_the_policy(before: CachePolicy) -> None:
    assert CachePolicy.from_json(before.to_json()) == before
    assert before.max_age_s in (inf, 9.0)


def test_max_stale_is_kept_with_a_job() -> None:
    policy = read_policy({b"cache-control": b"max-stale=60"}, CacheSettings(mode="exact"), "chat.completions")
    assert policy is not None
    assert CachePolicy.from_json(policy.to_json()) == policy


def test_equal_headers_are_parsed_once_and_long_ones_are_not_remembered() -> None:
    assert policy(x_bf_cache_key="session-7") is policy(x_bf_cache_key="session-7")
    long = "no-cache, " * 60
    assert policy(cache_control=long) == policy(cache_control=long)
    assert policy(cache_control=long) is not policy(cache_control=long)
    assert policy(EXACT, x_bf_cache_ttl="90000").ttl_s == 86_400
    assert policy(CacheSettings(mode="exact", max_ttl_s=600), x_bf_cache_ttl="90000").ttl_s == 600
