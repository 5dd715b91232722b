"""Export the ledger as a FOCUS dataset, for the tools that report cloud spend.

FinOps Open Cost and Usage Specification 1.4 (ratified 2026-06-04), dataset Cost and Usage:
https://focus.finops.org/focus-specification/. Columns of the specification come first, in the order
of the alphabet; ours follow as ``x_`` columns. Conditional columns are there where their condition
holds for us (usage is measured, SKUs, sub accounts and tags exist); commitments, capacity and regions are not ours.
A row is a call, or the calls of an hour or a day that have all in common.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

import orjson

from shared.clock import rfc3339
from shared.governance.ledger.exports import without_formula

VERSION = "1.4"
DataType = Literal["Decimal", "String", "Date/Time", "JSON"]
_MICRO = Decimal(1_000_000)
_UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the dataset.

    Attributes:
        nullable: Whether the specification allows nulls.
        allowed: Its only values; empty: any.
    """

    name: str
    type: DataType
    level: Literal["Mandatory", "Conditional", "Recommended", "Custom"] = "Mandatory"
    nullable: bool = False
    allowed: tuple[str, ...] = ()


COLUMNS: tuple[Column, ...] = (
    Column("BilledCost", "Decimal"),
    Column("BillingAccountId", "String"),
    Column("BillingAccountName", "String", nullable=True),
    Column("BillingCurrency", "String", allowed=("USD",)),
    Column("BillingPeriodEnd", "Date/Time"),
    Column("BillingPeriodStart", "Date/Time"),
    Column("ChargeCategory", "String", allowed=("Usage", "Purchase", "Tax", "Credit", "Adjustment")),
    Column("ChargeClass", "String", nullable=True, allowed=("Correction",)),
    Column("ChargeDescription", "String", nullable=True),
    Column("ChargeFrequency", "String", "Recommended", allowed=("One-Time", "Recurring", "Usage-Based")),
    Column("ChargePeriodEnd", "Date/Time"),
    Column("ChargePeriodStart", "Date/Time"),
    Column("ConsumedQuantity", "Decimal", "Conditional", nullable=True),
    Column("ConsumedUnit", "String", "Conditional", nullable=True),
    Column("ContractedCost", "Decimal"),
    Column("EffectiveCost", "Decimal"),
    Column("HostProviderName", "String"),
    Column("InvoiceIssuerName", "String"),
    Column("ListCost", "Decimal"),
    Column("PricingQuantity", "Decimal", nullable=True),
    Column("PricingUnit", "String", nullable=True),
    Column("ServiceCategory", "String", allowed=("AI and Machine Learning",)),
    Column("ServiceName", "String"),
    Column("ServiceProviderName", "String"),
    Column("ServiceSubcategory", "String", "Recommended", allowed=("Generative AI",)),
    Column("SkuId", "String", "Conditional", nullable=True),
    Column("SkuMeter", "String", "Conditional", nullable=True),
    Column("SkuPriceDetails", "JSON", "Conditional", nullable=True),
    Column("SkuPriceId", "String", "Conditional", nullable=True),
    Column("SubAccountId", "String", "Conditional", nullable=True),
    Column("SubAccountName", "String", "Conditional", nullable=True),
    Column("Tags", "JSON", "Conditional", nullable=True),
    Column("x_CacheHits", "Decimal", "Custom"),
    Column("x_CachedTokens", "Decimal", "Custom"),
    Column("x_Calls", "Decimal", "Custom"),
    Column("x_Estimated", "String", "Custom", nullable=True, allowed=("true", "false")),
    Column("x_HttpStatus", "Decimal", "Custom", nullable=True),
    Column("x_InputTokens", "Decimal", "Custom"),
    Column("x_JobId", "String", "Custom", nullable=True),
    Column("x_Lane", "String", "Custom", nullable=True),
    Column("x_OnTimeShare", "Decimal", "Custom", nullable=True),
    Column("x_OutputTokens", "Decimal", "Custom"),
    Column("x_Priced", "String", "Custom", allowed=("true", "false")),
    Column("x_ReasoningTokens", "Decimal", "Custom"),
    Column("x_RequestId", "String", "Custom", nullable=True),
    Column("x_SavedByBatchCost", "Decimal", "Custom"),
    Column("x_SavedByCacheCost", "Decimal", "Custom"),
    Column("x_SavedByTierCost", "Decimal", "Custom"),
    Column("x_SavedCost", "Decimal", "Custom"),
)
NAMES = tuple(column.name for column in COLUMNS)

