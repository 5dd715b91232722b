import pytest
from openai._models import validate_type
from openai.types.responses import ResponseItem

from shared.errors import InvalidRequest
from shared.surfaces.responses.items import input_items_page, item_id, referenced_ids, response_of, stored_input

NATIVE = "resp_" + "0f" * 24
JOB = "3e0f5f6e-64a8-4f0e-9a63-0123456789ab"


@pytest.mark.parametrize("response_id", [NATIVE, JOB])
@pytest.mark.parametrize("kind", ["message", "function_call", "function_call_output", "reasoning", "other"])
def test_an_item_leads_back_to_its_response(response_id, kind):
    assert response_of(item_id(kind, response_id, 2)) == response_id
    assert response_of(item_id(kind, response_id, "i0")) == response_id


@pytest.mark.parametrize("foreign", ["", "msg_1", "msg_" + "0" * 40, "resp_" + "0f" * 24, f"msg_{'0f' * 24}_0\n"])
def test_an_item_of_others_leads_nowhere(foreign):
    assert response_of(foreign) is None


def test_a_text_is_kept_as_a_whole_message():
    assert stored_input({"input": "Hi"}, NATIVE) == [
        {
            "id": f"msg_{'0f' * 24}_i0",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_text", "text": "Hi"}],
        }
    ]


def test_items_are_kept_whole_and_are_what_the_sdk_reads():
    kept = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}
    items = stored_input(
        {
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": "https://e.example/i.png"}]},
                {"role": "assistant", "content": "A", "id": "msg_1"},
                {"role": "assistant", "content": [{"type": "output_text", "text": "B"}], "id": "msg_1"},
                {"type": "item_reference", "id": "rs_1"},
                {"type": "reasoning", "id": "rs_2"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "1", "status": "incomplete"},
            ]
        },
        NATIVE,
        {"rs_1": kept},
    )

    for item in items:
        validate_type(type_=ResponseItem, value=item)
    assert [item["id"].split("_")[0] for item in items] == ["msg", "msg", "msg", "rs", "rs", "fc", "fco"]
    assert len({item["id"] for item in items}) == len(items)
    assert [items[5]["status"], items[6]["status"]] == ["completed", "incomplete"]
    assert items[0]["content"][0]["detail"] == "auto"
    assert items[2]["content"] == [{"type": "output_text", "text": "B", "annotations": [], "logprobs": []}]
    assert items[3] == kept


@pytest.mark.parametrize("fields", [{}, {"input": None}, {"input": 3}])
def test_no_input_is_no_items(fields):
    assert stored_input(fields, NATIVE) == []
    assert referenced_ids(fields) == []


def test_a_message_without_content_is_kept_empty():
    assert stored_input({"input": [{"role": "user"}]}, NATIVE)[0]["content"] == []


def test_named_items_are_listed():
    fields = {"input": [{"type": "item_reference", "id": "a"}, {"id": "b"}, {"role": "user", "id": "c"}, "d"]}
    assert referenced_ids(fields) == ["a", "b"]


ITEMS = [{"id": f"msg_{n}"} for n in range(25)]


def test_a_page_is_the_newest_twenty():
    page = input_items_page(ITEMS)
    assert [page["first_id"], page["last_id"], len(page["data"]), page["has_more"]] == ["msg_24", "msg_5", 20, True]
    assert page["object"] == "list"


def test_pages_follow_each_other_to_the_end():
    seen, after = [], None
    while True:
        page = input_items_page(ITEMS, after=after, limit="10", order="asc")
        seen += page["data"]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert seen == ITEMS


def test_an_item_sent_twice_leads_no_page_back():
    items = [{"id": "a"}, {"id": "b"}, {"id": "a"}]
    assert input_items_page(items, after="a", order="asc")["data"] == []


def test_no_items_are_an_empty_page():
    page = input_items_page([])
    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"order": "up"}, "order"),
        ({"after": "msg_99"}, "after"),
    ],
)
def test_a_page_that_cannot_be_is_refused_by_name(arguments, param):
    with pytest.raises(InvalidRequest) as refusal:
        input_items_page(ITEMS, **arguments)
    assert refusal.value.param == param
