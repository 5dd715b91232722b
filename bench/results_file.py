"""Keeps one current table per subject in RESULTS.md; the one that it replaces moves to HISTORY.md.

A file is ``## group``, then ``### subject`` with a line of when and on what, then the tables.
"""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
HISTORY = HERE / "HISTORY.md"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- gateways: begin -->\n", "<!-- gateways: end -->\n"
WHOLE = "All"  # the subject of a run without sections of its own

Tables = dict[tuple[str, str], str]
"""(group, subject) to the text below its heading."""


def read(text: str) -> tuple[str, Tables]:
    """Split a file into its introduction and its tables, in order."""
    head, *groups = re.split(r"^## ", text, flags=re.MULTILINE)
    tables: Tables = {}
    for group in groups:
        title, _, body = group.partition("\n")
        _, *subjects = re.split(r"^### ", body, flags=re.MULTILINE)
        for subject in subjects:
            name, _, rest = subject.partition("\n")
            tables[title.strip(), name.strip()] = rest.strip() + "\n"
    return head.strip() + "\n", tables


def write(head: str, tables: Tables) -> str:
    """Join what `read` split; the groups in the order in which they first occur."""
    parts = [head]
    for group in dict.fromkeys(group for group, _ in tables):
        parts.append(f"## {group}\n")
        parts += [f"### {subject}\n\n{text}" for (its, subject), text in tables.items() if its == group]
    return "\n".join(parts)


def sections(text: str) -> dict[str, str]:
    """Split the tables of one run by their ``###`` headings."""
    first, *rest = re.split(r"^### ", text, flags=re.MULTILINE)
    found = {WHOLE: first.strip() + "\n"} if first.strip() else {}
    for part in rest:
        name, _, body = part.partition("\n")
        found[name.strip()] = body.strip() + "\n"
    return found


def keep(group: str, run: str, text: str, results: Path = RESULTS, history: Path = HISTORY) -> None:
    """Make a run's tables the current ones.

    Args:
        group: What was measured, e.g. ``Gateway``.
        run: One line: when, which commit, on what.
        text: Markdown with a ``###`` heading for each subject.
        results: The file of current tables.
        history: The file of those that were replaced, newest first.
    """
    head, tables = read(results.read_text())
    replaced: list[str] = []
    for subject, body in sections(text).items():
        old = tables.get((group, subject))
        if old:
            replaced.append(f"## {group}: {subject}\n\n{old}")
        tables[group, subject] = f"{run}\n\n{body}"
    results.write_text(write(head, tables))
    if replaced:
        past, marker, rest = history.read_text().partition("\n## ")
        history.write_text(past.rstrip() + "\n\n" + "\n".join(replaced) + (marker + rest if marker else ""))


def keep_in_readme(text: str, readme: Path = README) -> None:
    """Replace the README's table of gateways, which stands between ``BEGIN`` and ``END``."""
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if end:
        readme.write_text(before + begin + text + end + after)