FocusRow = dict[str, str | None]


class InvalidFocus(ValueError):
    """A row breaks a rule of the specification; the message names column and rule."""


def focus_row(entry: Mapping[str, Any], *, account: str = "finops") -> FocusRow:
    """One call, or the calls of a period, as a charge.

    Args:
        entry: Of the ledger, or of ``Reports.charges``; the latter says how long its period is (``span_s``).
        account: The billing account: which installation this is.
    """
    periods = _periods(int(entry.get("at", 0)) // 3_600_000, entry.get("span_s", 3600))
    quantity, unit = _quantity(entry)
    provider = _text(entry, "provider") or _UNKNOWN
    kind = _text(entry, "type") or "call"
    # Every charge for usage must have a SKU: what was refused before a model was found is one of its kind.
    sku = f"{provider}/{_text(entry, 'model') or _text(entry, 'asked') or kind}"
    cost = _money(entry.get("cost", 0))
    return {
        "BilledCost": cost,
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": periods[1],
        "BillingPeriodStart": periods[0],
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": f"{kind} with {sku}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": periods[3],
        "ChargePeriodStart": periods[2],
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "ListCost": _money(entry.get("list") or entry.get("cost", 0)),
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": _text(entry, "model") or provider,
        "ServiceProviderName": provider,
        "ServiceSubcategory": "Generative AI",
        "SkuId": sku,
        "SkuMeter": kind,
        "SkuPriceDetails": orjson.dumps({"x_RequestType": kind}).decode(),
        "SkuPriceId": sku,
        "SubAccountId": _text(entry, "key") or None,
        "SubAccountName": _text(entry, "name") or None,
        "Tags": _tags(entry),
        **_own_columns(entry),
    }


def _own_columns(entry: Mapping[str, Any]) -> FocusRow:
    """Our own columns, which the specification does not define."""
    return {
        "x_CacheHits": str(entry.get("hits", 1 if entry.get("cache") == "hit" else 0)),
        "x_CachedTokens": str(entry.get("cached", 0)),
        "x_Calls": str(entry.get("calls", 1)),
        "x_Estimated": None if "span_s" in entry else _boolean(entry.get("estimated", False)),
        "x_HttpStatus": str(entry["status"]) if "status" in entry else None,
        "x_InputTokens": str(entry.get("input", 0)),
        "x_JobId": _text(entry, "job") or None,
        "x_Lane": _text(entry, "lane") or None,
        "x_OnTimeShare": _on_time_share(entry),
        "x_OutputTokens": str(entry.get("output", 0)),
        "x_Priced": _boolean(entry.get("priced", False)),
        "x_ReasoningTokens": str(entry.get("reasoning", 0)),
        "x_RequestId": _text(entry, "request_id") or None,
        "x_SavedByBatchCost": _money(entry.get("saved_batch", 0)),
        "x_SavedByCacheCost": _money(entry.get("saved_cache", 0)),
        "x_SavedByTierCost": _money(entry.get("saved_tier", 0)),
        "x_SavedCost": _money(entry.get("saved", 0)),
    }


def check_row(row: Mapping[str, str | None]) -> None:
    """Hold a row against the specification's rules for our columns.

    Raises:
        InvalidFocus: One is broken.
    """
    if tuple(row) != NAMES:
        raise InvalidFocus("the columns are not those of the dataset, in its order")
    for column in COLUMNS:
        value = row[column.name]
        if value is None:
            if not column.nullable:
                raise InvalidFocus(f"{column.name} must not be null")
            continue
        _check_value(column, value)
    if (row["PricingQuantity"] is None) != (row["SkuPriceId"] is None):
        raise InvalidFocus("PricingQuantity must be null exactly when SkuPriceId is")
    if row["ChargeCategory"] == "Usage" and row["PricingQuantity"] is None:
        raise InvalidFocus("PricingQuantity must not be null for usage")
    if (row["ConsumedUnit"] is None) != (row["ConsumedQuantity"] is None):
        raise InvalidFocus("ConsumedUnit must be null exactly when ConsumedQuantity is")


def focus_csv(entries: Iterable[Mapping[str, Any]], *, account: str = "finops", header: bool = True) -> Iterator[str]:
    """A FOCUS file, piece by piece; nulls are empty fields, and no text is taken for a formula by spreadsheets.

    Raises:
        InvalidFocus: A row breaks the specification: rather no file than a wrong one.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)  # ends lines as RFC 4180 says, and quotes whatever looks like an end
    if header:
        writer.writerow(NAMES)
    for entry in entries:
        row = focus_row(entry, account=account)
        check_row(row)
        writer.writerow([without_formula(value) if value else "" for value in row.values()])
        if buffer.tell() > 64 * 1024:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _check_value(column: Column, value: str) -> None:
    if column.allowed and value not in column.allowed:
        raise InvalidFocus(f"{column.name} must be one of {', '.join(column.allowed)}, not {value!r}")
    try:
        if column.type == "Decimal":
            Decimal(value)
        elif column.type == "Date/Time":
            _check_moment(value)
        elif column.type == "JSON":
            orjson.loads(value)
    except (ArithmeticError, ValueError) as error:
        raise InvalidFocus(f"{column.name} is not a valid {column.type}: {value!r}") from error
    if column.type == "String" and value != value.strip():
        raise InvalidFocus(f"{column.name} begins or ends with a space")


@lru_cache(maxsize=256)
def _check_moment(value: str) -> None:
    datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007 - the Z is part of the format


def _quantity(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Consumed quantity, in the unit that the specification's Unit Format would write."""
    tokens = entry.get("input", 0) + entry.get("output", 0)
    if tokens:
        return str(tokens), "Tokens"
    if entry.get("audio_ms"):
        return str(Decimal(entry["audio_ms"]) / 1000), "Seconds"
    if entry.get("characters"):
        return str(entry["characters"]), "Characters"
    if entry.get("images"):
        return str(entry["images"]), "Images"
    return str(entry.get("calls", 1)), "Requests"


def _on_time_share(entry: Mapping[str, Any]) -> str | None:
    """The share of jobs that were answered before their patience ended; null: none could wait."""
    on_time, late = entry.get("on_time", 0), entry.get("late", 0)
    return str(round(Decimal(on_time) / (on_time + late), 6).normalize()) if on_time + late else None


@lru_cache(maxsize=256)
def _periods(hour: int, span_s: int) -> tuple[str, str, str, str]:
    """The month and the charge's own period, from and to; in hours since 1970, and seconds."""
    start = datetime.fromtimestamp(hour * 3600, UTC)
    month = start.replace(hour=0, day=1)
    next_month = (month + timedelta(days=32)).replace(day=1)
    return rfc3339(month), rfc3339(next_month), rfc3339(start), rfc3339(start + timedelta(seconds=span_s))


def _text(entry: Mapping[str, Any], name: str) -> str:
    """Names come from callers: a space at their end must not break the whole file."""
    return str(entry.get(name, "")).strip()


def _tags(entry: Mapping[str, Any]) -> str | None:
    tags = {name: entry[name] for name in ("team", "customer", "surface") if entry.get(name)}
    tags.update(entry.get("dims") or {})
    return orjson.dumps(tags, option=orjson.OPT_SORT_KEYS).decode() if tags else None


def _money(micro: int) -> str:
    return f"{Decimal(micro) / _MICRO:f}"


def _boolean(fact: bool) -> str:
    return "true" if fact else "false"
