"""Export rows as CSV or JSON lines, piece by piece, and the public form of a ledger entry."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from shared.clock import rfc3339_ms
from shared.governance.limits.model import MICRO

_PIECE = 64 * 1024
# Characters that make a spreadsheet run a cell as a formula, full-width forms too; names of models, keys and
# dimensions come from callers: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = frozenset(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))

# Public name to the entry's field; a field that an entry lacks is empty, zero or false.
_TEXTS = {
    "key": "key", "key_name": "name", "team": "team", "customer": "customer", "request_type": "type",
    "surface": "surface", "asked_model": "asked", "provider": "provider", "provider_key": "provider_key",
    "model": "model", "code": "code", "request_id": "request_id", "job_id": "job", "run_id": "run",
    "lane": "lane", "guardrail": "guardrail",
}  # fmt: skip
_NUMBERS = {
    "status": "status", "input_tokens": "input", "output_tokens": "output", "cached_tokens": "cached",
    "cache_write_tokens": "cache_write", "cache_write_1h_tokens": "cache_write_1h",
    "reasoning_tokens": "reasoning", "images": "images",
    "characters": "characters", "audio_ms": "audio_ms",
    "web_searches": "web_searches", "file_searches": "file_searches", "code_sessions": "code_sessions",
    "latency_ms": "latency_ms", "first_token_ms": "first_ms",
    "attempts": "attempts", "fallbacks": "fallbacks",
}  # fmt: skip
SAVED = ("saved_batch", "saved_tier", "saved_cache")
SAVINGS = ("saved_by_batch_usd", "saved_by_tier_usd", "saved_by_cache_usd", "saved_by_discount_usd")
CALL_COLUMNS = (
    "id", "ended_at", *_TEXTS, *_NUMBERS, "cost_usd", "list_cost_usd", "cache", "saved_usd", *SAVINGS,
    "priced", "estimated", "dimensions",
)  # fmt: skip


def savings(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return what an entry's list cost exceeds its cost by, in USD, by reason; below 0 where it was dearer.

    Args:
        entry: Of the ledger, or its sums.
    """
    amounts = [entry.get(name, 0) for name in SAVED]
    discount = entry.get("list", 0) - entry.get("cost", 0) - sum(amounts)
    return {name: amount / MICRO for name, amount in zip(SAVINGS, (*amounts, discount), strict=True)}


def call_to_dict(entry: Mapping[str, Any], *, content: bool = False) -> dict[str, Any]:
    """Convert a ledger entry to its public form; money in USD, null where the price is unknown.

    Args:
        entry: As ``CallLog`` reads it.
        content: Whether to include request and answer, if they were stored.
    """
    priced = bool(entry.get("priced"))
    document: dict[str, Any] = {
        "id": entry.get("id", ""),
        "ended_at": rfc3339_ms(entry.get("at", 0)),
        **{name: entry.get(field, "") for name, field in _TEXTS.items()},
        **{name: entry.get(field, 0) for name, field in _NUMBERS.items()},
        "cost_usd": entry.get("cost", 0) / MICRO if priced else None,
        "list_cost_usd": entry.get("list", 0) / MICRO if priced else None,
        "cache": entry.get("cache", ""),
        "saved_usd": entry.get("saved", 0) / MICRO,
        **savings(entry),
        "priced": priced,
        "estimated": bool(entry.get("estimated")),
        "dimensions": entry.get("dims") or {},
    }
    return {**document, "content": entry.get("content")} if content else document


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """One JSON object per line."""
    for row in rows:
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Iterable[str] = (), *, header: bool = True) -> Iterator[str]:
    """CSV with a header; without ``columns`` those of the first row, nested values as JSON.

    No text is taken for a formula by a spreadsheet that opens the file (``without_formula``).
    """
    names = list(columns)
    buffer = io.StringIO()
    writer = csv.writer(buffer)  # ends lines as RFC 4180 says, and quotes whatever looks like an end
    if names and header:
        writer.writerow(map(without_formula, names))
    for row in rows:
        if not names:
            names = list(row)
            writer.writerow(map(without_formula, names))
        writer.writerow([_cell(row.get(name)) for name in names])
        if buffer.tell() > _PIECE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def without_formula(text: str) -> str:
    """The text; with an apostrophe before it where a spreadsheet would run it."""
    return f"'{text}" if text[:1] in _FORMULA else text


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, Mapping | list):
        return orjson.dumps(value).decode()
    return without_formula(value) if isinstance(value, str) else value
