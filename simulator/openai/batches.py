"""`/batches`: a batch advances one state with every look at it: validating, in_progress, completed.

A batch misbehaves as the key ``simulator`` of its metadata says, such as ``answered=2,end=expired,looks=3``:

- ``answered=N``: only the first N lines are answered; the others get error lines, or none when the batch is cancelled.
- ``end=expired|failed|lost``: how it ends; ``failed`` before any line ran, ``lost`` completed with errors of its own.
- ``looks=N``: it is in progress, or cancelling, for N more looks.
- ``complete=1``: a cancel comes too late, and the batch completes.
- ``latency=S``: it is in progress for S seconds from its creation; ``end=stuck``: until it is cancelled.

The same can be scripted without metadata, by the behaviours ``batch_latency``, ``batch_end`` and ``batch_answered``: of
the model of its first line (``gpt-4o@batch_latency=2``), or of a rule for the path ``/batches``.
"""

import time
from typing import Any

import orjson

from simulator.calls import Call, Refusal, Reply, Route
from simulator.faults import Behaviour, behaviour_of
from simulator.model.ids import hexadecimal
from simulator.model.json_schema import Json
from simulator.openai.errors import OPENAI, missing, unknown
from simulator.openai.files import keep_file
from simulator.openai.lists import page

ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/moderations",
    "/v1/responses",
)
LIFE_S = 86_400
LINES_LIMIT = 50_000
_TIMES = (
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


def create_batch(call: Call) -> Reply:
    """Accept a batch of an uploaded file.

    Raises:
        Refusal: a field is absent or wrong, or there is no such file.
    """
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(call.body.get(name), str):
            raise missing(name)
    endpoint = call.body["endpoint"]
    if endpoint not in ENDPOINTS:
        raise Refusal(400, f"Invalid 'endpoint': use one of {', '.join(ENDPOINTS)}.", param="endpoint")
    if call.body["completion_window"] != "24h":
        raise Refusal(400, "Invalid 'completion_window': use 24h.", param="completion_window")
    if call.store.files.get(call.body["input_file_id"]) is None:
        raise Refusal(400, "The input file does not exist.", param="input_file_id")
    batch = _new_batch(call.body)
    call.store.batches.put(batch["id"], batch)
    call.store.faults.put(batch["id"], {**_scripted(call, batch), **_faults_in(batch)})
    call.store.begun.put(batch["id"], time.monotonic())
    return Reply(orjson.dumps(batch))


def list_batches(call: Call) -> Reply:
    """Batches, the newest first, as they are.

    Raises:
        Refusal: a wrong limit or cursor.
    """
    return Reply(orjson.dumps(page(call, call.store.batches.newest_first())))


def retrieve_batch(call: Call) -> Reply:
    """One batch, after it has advanced by one state.

    Raises:
        Refusal: there is no such batch.
    """
    batch = _batch(call)
    now = int(time.time())
    faults = _faults(call, batch)
    if batch["status"] == "validating":
        _validate(call, batch, now)
    elif batch["status"] in ("in_progress", "cancelling") and _waited(call, batch, faults):
        _end(call, batch, faults, now)
    return Reply(orjson.dumps(batch))


def cancel_batch(call: Call) -> Reply:
    """Begin to cancel; the next look shows it cancelled.

    Raises:
        Refusal: no such batch, or it has ended.
    """
    batch = _batch(call)
    if batch["status"] not in ("validating", "in_progress", "cancelling"):
        raise Refusal(409, f"Cannot cancel a batch with status '{batch['status']}'.", code="batch_not_cancellable")
    batch |= {"status": "cancelling", "cancelling_at": int(time.time())}
    return Reply(orjson.dumps(batch))


def _new_batch(request: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    return {
        "id": hexadecimal("batch_", 32),
        "object": "batch",
        "endpoint": request["endpoint"],
        "errors": None,
        "input_file_id": request["input_file_id"],
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": now,
        "expires_at": now + LIFE_S,
        **dict.fromkeys(_TIMES),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": request.get("metadata"),
    }


def _batch(call: Call) -> dict[str, Any]:
    batch = call.store.batches.get(call.params["id"])
    if batch is None:
        raise unknown("batch", call.params["id"])
    return batch


def _faults(call: Call, batch: dict[str, Any]) -> dict[str, str]:
    """How a batch is to misbehave."""
    return call.store.faults.get(batch["id"]) or {}


def _scripted(call: Call, batch: dict[str, Any]) -> dict[str, str]:
    """How the model of a batch's first line, or else a rule for batches, says that it is to misbehave."""
    lines, _ = _lines(call, batch)
    model = str(lines[0]["body"].get("model", "")) if lines else ""
    try:
        behaviour = behaviour_of(model)
    except ValueError:
        behaviour = Behaviour()
    if not (behaviour.batch_latency_s or behaviour.batch_end or behaviour.batch_answered is not None):
        behaviour = call.behaviour
    found: dict[str, str] = {}
    if behaviour.batch_latency_s:
        found["latency"] = str(behaviour.batch_latency_s)
    if behaviour.batch_end:
        found["end"] = behaviour.batch_end
    if behaviour.batch_answered is not None:
        found["answered"] = str(behaviour.batch_answered)
    return found


def _faults_in(batch: dict[str, Any]) -> dict[str, str]:
    """How the metadata of a batch say that it is to misbehave."""
    pairs = str((batch["metadata"] or {}).get("simulator", "")).split(",")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name}


def _waited(call: Call, batch: dict[str, Any], faults: dict[str, str]) -> bool:
    """Count a look; whether there were enough of them."""
    age_s = time.monotonic() - (call.store.begun.get(batch["id"]) or 0.0)
    if batch["status"] == "in_progress" and (faults.get("end") == "stuck" or age_s < float(faults.get("latency", 0))):
        return False
    looks = call.store.looks.get(batch["id"]) or 0
    call.store.looks.put(batch["id"], looks + 1)
    return looks >= int(faults.get("looks", 0))


def _end(call: Call, batch: dict[str, Any], faults: dict[str, str], now: int) -> None:
    """End a batch as completed, or as its cancel or its faults say."""
    if batch["status"] == "cancelling" and "complete" not in faults:
        end, answered = "cancelled", int(faults.get("answered", 0))
    else:
        end, answered = faults.get("end", "completed"), int(faults.get("answered", LINES_LIMIT))
    code = {"cancelled": "", "expired": "batch_expired"}.get(end, "server_error")
    _answer(call, batch, answered, code)
    status = "completed" if end == "lost" else end
    batch |= {"status": status, "finalizing_at": now, f"{status}_at": now}


def _validate(call: Call, batch: dict[str, Any], now: int) -> None:
    """Count the lines; a broken file fails the batch with an error per broken line."""
    lines, errors = _lines(call, batch)
    if _faults(call, batch).get("end") == "failed":
        message = "Enqueued token limit reached for this model."
        errors = [{"code": "token_limit_exceeded", "message": message, "param": None, "line": None}]
    if errors:
        batch |= {"status": "failed", "failed_at": now, "errors": {"object": "list", "data": errors}}
        return
    batch |= {"status": "in_progress", "in_progress_at": now}
    batch["request_counts"]["total"] = len(lines)


def _lines(call: Call, batch: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Requests of the input file and the errors found in it."""
    file = call.store.files.get(batch["input_file_id"])
    lines: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    rows = file.content.splitlines()[: LINES_LIMIT + 1] if file else []
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        try:
            line = orjson.loads(row)
            fault = _line_fault(line, batch["endpoint"], seen)
        except orjson.JSONDecodeError:
            line, fault = None, ("invalid_json_line", "This line is not parseable as valid JSON.", None)
        if fault:
            code, message, param = fault
            errors.append({"code": code, "message": message, "param": param, "line": number})
        else:
            seen.add(line["custom_id"])
            lines.append(line)
    if not lines and not errors:
        errors.append({"code": "empty_file", "message": "The file has no requests.", "param": None, "line": None})
    return lines, errors


def _line_fault(line: Json, endpoint: str, seen: set[str]) -> tuple[str, str, str | None] | None:
    if not isinstance(line, dict):
        return "invalid_json_line", "A line must be a JSON object.", None
    for name, kind in (("custom_id", str), ("url", str), ("body", dict)):
        if not isinstance(line.get(name), kind):
            return "missing_required_parameter", f"'{name}' is missing.", name
    if line["custom_id"] in seen:
        return "duplicate_custom_id", "The custom_id is used twice.", "custom_id"
    if line["url"] != endpoint:
        return "mismatched_endpoint", f"The url must be {endpoint}.", "url"
    return None


def _answer(call: Call, batch: dict[str, Any], answered: int, code: str) -> None:
    """Answer the first lines, give the others an error unless it is empty, and write the output and the error file."""
    lines, _ = _lines(call, batch)
    written: dict[bool, list[bytes]] = {True: [], False: []}
    for number, line in enumerate(lines if code else lines[:answered]):
        response = _response(call, line) if number < answered else None
        row = {
            "id": hexadecimal("batch_req_", 32),
            "custom_id": line["custom_id"],
            "response": response,
            "error": None if response else {"code": code, "message": "This request was not executed."},
        }
        written[response is not None and response["status_code"] < 400].append(orjson.dumps(row) + b"\n")
    for fine, name in ((True, "output_file_id"), (False, "error_file_id")):
        if written[fine]:
            filename = f"{batch['id']}_{name.removesuffix('_file_id')}.jsonl"
            batch[name] = keep_file(call.store, filename, "batch_output", b"".join(written[fine]))["id"]
    batch["request_counts"] = {"total": len(lines), "completed": len(written[True]), "failed": len(written[False])}


def _response(call: Call, line: dict[str, Any]) -> dict[str, Any]:
    reply = call.dispatch(line["url"], line["body"])
    return {
        "status_code": reply.status,
        "request_id": hexadecimal("req_", 32),
        "body": orjson.loads(reply.body),
    }


ROUTES = (
    Route("POST", "/batches", create_batch, OPENAI),
    Route("GET", "/batches", list_batches, OPENAI),
    Route("GET", "/batches/{id}", retrieve_batch, OPENAI),
    Route("POST", "/batches/{id}/cancel", cancel_batch, OPENAI),
)
