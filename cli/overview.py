"""The table of commands, and `finops --help` from it.

Nothing is imported here: click alone takes four fifths of the time of an overview that it prints.
"""

import os
import sys
from collections.abc import Mapping, Sequence

SUMMARY = "An AI gateway whose every call can be a durable background job."
EXAMPLES = ("finops serve --demo", 'finops jobs submit --model sim/gpt-4o --message "Hello" --wait')
OPTIONS = {"--version": "Show the version and exit.", "-h, --help": "Show this message and exit."}
COLUMNS = 80
"""Most columns that click fills; on a narrower terminal it breaks lines."""

COMMANDS: Mapping[str, str] = {
    "serve": "Run API, worker and store in one command.",
    "api": "Run one API process.",
    "worker": "Run one worker process.",
    "init": "Write a configuration from the environment.",
    "chat": "Chat with a model from the terminal.",
    "jobs": "Submit, watch and manage jobs.",
    "batches": "Run files of requests as batches.",
    "files": "Upload, list and read files.",
    "queue": "Pause, resume and inspect the queue.",
    "top": "Watch queue, workers, rates, providers and spend.",
    "schedules": "Run requests as jobs at set times.",
    "keys": "Create, show and revoke virtual keys.",
    "tokens": "Create, list and delete API tokens.",
    "runs": "Show what runs have spent and reserved.",
    "prices": "Show the price of each model, and its source.",
    "webhooks": "Inspect, repeat and test webhook deliveries.",
    "alerts": "List, mute and unmute alert rules.",
    "audit": "List what administrators changed.",
    "cache": "Show and purge the cache of answers.",
    "usage": "Show usage, costs and spend forecasts.",
    "ui": "Open the web console, signed in.",
    "config": "Check, show, import and reload the configuration.",
    "models": "List the models that the gateway serves.",
    "providers": "List providers, and which are configured.",
    "doctor": "Check configuration, store, providers and workers.",
    "store": "Move the stored data to another store.",
    "upgrade-check": "Say what of the stored data this release reads.",
    "demo": "Show the whole system at work in half a minute.",
    "bench": "Measure this installation.",
    "completion": "Print a script for shell completion.",
    "simulate": "Run simulated provider APIs, free of charge.",
}
"""What each command does. Its module is ``cli.commands``, its object there ``command``."""


def print_overview(program: str, arguments: Sequence[str]) -> bool:
    """Print the overview if that is all that the arguments ask for.

    Args:
        program: What the command is called by, e.g. ``finops``.
        arguments: Those after it.

    Returns:
        Whether it was printed; if not, click has to be asked.
    """
    if len(arguments) != 1 or arguments[0] not in {"-h", "--help"} or _columns() < COLUMNS:
        return False
    sys.stdout.write(overview(program))
    return True


def overview(program: str) -> str:
    """Return what click prints for ``--help`` on 80 columns or more."""
    sections = {"Options": OPTIONS, "Commands": COMMANDS}
    parts = [f"Usage: {program} [OPTIONS] COMMAND [ARGS]...", f"  {SUMMARY}"]
    parts += [f"{title}:\n{_rows(rows)}" for title, rows in sections.items()]
    parts.append("\n".join(["  Examples:", *(f"    {example}" for example in EXAMPLES)]))
    return "\n\n".join(parts) + "\n"


def _rows(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"  {name:{width}}  {text}" for name, text in rows.items())


def _columns() -> int:
    """Return the terminal's width as click finds it: by the environment, else by the terminal, else 80."""
    try:
        return int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(1).columns or COLUMNS
    except (ValueError, OSError):
        return COLUMNS
