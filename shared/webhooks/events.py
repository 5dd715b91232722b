"""Makes deliveries of what happens: jobs and batches that end, alerts, and tests by an operator."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from shared import clock
from shared.surfaces.webhook import TEST_EVENT, event_body, event_id, native_event_type, trial_event
from shared.webhooks.model import NewDelivery


def delivery_of_outcome(
    entry: str, job_id: str, state: str, request_type: str, at_ms: int, *, owner: str, webhook: str, url: str
) -> NewDelivery:
    """Make the delivery of a job's or batch's end.

    Args:
        entry: What it is made from: the same entry is delivered once, a later outcome of a retried job again.
        at_ms: When it ended.
        owner: The virtual key that submitted it; empty: none.
        webhook: Name of the configured webhook; empty: ``url`` came with the submit.
    """
    return NewDelivery(
        id=event_id(job_id, state),
        entry=entry,
        webhook=webhook,
        url=url,
        owner=owner,
        event=native_event_type(job_id, request_type, state),
        event_id=event_id(job_id, state),
        job_id=job_id,
        body=event_body(job_id, request_type, state, datetime.fromtimestamp(at_ms / 1000, UTC)),
    )


def delivery_of_alert(entry: str, event: Mapping[str, Any], webhook: str, url: str) -> NewDelivery:
    """Make the delivery of an alert to one of its subscribers."""
    return NewDelivery(
        id=event_id(event["data"]["id"], webhook),
        entry=entry,
        webhook=webhook,
        url=url,
        owner="",
        event=event["type"],
        event_id=event["id"],
        job_id="",
        body=orjson.dumps(event),
    )


def delivery_of_test(webhook: str, url: str, nonce: str) -> NewDelivery:
    """Make the delivery of a test event."""
    identity = event_id(nonce, TEST_EVENT)
    event = trial_event(webhook, identity, clock.now())
    return NewDelivery(
        id=identity,
        entry=nonce,
        webhook=webhook,
        url=url,
        owner="",
        event=TEST_EVENT,
        event_id=identity,
        job_id="",
        body=orjson.dumps(event),
        manual=True,
    )
