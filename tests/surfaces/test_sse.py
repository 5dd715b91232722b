import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.surfaces import sse

EVENTS = [
    b"data: 1\n\n",
    b": note\n\n",
    b"event: x\r\nid: 7\r\ndata: a\r\ndata:b\r\n\r\n",
    b"data: [DONE]\n\n",
    b"\n\n",
]


@given(st.lists(st.sampled_from(EVENTS)), st.lists(st.integers(0, 400)))
def test_events_are_found_however_they_are_cut(events: list[bytes], cuts: list[int]) -> None:
    raw = b"".join(events)
    splitter = sse.EventSplitter()
    points = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    found = [event for a, b in itertools.pairwise(points) for event in splitter.feed(raw[a:b])]
    assert b"".join(found) == raw
    assert [sse.event_data(event) for event in found] == [sse.event_data(event) for event in events]
    assert splitter.rest == b""


def test_the_parts_of_an_event() -> None:
    assert sse.event_data(EVENTS[2]) == b"a\nb"
    assert sse.event_name(EVENTS[2]) == b"x"
    assert sse.event_name(EVENTS[0]) == b""
    assert sse.encode_event(b"{}", name="n", event_id="1") == b"id: 1\nevent: n\ndata: {}\n\n"
    assert sse.encode_event(b"{}") == b"data: {}\n\n"


def test_an_endless_event_is_refused() -> None:
    splitter = sse.EventSplitter()
    assert splitter.feed(b"data: ") == []
    with pytest.raises(sse.EventTooLong):
        splitter.feed(b"x" * sse.MAX_EVENT_BYTES)


@given(st.lists(st.sampled_from([b"data: ", b"data:", b"x", b"\n", b"\n\n", b"\r", b"\r\n"]), max_size=6).map(b"".join))
def test_one_event_of_one_line_is_what_cutting_would_find(data: bytes) -> None:
    only = sse.only_event(data)
    assert only is None or (sse.EventSplitter().feed(data) == [data] and sse.event_data(data) == only)


def test_an_event_of_one_line_needs_no_cutting() -> None:
    assert sse.only_event(b"data: 1\n\n") == b"1"
    assert sse.only_event(b"data: 1\n\ndata: 2\n\n") is None
