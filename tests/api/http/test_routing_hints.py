import pytest

from api.http.routing_hints import limits, sdk_timeout_s, session_of, timeout_s
from shared.errors import InvalidRequest


def test_a_session_is_named_by_header_or_by_the_body() -> None:
    assert session_of({b"x-bf-session-id": b"abc"}, {"prompt_cache_key": "def"}) == "abc"
    assert session_of({}, {"prompt_cache_key": "def"}) == "def"
    assert session_of({}, {"prompt_cache_key": 7}) == ""
    assert len(session_of({b"x-bf-session-id": b"x" * 10_000}, {})) == 512


def test_x_bf_timeout_is_in_seconds() -> None:
    assert timeout_s({}) is None
    assert timeout_s({b"x-bf-timeout": b"1.5"}) == 1.5


@pytest.mark.parametrize("header", [b"", b"soon", b"0", b"-1", b"nan", b"inf", b"1e9"])
def test_an_invalid_timeout_is_a_400(header: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        timeout_s({b"x-bf-timeout": header})
    assert refusal.value.param == "x-bf-timeout"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(b"600", 598), (b"60.5", 58.5), (b"6", 5), (b"1", 5), (b"None", None), (b"", None), (b"-3", None), (b"nan", None)],
)
def test_an_sdks_limit_is_a_hint(header: bytes, seconds: float | None) -> None:
    assert sdk_timeout_s({b"x-stainless-read-timeout": header}) == seconds


def test_an_sdks_limit_bounds_an_answer_and_the_begin_of_a_stream() -> None:
    sdk = {b"x-stainless-read-timeout": b"602"}
    assert limits(sdk, 100, stream=False) == (700, None)
    assert limits(sdk, 100, stream=True) == (None, 700)
    assert limits({}, 100, stream=True) == (None, None)


def test_x_bf_timeout_overrides_the_sdks_timeout() -> None:
    both = {b"x-stainless-read-timeout": b"602", b"x-bf-timeout": b"3"}
    assert limits(both, 100, stream=True) == (103, None)
