"""The cache on a terminal."""

from collections.abc import Mapping
from typing import Any

from cli.views.output import out, table


def print_cache(cache: Mapping[str, Any]) -> None:
    """Print the cache's configuration, size, hits and savings as a table of two columns."""
    lookups = cache["lookups"]
    rate = cache["hit_rate"]
    rows = [
        ("mode", cache["mode"]),
        ("scope", cache["scope"]),
        ("stored answers", f"{cache['entries']:,}"),
        ("size", f"{cache['bytes'] / 1024**2:,.1f} of {cache['max_bytes'] / 1024**2:,.0f} MiB"),
        (f"hits, {cache['days']} days", f"{lookups['hit']:,}" + ("" if rate is None else f" ({rate:.1%})")),
        ("misses", f"{lookups['miss']:,}"),
        ("bypassed", f"{lookups['bypass']:,}"),
        ("saved", f"${cache['saved_usd']:,.2f}"),
    ]
    out().print(table(("cache", ""), rows))


def print_shadow(report: Mapping[str, Any]) -> None:
    """Print the evidence of semantic matches: one row a scope and model, then by similarity."""
    serving = "nothing is served" if report["shadow"] or report["mode"] != "semantic" else "served within the bound"
    out().print(
        f"mode {report['mode']}, {serving}; embedding {report['embedding']}, {report['guards']} guards, "
        f"from {report['similarity']:.2f}, at most {report['max_wrong']:.1%} wrong"
    )
    if not report["data"]:
        out().print("no answers were compared in the last 30 days")
        return
    columns = ("scope", "model", "state", "compared", "would be wrong", "at most, 95 %", "may serve from")
    out().print(table(columns, [_family_row(family) for family in report["data"]]))
    steps = [
        (
            family["scope"],
            family["model"],
            f"{each['similarity']:.2f}",
            f"{each['compared']:,}",
            f"{each['disagreed']:,}",
        )
        for family in report["data"]
        for each in reversed(family["by_similarity"])
    ]
    out().print(table(("scope", "model", "similarity", "compared", "would be wrong"), steps))


def _family_row(family: Mapping[str, Any]) -> tuple[str, ...]:
    lowest = family["serves_from"]
    return (
        family["scope"],
        family["model"],
        family["state"],
        f"{family['compared']:,}",
        f"{family['disagreed']:,}",
        f"{family['wrong_upper_bound']:.2%}",
        "-" if lowest is None else f"{lowest:.2f}",
    )
