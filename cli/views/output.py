"""Output of the commands: tables for people, one JSON document for scripts."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO, Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.text import plain

# Width of lines that go to a file or a pipe, where nothing may be cut off.
PLAIN_WIDTH = 400
SHORT_ID = 8
GAP = 2  # between the columns of a table

STATUS_STYLES = {
    "pending": "yellow",
    "processing": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
    "active": "green",
    "expired": "yellow",
    "revoked": "red",
    "ok": "green",
    "firing": "red",
    "OK": "green",
    "WARN": "yellow",
    "FAIL": "red",
}


def out(*, wide: bool = False) -> Console:
    """Return the console on standard output, for results; a wide one lets the terminal break lines."""
    return Console(file=sys.stdout, highlight=False, width=PLAIN_WIDTH, height=25) if wide else _console(sys.stdout)


def err() -> Console:
    """Return the console on standard error, for progress and remarks."""
    return _console(sys.stderr)


def _console(stream: IO[str]) -> Console:
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PLAIN_WIDTH)


def echo_json(document: Any) -> None:  # noqa: ANN401 - any document
    """Print one JSON document to standard output."""
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def cell(text: object) -> Text:
    """Return a table cell with control characters replaced; a known status has its colour."""
    content = plain("" if text is None else text)
    return Text(content, style=STATUS_STYLES.get(content, ""))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> Table:
    """Return a table of cells; its text can neither style nor steer the terminal, and the first column is never cut."""
    result = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for at, name in enumerate(columns):
        result.add_column(name, no_wrap=at == 0, overflow="ignore" if at == 0 else "fold")
    for row in rows:
        result.add_row(*(item if isinstance(item, Text) else cell(item) for item in row))
    return result


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[object]], console: Console, drop: Sequence[str] = ()
) -> Table:
    """Return a table without the columns for which the console is too narrow.

    Args:
        drop: Names of columns that may be left out, the least important first.
    """
    kept = list(range(len(columns)))
    widths = [max(len(columns[at]), *(len(_text(row[at])) for row in rows)) for at in kept]
    for name in drop:
        if sum(widths[at] + GAP for at in kept) - GAP <= console.width:
            break
        kept.remove(columns.index(name))
    return table([columns[at] for at in kept], [[row[at] for at in kept] for row in rows])


def _text(value: object) -> str:
    return value.plain if isinstance(value, Text) else cell(value).plain


def short_ids(ids: Sequence[str], console: Console) -> list[str]:
    """Return the ids, on a terminal shortened to prefixes that are unique among them; commands take these."""
    if not console.is_terminal or console.width >= PLAIN_WIDTH:
        return list(ids)
    length = SHORT_ID
    while len({each[:length] for each in ids}) < len(set(ids)):
        length += 1
    return [each[:length] for each in ids]


def age(at: str | None) -> str:
    """Return how long ago an RFC 3339 time was, in one unit; empty without a time."""
    if not at:
        return ""
    return duration((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())


def between(start: str | None, end: str | None) -> str:
    """Return the time from one RFC 3339 time to another; empty if one is missing."""
    if not start or not end:
        return ""
    return duration((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def duration(seconds: float) -> str:
    """Return seconds in the unit that people use: ``850 ms``, ``3.0 s``, ``2 h``."""
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
