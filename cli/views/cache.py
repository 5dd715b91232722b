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
