"""A request type is one row: everything else follows from it."""

import orjson

from api.openapi import document
from shared.governance.pricing.usage import upper_estimate, used_by
from shared.surfaces.pending_bodies import echo_of, pending_body
from shared.surfaces.pending_forms import Pending
from shared.surfaces.request_types import INPUT, MODEL, REQUEST_TYPES, Field, RequestType

RERANK = RequestType(
    "rerank", "rerank", "json", (MODEL, Field("query", {"type": "string"}), INPUT), usage="prompt", echoes=True
)


def test_a_new_request_type_needs_no_other_table():
    body = orjson.loads(pending_body(RERANK, Pending("job-1", "queued", "m", 1795360000)))
    assert body == {"id": "job-1", "model": "m", "status": "queued"}
    assert echo_of(RERANK, {"temperature": 0.5, "query": "q"}) == {"temperature": 0.5}
    assert upper_estimate(RERANK, {"query": "q"}, b"x" * 40).output == 0
    assert used_by(RERANK, {}, {"prompt_tokens": 3}).input == 3
    described = document._body(RERANK)["content"]["application/json"]["schema"]
    assert described["required"] == ["model", "query", "input"]
    assert described["properties"]["query"] == {"type": "string"}


def test_each_rule_of_usage_estimates_what_it_is_paid_for():
    of_rule = {request_type.usage: request_type for request_type in REQUEST_TYPES}
    fields = {"input": "x" * 40, "prompt": "p", "n": 2, "max_tokens": 7}
    estimates = {rule: upper_estimate(request_type, fields, b"x" * 8000) for rule, request_type in of_rule.items()}
    assert estimates["images"].images == 2
    assert estimates["characters"].characters == 40
    assert estimates["audio"].milliseconds == 3000
    assert estimates["prompt"].output == 0
    assert estimates["tokens"].output == 14
    assert of_rule.keys() == estimates.keys() == {"images", "characters", "audio", "prompt", "tokens"}


def test_request_types_can_be_keys_of_tables():
    assert len(dict.fromkeys((*REQUEST_TYPES, RERANK), 1)) == len(REQUEST_TYPES) + 1
