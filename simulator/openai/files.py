"""`/files`: upload, list, get, delete, content; in memory."""

import time
from typing import Any

import orjson

from simulator.calls import Call, Refusal, Reply, Route
from simulator.model.ids import opaque
from simulator.openai.errors import OPENAI, missing, unknown
from simulator.openai.lists import page
from simulator.store import Store, StoredFile

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
BATCH_FILE_LIFE_S = 30 * 86_400


def create_file(call: Call) -> Reply:
    """Keep an uploaded file.

    Raises:
        Refusal: file or purpose is absent or wrong.
    """
    form = call.need_form()
    if "file" not in form.files:
        raise missing("file")
    purpose = form.fields.get("purpose")
    if not purpose:
        raise missing("purpose")
    if purpose not in PURPOSES:
        raise Refusal(400, f"Invalid 'purpose': use one of {', '.join(PURPOSES)}.", param="purpose")
    upload = form.files["file"][0]
    return Reply(orjson.dumps(keep_file(call.store, upload.filename, purpose, upload.content)))


def keep_file(store: Store, filename: str, purpose: str, content: bytes) -> dict[str, Any]:
    """Store bytes under a new id and return the file object."""
    now = int(time.time())
    body: dict[str, Any] = {
        "id": opaque("file-"),
        "object": "file",
        "bytes": len(content),
        "created_at": now,
        "expires_at": now + BATCH_FILE_LIFE_S if purpose.startswith("batch") else None,
        "filename": filename,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
    store.files.put(body["id"], StoredFile(body, content))
    return body


def list_files(call: Call) -> Reply:
    """Files, the newest first, of one purpose if asked.

    Raises:
        Refusal: a wrong limit, order or cursor.
    """
    purpose = call.query("purpose")
    files = [file.body for file in call.store.files.newest_first()]
    wanted = [body for body in files if purpose in (None, body["purpose"])]
    return Reply(orjson.dumps(page(call, wanted, 10_000, 10_000)))


def retrieve_file(call: Call) -> Reply:
    """One file object.

    Raises:
        Refusal: there is no such file.
    """
    return Reply(orjson.dumps(_file(call).body))


def read_content(call: Call) -> Reply:
    """The bytes of a file.

    Raises:
        Refusal: there is no such file.
    """
    return Reply(_file(call).content, content_type=b"application/octet-stream")


def delete_file(call: Call) -> Reply:
    """Forget a file.

    Raises:
        Refusal: there is no such file.
    """
    file_id = _file(call).body["id"]
    call.store.files.drop(file_id)
    return Reply(orjson.dumps({"id": file_id, "object": "file", "deleted": True}))


def _file(call: Call) -> StoredFile:
    file = call.store.files.get(call.params["id"])
    if file is None:
        raise unknown("File object", call.params["id"])
    return file


ROUTES = (
    Route("POST", "/files", create_file, OPENAI),
    Route("GET", "/files", list_files, OPENAI),
    Route("GET", "/files/{id}", retrieve_file, OPENAI),
    Route("DELETE", "/files/{id}", delete_file, OPENAI),
    Route("GET", "/files/{id}/content", read_content, OPENAI),
)
