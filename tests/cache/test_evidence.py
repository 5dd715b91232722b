"""What the evidence of comparisons allows: never more than so many wrong answers, with 95 % confidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cache.evidence import Evidence, is_bounded, read_evidence, step_of, upper_bound


def evidence(*, seen: int, wrong: int = 0, step: int = 93) -> Evidence:
    return Evidence({step: seen}, {step: wrong} if wrong else {})


def test_without_disagreement_one_percent_takes_299_comparisons() -> None:
    assert evidence(seen=298).serves_from(85, 0.01, 50) is None
    assert evidence(seen=299).serves_from(85, 0.01, 50) == 93


def test_an_upstream_that_answers_one_in_twenty_differently_is_never_served() -> None:
    for seen in range(1, 2_001):
        assert evidence(seen=seen, wrong=-(-seen // 20)).serves_from(85, 0.01, 50) is None


def test_what_was_served_ends_when_the_bound_breaks() -> None:
    assert evidence(seen=600, wrong=1).serves_from(85, 0.01, 50) == 93
    assert evidence(seen=601, wrong=3).serves_from(85, 0.01, 50) is None


def test_more_similar_matches_may_be_served_alone() -> None:
    both = Evidence({85: 500, 95: 500}, {85: 50})
    assert both.serves_from(85, 0.01, 50) == 95
    assert both.counts(85) == (1000, 50)
    assert both.serves_from(96, 0.01, 50) is None


def test_few_comparisons_serve_nothing() -> None:
    assert evidence(seen=49).serves_from(85, 0.5, 50) is None
    assert evidence(seen=50).serves_from(85, 0.5, 50) == 93


@pytest.mark.parametrize(
    ("seen", "wrong", "bound"),
    [(299, 0, 0.00997), (100, 0, 0.02951), (100, 5, 0.10225), (10, 5, 0.77756), (3, 3, 1), (0, 0, 1)],
)
def test_the_bound_is_that_of_clopper_and_pearson(seen: int, wrong: int, bound: float) -> None:
    assert upper_bound(seen, wrong) == pytest.approx(bound, abs=1e-4)


@given(st.integers(1, 3_000), st.integers(0, 40), st.sampled_from([0.005, 0.01, 0.05, 0.3]))
def test_the_test_and_the_bound_agree(seen: int, wrong: int, most: float) -> None:
    bound = upper_bound(seen, min(wrong, seen))
    if abs(bound - most) > 1e-9:
        assert is_bounded(seen, min(wrong, seen), most) == (bound < most)


def test_garbage_in_the_store_is_left_out() -> None:
    fields = {
        "seen:93": "7",
        "wrong:93": "x",
        "seen:": "1",
        "seen:101": "5",
        "other:1": "2",
        "total": "9",
        "wrong:-1": "3",
    }
    assert read_evidence(fields) == Evidence({93: 7}, {})


@pytest.mark.parametrize(
    ("similarity", "step"), [(0.93, 93), (0.9299, 92), (1.0, 100), (1.5, 100), (-1.0, 0), (0.29, 29)]
)
def test_similarities_are_rounded_down(similarity: float, step: int) -> None:
    assert step_of(similarity) == step
