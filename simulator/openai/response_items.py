"""Stored responses: `GET`, `DELETE`, `POST …/cancel` and `GET …/input_items`."""

import orjson

from simulator.calls import Call, Refusal, Reply, Route
from simulator.openai.errors import OPENAI
from simulator.openai.lists import page
from simulator.store import StoredResponse


def retrieve_response(call: Call) -> Reply:
    """A stored response; looking at a background one finishes it.

    Raises:
        Refusal: there is none with this id, or a stream is asked for.
    """
    stored = _stored(call)
    if call.query("stream") == "true":
        raise Refusal(400, "Only background=true responses created with stream=true can stream.", param="stream")
    stored.pending = False
    return Reply(orjson.dumps(stored.body))


def delete_response(call: Call) -> Reply:
    """Forget a stored response.

    Raises:
        Refusal: there is none with this id.
    """
    response_id = _stored(call).body["id"]
    call.store.responses.drop(response_id)
    return Reply(orjson.dumps({"id": response_id, "object": "response", "deleted": True}))


def cancel_response(call: Call) -> Reply:
    """Cancel a background response that nobody has looked at yet; cancelling twice gives the same.

    Raises:
        Refusal: there is none with this id, it was no background response, or it is finished.
    """
    stored = _stored(call)
    if not stored.body["background"]:
        raise Refusal(400, "Cannot cancel a synchronous response.")
    if stored.pending:
        stored.pending = False
        stored.body |= {"status": "cancelled", "completed_at": None, "output": [], "usage": None}
    if stored.body["status"] != "cancelled":
        raise Refusal(400, f"Cannot cancel a {stored.body['status']} response.")
    return Reply(orjson.dumps(stored.body))


def list_input_items(call: Call) -> Reply:
    """Return the items that a stored response has read, the newest first.

    Raises:
        Refusal: there is none with this id, or a wrong limit, order or cursor.
    """
    return Reply(orjson.dumps(page(call, _stored(call).input_items[::-1])))


def _stored(call: Call) -> StoredResponse:
    response_id = call.params["id"]
    stored = call.store.responses.get(response_id)
    if stored is None:
        message = f"Response with id '{response_id}' not found."
        raise Refusal(404, message, param="id", code="response_not_found")
    return stored


ROUTES = (
    Route("GET", "/responses/{id}", retrieve_response, OPENAI),
    Route("DELETE", "/responses/{id}", delete_response, OPENAI),
    Route("POST", "/responses/{id}/cancel", cancel_response, OPENAI),
    Route("GET", "/responses/{id}/input_items", list_input_items, OPENAI),
)
