"""The choice between lanes: what may not happen, whatever their costs and times are."""

from hypothesis import given
from hypothesis import strategies as st

from shared.patience.lanes import JobLane, Lane, LaneOption, choose_lane, promote_after_s

TIMES = st.none() | st.floats(0, 100_000)
OTHERS = st.lists(
    st.builds(
        LaneOption,
        lane=st.sampled_from([Lane.FLEX, Lane.BATCH, Lane.LEAST_COST]),
        cost=st.integers(0, 20),
        time_s=TIMES | st.just(float("inf")),
    ),
    max_size=5,
)
NOW = st.builds(LaneOption, lane=st.just(Lane.NOW), cost=st.integers(0, 20), time_s=st.floats(0, 1000))
WAITS = st.floats(0, 200_000)
MARGINS = st.floats(0, 1000)


@given(NOW, OTHERS, WAITS, MARGINS)
def test_no_lane_is_chosen_that_may_answer_too_late(
    now: LaneOption, others: list[LaneOption], patience_s: float, margin_s: float
) -> None:
    chosen = choose_lane(now, others, patience_s=patience_s, margin_s=margin_s)
    if chosen is not now:
        assert chosen.time_s is not None
        assert chosen.time_s <= promote_after_s(now, patience_s, margin_s)


@given(NOW, OTHERS, WAITS, MARGINS)
def test_no_dearer_lane_is_chosen_than_is_needed(
    now: LaneOption, others: list[LaneOption], patience_s: float, margin_s: float
) -> None:
    chosen = choose_lane(now, others, patience_s=patience_s, margin_s=margin_s)
    until_s = promote_after_s(now, patience_s, margin_s)
    in_time = [each.cost for each in others if each.time_s is not None and each.time_s <= until_s]
    assert chosen.cost == min([now.cost, *in_time])


@given(NOW, OTHERS, WAITS, WAITS, MARGINS)
def test_more_patience_never_costs_more(
    now: LaneOption, others: list[LaneOption], one_s: float, other_s: float, margin_s: float
) -> None:
    shorter, longer = sorted((one_s, other_s))
    costs = [choose_lane(now, others, patience_s=wait_s, margin_s=margin_s).cost for wait_s in (shorter, longer)]
    assert costs[1] <= costs[0]


@given(NOW, st.permutations([(Lane.FLEX, 3, 10.0), (Lane.BATCH, 3, 20.0), (Lane.LEAST_COST, 3, 10.0)]))
def test_the_choice_does_not_depend_on_the_order(now: LaneOption, rows: list[tuple[Lane, int, float]]) -> None:
    others = [LaneOption(lane=lane, cost=cost, time_s=time_s) for lane, cost, time_s in rows]
    chosen = choose_lane(now, others, patience_s=1e6, margin_s=0)
    assert chosen.lane == (Lane.FLEX if now.cost > 3 else Lane.NOW)


def test_a_lane_is_read_as_it_was_stored() -> None:
    lane = JobLane(lane=Lane.LEAST_COST, saving=12, promote_ms=34, due_ms=56, model="a/b", gathers=True)
    assert JobLane.from_json(lane.to_json()) == lane
    assert JobLane.from_json(None) is None
    assert JobLane(lane=Lane.NOW).to_json() == {"name": "now"}
