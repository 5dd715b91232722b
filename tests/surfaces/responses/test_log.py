import pytest

from shared.errors import InvalidRequest
from shared.surfaces.responses.event_log import check_resumable, events_after, is_terminal, read_starting_after
from shared.surfaces.responses.stream import ResponseEvents
from shared.surfaces.sse import EventSplitter
from tests.surfaces.responses.chats import chunk, stream_bytes


@pytest.fixture
def events():
    stream = ResponseEvents({"model": "m"}, response_id="resp_1", created_at=1, background=True)
    return EventSplitter().feed(stream.feed(stream_bytes([chunk({"content": "a"})])))


def test_a_caller_gets_what_it_has_not_seen(events):
    assert list(events_after(events, -1)) == events
    assert list(events_after(events, 3)) == events[4:]
    assert list(events_after(events, len(events) - 1)) == []
    assert list(events_after(events, 10**9)) == []


def test_exactly_the_last_event_is_terminal(events):
    assert [is_terminal(event) for event in events] == [False] * (len(events) - 1) + [True]
    assert is_terminal(b'event: error\ndata: {"type":"error"}\n\n')


def test_comments_and_other_data_are_neither_replayed_nor_terminal():
    others = [b": waiting\n\n", b"data: 5\n\n", b'data: {"sequence_number":"1"}\n\n']
    assert list(events_after(others, -1)) == []
    assert not any(is_terminal(event) for event in others)


@pytest.mark.parametrize(("value", "number"), [(None, -1), ("0", 0), ("41", 41)])
def test_starting_after_is_a_number(value, number):
    assert read_starting_after(value) == number


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "1_0", " 1", "٣", "9" * 5000])
def test_starting_after_that_is_none_is_refused(value):
    with pytest.raises(InvalidRequest) as refusal:
        read_starting_after(value)
    assert refusal.value.param == "starting_after"


def test_only_a_background_stream_can_be_streamed_again():
    check_resumable(background=True, streamed=True)
    for background, streamed in [(True, False), (False, True), (False, False)]:
        with pytest.raises(InvalidRequest, match="background=true and stream=true") as refusal:
            check_resumable(background=background, streamed=streamed)
        assert refusal.value.param == "stream"
