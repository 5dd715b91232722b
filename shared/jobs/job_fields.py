"""Reads a job from the hash that the scripts keep of it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from shared.errors import StoreUnavailable
from shared.jobs.model import RECORD_VERSION, Job, Priority, State


def job_from_fields(job_id: str, fields: Mapping[bytes, bytes]) -> Job:
    """Read a stored record of this version or an earlier one.

    Args:
        job_id: The job's id.
        fields: The record's hash as Redis gives it; unknown fields are ignored, absent ones have their defaults.

    Raises:
        StoreUnavailable: A newer release wrote the record, and this one could misread it.
    """

    def number(name: bytes) -> int:
        return int(float(fields.get(name) or 0))

    def json(name: bytes) -> Any:  # noqa: ANN401 - whatever was stored
        return orjson.loads(fields[name]) if fields.get(name) else None

    get, text = fields.get, partial(_text, fields)
    return Job(
        id=job_id,
        version=_known_version(job_id, number(b"v") or RECORD_VERSION),
        state=State(text(b"state")),
        owner=text(b"owner"),
        request_type=text(b"type"),
        model=text(b"model"),
        request_id=text(b"request_id"),
        priority=Priority(text(b"priority") or Priority.NORMAL),
        content_type=text(b"content_type") or "application/json",
        context=json(b"context") or {},
        ttl_s=number(b"ttl_s") or 3600,
        created_ms=number(b"created_ms"),
        due_ms=number(b"due_ms"),
        started_ms=number(b"started_ms"),
        completed_ms=number(b"completed_ms"),
        expires_ms=number(b"expires_ms"),
        deadline_ms=number(b"deadline_ms"),
        attempts=number(b"attempts"),
        webhook=text(b"webhook"),
        status_code=number(b"status_code"),
        result_type=text(b"result_type"),
        result=get(b"result", b""),
        result_size=number(b"result_size"),
        result_as=text(b"result_as"),
        error=json(b"error"),
        meta=json(b"meta") or {},
        reason=text(b"reason"),
        labels=text(b"labels"),
        history=get(b"history", b""),
    )


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    return fields.get(name, b"").decode()


def _known_version(job_id: str, version: int) -> int:
    if version > RECORD_VERSION:
        raise StoreUnavailable(
            f"The job {job_id} was written by a newer release of the gateway (record version {version}; this process "
            f"reads up to {RECORD_VERSION})."
        )
    return version
