from shared.providers.health.circuit import Circuit, CircuitState
from shared.settings.model import BreakerSettings

SETTINGS = BreakerSettings(window_s=10, min_requests=4, error_rate=0.5, open_s=5)


def circuit() -> tuple[Circuit, list[bool]]:
    changes: list[bool] = []
    return Circuit(SETTINGS, lambda each: changes.append(each.closed)), changes


def opened(at: float = 0.0) -> tuple[Circuit, list[bool]]:
    made, changes = circuit()
    for _ in range(4):
        made.failed(at)
    return made, changes


def test_it_opens_on_the_error_rate_and_not_before_enough_was_seen() -> None:
    made, changes = circuit()
    for _ in range(3):
        made.failed(1)
    assert made.state(1) is CircuitState.CLOSED
    made.succeeded(1)
    made.failed(1)
    assert made.state(1) is CircuitState.OPEN
    assert changes == [False]
    assert made.wait_s(2) == 4


def test_few_errors_among_many_do_not_open_it() -> None:
    made, _ = circuit()
    for _ in range(10):
        made.succeeded(1)
        made.succeeded(1)
        made.failed(1)
    assert made.closed


def test_what_lies_before_the_window_does_not_count() -> None:
    made, _ = circuit()
    for at in (0, 1, 2):
        made.failed(at)
    made.failed(14)
    assert made.counts(14) == (1, 1)
    assert made.closed
    assert not made.forgettable(14)
    assert made.forgettable(25)


def test_half_open_lets_one_probe_pass() -> None:
    made, changes = opened()
    assert made.state(5) is CircuitState.HALF_OPEN
    assert made.wait_s(5) == 0
    made.enter(5)
    assert made.wait_s(6) > 0, "others wait for what the probe finds"
    made.succeeded(7)
    assert made.closed
    assert made.wait_s(7) == 0
    assert changes == [False, True]


def test_a_failed_probe_opens_it_again() -> None:
    made, changes = opened()
    made.failed(1)
    assert made.wait_s(1) == 4, "what was under way before says nothing new"
    made.enter(6)
    made.failed(7)
    assert made.wait_s(7) == 5
    assert changes == [False, False]


def test_a_probe_that_is_never_heard_of_again_does_not_close_it_for_ever() -> None:
    made, _ = opened()
    made.enter(6)
    assert made.wait_s(11) == 0


def test_it_opens_on_another_processs_report() -> None:
    made, changes = circuit()
    made.open(9)
    assert made.state(8) is CircuitState.OPEN
    assert changes == []
    assert not made.forgettable(100)


def test_a_closed_one_lets_calls_pass_unnoticed() -> None:
    made, _ = circuit()
    made.enter(1)
    assert made.wait_s(1) == 0


def test_five_failures_in_a_row_open_it_at_any_traffic() -> None:
    changes: list[bool] = []
    made = Circuit(BreakerSettings(), lambda each: changes.append(each.closed))
    for hour in range(4):
        made.failed(hour * 3600)
    made.succeeded(4 * 3600)
    for hour in range(5, 9):
        made.failed(hour * 3600)
    assert made.closed
    made.failed(9 * 3600)
    assert made.state(9 * 3600) is CircuitState.OPEN
    made.succeeded(9 * 3600 + 6)
    made.failed(9 * 3600 + 7)
    assert made.closed, "the count begins anew"
    assert changes == [False, True]


def test_one_urgent_call_a_second_passes_an_open_circuit() -> None:
    made, changes = opened(at=0)
    assert (made.urgent_wait_s(0.25), made.wait_s(0.25)) == (0.75, 4.75)
    assert made.urgent_wait_s(1) == 0
    made.enter(1)
    assert made.urgent_wait_s(1.5) == 0.5, "another one has just tried"
    made.failed(1.1)
    assert made.wait_s(2) == 3, "its failure does not keep the circuit open for longer"
    made.enter(2)
    made.succeeded(2.1)
    assert (made.closed, changes) == (True, [False, True])


def test_urgent_calls_do_not_wait_for_a_probe_and_do_not_hold_up_the_next_one() -> None:
    made, _ = opened(at=0)
    made.enter(4.5)
    assert made.wait_s(5) == 0, "the usual probe is not late because of an urgent call"
    made.enter(5)
    assert (made.wait_s(5.5), made.urgent_wait_s(5.5), made.urgent_wait_s(6)) == (4.5, 0.5, 0)
    closed, _ = circuit()
    assert closed.urgent_wait_s(1) == 0
