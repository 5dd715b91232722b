"""Usage on a terminal: a chart of spend over time and by group, with a table below."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.text import plain
from cli.views.output import duration, fitted, out, table

BAR_WIDTH = 48
CHARTED_GROUPS = 6
MOST_PERIODS = 62
_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red")
_OTHERS = "bright_black"
# One sign per group where there are no colours.
_SIGNS = "█▓▒░#+"
_NO_OWNER = "(none)"

Row = Mapping[str, Any]


def print_usage(usage: Mapping[str, Any]) -> None:
    """Print a chart, a table, and the calls that have no price."""
    console = out()
    rows: Sequence[Row] = usage.get("data") or []
    console.print(f"{plain(usage.get('from'))} to {plain(usage.get('to'))}", markup=False)
    if not rows:
        console.print("no calls")
        return
    names = [str(name) for name in usage.get("group_by") or ()]
    if usage.get("per") != "total" or names:
        console.print()
        _print_chart(console, rows, names, str(usage.get("per")))
    console.print()
    _print_table(console, rows, names, usage["total"])
    _print_savings(console, usage["total"])
    _print_unpriced(console, usage.get("unpriced") or [])


def _print_chart(console: Console, rows: Sequence[Row], names: Sequence[str], per: str) -> None:
    spent: dict[str, dict[str, float]] = {}
    totals: dict[str, float] = {}
    for row in rows:
        group, cost = _group(row, names), float(row["cost_usd"])
        totals[group] = totals.get(group, 0.0) + cost
        line = spent.setdefault(group if per == "total" else str(row.get("period")), {})
        line[group] = line.get(group, 0.0) + cost
    biggest = sorted(totals, key=lambda group: -totals[group])[:CHARTED_GROUPS]
    labels = list(spent) if per == "total" else _all_periods(sorted(spent), per)
    top = max((sum(line.values()) for line in spent.values()), default=0.0)
    width = max(len(label) for label in labels)
    for label in labels:
        line = spent.get(label, {})
        bar = _bar(line, biggest, top, coloured=console.is_terminal)
        console.print(Text.assemble(plain(label).ljust(width), "  ", bar, f"  {_usd(sum(line.values()))}"))
    if names and per != "total":
        console.print(_legend(biggest, len(totals) > len(biggest), coloured=console.is_terminal))


def _bar(line: Mapping[str, float], biggest: Sequence[str], top: float, *, coloured: bool) -> Text:
    """Return a stacked bar; its total length is exact to a cell, however its parts are rounded."""
    bar, drawn, sum_usd = Text(), 0, 0.0
    shares = [(group, line.get(group, 0.0)) for group in biggest]
    shares.append(("", sum(cost for group, cost in line.items() if group not in biggest)))
    for number, (_, cost) in enumerate(shares):
        sum_usd += cost
        until = round(sum_usd / top * BAR_WIDTH) if top else 0
        style = _COLOURS[number] if number < len(biggest) else _OTHERS
        sign = _SIGNS[number] if number < len(biggest) else "."
        bar.append(("█" if coloured else sign) * (until - drawn), style=style)
        drawn = until
    return bar


def _legend(biggest: Sequence[str], others: bool, *, coloured: bool) -> Text:
    parts = [(("█" if coloured else _SIGNS[at]), _COLOURS[at], group) for at, group in enumerate(biggest)]
    if others:
        parts.append(("█" if coloured else ".", _OTHERS, "others"))
    return Text("  ").join(Text.assemble((sign, style), " ", plain(group)) for sign, style, group in parts)


def _all_periods(known: Sequence[str], per: str) -> list[str]:
    """Return all periods from the first to the last, including empty ones, unless they are too many."""
    if per == "month":
        return list(known)
    step = timedelta(hours=1) if per == "hour" else timedelta(days=1)
    pattern = "%Y-%m-%dT%H:00:00Z" if per == "hour" else "%Y-%m-%d"
    moments = [datetime.strptime(label, pattern).replace(tzinfo=UTC) for label in (known[0], known[-1])]
    count = round((moments[1] - moments[0]) / step) + 1
    return (
        [f"{moments[0] + number * step:{pattern}}" for number in range(count)] if count <= MOST_PERIODS else list(known)
    )


def _print_table(console: Console, rows: Sequence[Row], names: Sequence[str], total: Row) -> None:
    with_period = "period" in rows[0]
    head = [*(["period"] if with_period else []), *names]
    columns = (*(head or [""]), "calls", "errors", "unpriced", "input", "output", "cached", "latency", "list", "cost")
    lines = [[*([row["period"]] if with_period else []), *_values(row, names), *_metrics(row)] for row in rows]
    lines = lines if head else []
    lines.append([Text("total", style="bold"), *[""] * (max(len(head), 1) - 1), *_metrics(total)])
    result = table(columns, lines)
    for column in result.columns[max(len(head), 1) :]:
        column.justify = "right"
    console.print(result)


def _metrics(row: Row) -> list[object]:
    counts: list[object] = [
        f"{row[name]:,}"
        for name in ("calls", "errors", "unpriced_calls", "input_tokens", "output_tokens", "cached_tokens")
    ]
    counts[2] = Text(str(counts[2]), style="yellow") if row["unpriced_calls"] else counts[2]
    latency = duration(row["average_latency_ms"] / 1000)
    return [*counts, latency, _usd(row["list_cost_usd"]), _usd(row["cost_usd"])]


def _print_savings(console: Console, total: Row) -> None:
    parts = [
        (reason, amount)
        for reason in ("batch", "tier", "cache", "discount")
        if round(amount := float(total.get(f"saved_by_{reason}_usd") or 0), 6)
    ]
    if parts:
        by = ", ".join(f"{reason} {_usd(amount)}" for reason, amount in parts)
        console.print(f"\nsaved against list prices: {_usd(sum(amount for _, amount in parts))} ({by})", markup=False)


def _print_unpriced(console: Console, unpriced: Sequence[Row]) -> None:
    if not unpriced:
        return
    models = ", ".join(
        f"{plain(row['provider'])}/{plain(row['model'])} ({row['calls']:,} calls)" for row in unpriced[:10]
    )
    more = f" and {len(unpriced) - 10} more" if len(unpriced) > 10 else ""
    console.print(
        Text(f"\nwithout a price, and not in the costs above: {models}{more}; add them to [prices]", style="yellow")
    )


def print_calls(page: Mapping[str, Any], *, wide: bool = False) -> None:
    """Print a page of calls, with the option for the next page."""
    console = out(wide=wide)
    calls: Sequence[Row] = page.get("data") or []
    columns = ("ended", "key", "team", "type", "model", "status", "tokens", "latency", "cost", "request")
    if calls:
        dropped = ("request", "team", "key", "type", "tokens", "latency")
        console.print(fitted(columns, [_call(call) for call in calls], console, dropped))
    else:
        console.print("no matching calls on this page" if page.get("next_cursor") else "no calls")
    if page.get("next_cursor"):
        console.print(f"\nmore with --cursor {plain(page['next_cursor'])}", markup=False)


def _call(call: Row) -> Sequence[object]:
    status = call["status"]
    return (
        call["ended_at"],
        call["key_name"] or call["key"] or _NO_OWNER,
        call["team"],
        call["request_type"],
        f"{call['provider']}/{call['model']}" if call["provider"] else call["asked_model"],
        Text(plain(f"{status} {call['code']}".strip()), style="red" if status >= 400 else ""),
        f"{call['input_tokens']:,} + {call['output_tokens']:,}",
        duration(call["latency_ms"] / 1000),
        "unpriced" if call["cost_usd"] is None else _usd(call["cost_usd"]),
        call["request_id"],
    )


def print_forecast(page: Mapping[str, Any]) -> None:
    """Print a line for each budget, and one for each owner without a budget."""
    console = out()
    columns = (
        str(page.get("by")), "rate / hour", "today", "usual day", "month", "month's end", "budget", "used",
        "projected", "spent at", "",
    )  # fmt: skip
    lines = [line for row in page.get("data") or () for line in _forecast_lines(row)]
    if not lines:
        console.print("nothing to forecast")
        return
    console.print(table(columns, lines))
    if page.get("has_more"):
        console.print(f"\nmore with --after {plain(page.get('last_id'))}", markup=False)


def _forecast_lines(row: Row) -> Sequence[Sequence[object]]:
    money: list[object] = [
        _usd(row[name])
        for name in ("rate_usd_per_hour", "today_usd", "usual_day_usd", "month_usd", "projected_month_usd")
    ]
    if row["anomalous"]:
        money[1] = Text(f"{money[1]} unusual", style="red")
    first: list[object] = [row["name"] or row["id"], *money]
    budgets = row["budgets"]
    if not budgets:
        return [[*first, "", "", "", "", ""]]
    return [[*(first if at == 0 else [""] * len(first)), *_budget(budget)] for at, budget in enumerate(budgets)]


def _budget(budget: Row) -> Sequence[object]:
    state = str(budget["state"])
    style = {"ok": "green", "at_risk": "yellow", "spent": "red"}.get(state, "")
    return (
        f"{_usd(budget['limit_usd'])} / {plain(budget['window'])}",
        _usd(budget["used_usd"] + budget["reserved_usd"]),
        _usd(budget["projected_usd"]),
        budget["exhausted_at"] or "-",
        Text(state.replace("_", " "), style=style),
    )


def _group(row: Row, names: Sequence[str]) -> str:
    return " · ".join(str(value) for value in _values(row, names)) or "all"


def _values(row: Row, names: Sequence[str]) -> list[object]:
    return [(row.get("key_name") or row.get(name) if name == "key" else row.get(name)) or _NO_OWNER for name in names]


def _usd(amount: float) -> str:
    """Format USD: cents from one dollar up, more places below."""
    if amount == 0 or abs(amount) >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if abs(amount) >= 0.01 else f"${amount:.6f}"
