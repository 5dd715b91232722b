"""Jobs on a terminal."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.text import plain
from cli.views.output import age, between, cell, fitted, out, short_ids, table

_COLUMNS = ("id", "type", "model", "status", "age", "run", "attempts")
_DROPPED = ("attempts", "run", "type", "age")


def print_list(page: Mapping[str, Any], *, wide: bool = False) -> None:
    """Print a page of jobs as a table, with the option for the next page."""
    jobs = page.get("data") or []
    console = out(wide=wide)
    if not jobs:
        console.print("no jobs")
        return
    _print_jobs(console, jobs)
    if page.get("has_more"):
        console.print(f"\nmore with --after {plain(page.get('last_id'))}", markup=False)


def _print_jobs(console: Console, jobs: Sequence[Mapping[str, Any]]) -> None:
    ids = short_ids([str(job.get("id")) for job in jobs], console)
    console.print(fitted(_COLUMNS, [_row(job, name) for job, name in zip(jobs, ids, strict=True)], console, _DROPPED))


def _row(job: Mapping[str, Any], job_id: str) -> Sequence[object]:
    run = between(job.get("started_at"), job.get("completed_at")) or age(job.get("started_at"))
    return (
        job_id,
        job.get("request_type"),
        job.get("model"),
        job.get("status"),
        age(job.get("created_at")),
        run if job.get("started_at") else "",
        job.get("attempts"),
    )


def print_envelope(job: Mapping[str, Any], *, with_result: bool = True) -> None:
    """Print a job field by field, and its result below."""
    console = out()
    fields = [(name, job[name]) for name in job if name not in {"result", "error", "object"}]
    console.print(table(("field", "value"), fields))
    if job.get("error"):
        console.print(Text(f"\n{_error_text(job)}", style="red"))
    if with_result and job.get("status") == "completed":
        console.print()
        console.print(Text(result_text(job)))


def print_ended(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Print ended jobs: the result of a single one, a table of several."""
    console = out()
    if len(jobs) > 1:
        _print_jobs(console, jobs)
        return
    [job] = jobs
    if job.get("status") == "completed":
        console.print(Text(result_text(job)))
        return
    console.print(Text.assemble(cell(job.get("status")), " ", _error_text(job)))


def _error_text(job: Mapping[str, Any]) -> str:
    error = job.get("error") or {}
    parts = (job.get("status_code"), error.get("code") or error.get("type"), error.get("message"))
    return plain(" ".join(str(part) for part in parts if part))


def result_text(job: Mapping[str, Any]) -> str:
    """Return the text of a result if it has one, else the whole document."""
    result = job.get("result")
    if "result_type" in job and not str(job["result_type"]).startswith("text/"):
        return f"({plain(job['result_type'])}; write it to a file with `finops jobs get {job.get('id')} --output FILE`)"
    text = _answer(result) if isinstance(result, dict) else None
    if text is None:
        text = result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)
    return plain(text)


def _answer(result: Mapping[str, Any]) -> str | None:
    """Return the text of a chat completion, completion, response or transcription; None for other results."""
    try:
        if result.get("object") == "response":
            parts = [part for item in result["output"] for part in item.get("content") or ()]
            return "".join(part["text"] for part in parts if part.get("type") == "output_text") or None
        if "choices" in result:
            choice = result["choices"][0]
            text = choice["message"]["content"] if "message" in choice else choice["text"]
            return text if isinstance(text, str) else None
        return result["text"] if isinstance(result.get("text"), str) else None
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
