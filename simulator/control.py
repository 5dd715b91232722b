"""The control API under `/sim/`: script the simulator and read its log from another process."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import orjson

from simulator.calls import Reply
from simulator.exchange import Scope
from simulator.faults import Script, read_rule
from simulator.log import Entry, Log
from simulator.model.json_schema import Json
from simulator.model.media import tiny_png


def answer(script: Script, log: Log, scope: Scope, body: bytes) -> Reply:
    """Answer a request to the control API; these requests are not logged."""
    actions: dict[tuple[str, str], Callable[[], Reply]] = {
        ("GET", "/sim/health"): lambda: _json({"status": "ok", "open": log.open_count, "total": log.total}),
        ("GET", "/sim/script"): lambda: _show_script(script),
        ("POST", "/sim/script"): lambda: _add_rules(script, body),
        ("DELETE", "/sim/script"): lambda: _clear_script(script),
        ("GET", "/sim/log"): lambda: _show_log(log, scope["query_string"]),
        ("DELETE", "/sim/log"): lambda: _clear_log(log),
        ("POST", "/sim/webhook"): lambda: _json({"received": True}),
        ("GET", "/sim/image.png"): lambda: Reply(tiny_png(0), content_type=b"image/png"),
    }
    action = actions.get((scope["method"], scope["path"]))
    if action is not None:
        return action()
    if any(path == scope["path"] for _, path in actions):
        return _json({"error": {"message": "method not allowed"}}, 405)
    known = ", ".join(sorted({path for _, path in actions}))
    return _json({"error": {"message": f"unknown path; known are {known}"}}, 404)


def _json(value: Json, status: int = 200) -> Reply:
    return Reply(orjson.dumps(value), status)


def _show_script(script: Script) -> Reply:
    rules = [{**rule.source, "left": rule.left} for rule in script.rules]
    return _json({"rules": rules})


def _add_rules(script: Script, body: bytes) -> Reply:
    """Add one rule or a list of rules; if one is invalid, none is added."""
    try:
        value = orjson.loads(body)
        rules = [read_rule(each) for each in (value if isinstance(value, list) else [value])]
    except ValueError as error:
        return _json({"error": {"message": str(error)}}, 400)
    for rule in rules:
        script.add(rule)
    return _show_script(script)


def _clear_script(script: Script) -> Reply:
    script.clear()
    return _show_script(script)


def _show_log(log: Log, query: bytes) -> Reply:
    text = parse_qs(query.decode("latin-1")).get("limit", ["100"])[-1]
    if not text.isdecimal():
        return _json({"error": {"message": "limit must be a whole number"}}, 400)
    limit = int(text)
    entries = log.entries[-limit:] if limit else []
    return _json({"entries": [_show_entry(entry) for entry in entries], "open": log.open_count, "total": log.total})


def _show_entry(entry: Entry) -> dict[str, Any]:
    document = entry.show()
    if document["body"] is not None:
        document["body"] = orjson.Fragment(entry.raw)  # as it came: what nests deeply can be read but not encoded
    return document


def _clear_log(log: Log) -> Reply:
    log.clear()
    return _json({"entries": [], "open": log.open_count, "total": log.total})
