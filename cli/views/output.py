"""What commands print: tables for people, one JSON document for scripts."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO, Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Everything that could steer a terminal; line ends and tabs stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# Of lines that go to a file or a pipe: nothing is cut off there.
PLAIN_WIDTH = 400

STATUS_STYLES = {
    "pending": "yellow",
    "processing": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
    "active": "green",
    "expired": "yellow",
    "revoked": "red",
    "OK": "green",
    "WARN": "yellow",
    "FAIL": "red",
}


def out() -> Console:
    """Standard output, for results."""
    return _console(sys.stdout)


def err() -> Console:
    """Standard error, for progress and remarks."""
    return _console(sys.stderr)


def _console(stream: IO[str]) -> Console:
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PLAIN_WIDTH)


def echo_json(document: Any) -> None:  # noqa: ANN401 - any document
    """Print one JSON document to standard output."""
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def plain(text: object) -> str:
    """Text from elsewhere, without what could steer the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def cell(text: object) -> Text:
    """A table cell of text from elsewhere; a known status has its colour."""
    said = plain("" if text is None else text)
    return Text(said, style=STATUS_STYLES.get(said, ""))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> Table:
    """A table of cells; text from elsewhere can neither style nor steer, and the first column is never cut."""
    made = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for at, name in enumerate(columns):
        made.add_column(name, no_wrap=at == 0, overflow="ignore" if at == 0 else "fold")
    for row in rows:
        made.add_row(*(item if isinstance(item, Text) else cell(item) for item in row))
    return made


def age(at: str | None) -> str:
    """How long ago an RFC 3339 time was, in one unit."""
    if not at:
        return ""
    return duration((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())


def between(start: str | None, end: str | None) -> str:
    """The time from one RFC 3339 time to another; empty where one is missing."""
    if not start or not end:
        return ""
    return duration((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def duration(seconds: float) -> str:
    """Seconds, as people say them."""
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
