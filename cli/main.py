"""The ``finops`` command. A command is imported when it is called, and what it runs when it runs.

Python and click alone take 0.1 s to start; pydantic, httpx and rich together would add four times as much.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click

from cli.examples import examples
from shared.startup import skip_unused_imports

# Before any command is imported: click imports a command before it calls the group.
skip_unused_imports()


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command: its module, and its line in the overview."""

    module: str
    summary: str


COMMANDS: Mapping[str, CommandRow] = {
    "serve": CommandRow("cli.commands.serve", "Run API, worker and store in one command."),
    "api": CommandRow("cli.commands.api", "Run one API process."),
    "worker": CommandRow("cli.commands.worker", "Run one worker process."),
    "init": CommandRow("cli.commands.init", "Write a configuration from the environment."),
    "chat": CommandRow("cli.commands.chat", "Chat with a model from the terminal."),
    "jobs": CommandRow("cli.commands.jobs", "Submit, watch and manage jobs."),
    "batches": CommandRow("cli.commands.batches", "Run files of requests as batches."),
    "files": CommandRow("cli.commands.files", "Upload, list and read files."),
    "queue": CommandRow("cli.commands.queue", "Pause, resume and inspect the queue."),
    "schedules": CommandRow("cli.commands.schedules", "Run requests as jobs at set times."),
    "keys": CommandRow("cli.commands.keys", "Create, show and revoke virtual keys."),
    "tokens": CommandRow("cli.commands.tokens", "Create, list and delete API tokens."),
    "runs": CommandRow("cli.commands.runs", "Show what runs have spent and reserved."),
    "prices": CommandRow("cli.commands.prices", "Show the price of each model, and its source."),
    "webhooks": CommandRow("cli.commands.webhooks", "Inspect, repeat and test webhook deliveries."),
    "alerts": CommandRow("cli.commands.alerts", "List, mute and unmute alert rules."),
    "audit": CommandRow("cli.commands.audit", "List what administrators changed."),
    "cache": CommandRow("cli.commands.cache", "Show and purge the cache of answers."),
    "usage": CommandRow("cli.commands.usage", "Show usage, costs and spend forecasts."),
    "ui": CommandRow("cli.commands.ui", "Open the web console, signed in."),
    "config": CommandRow("cli.commands.config", "Check, show, import and reload the configuration."),
    "models": CommandRow("cli.commands.models", "List the models that the gateway serves."),
    "providers": CommandRow("cli.commands.providers", "List providers, and which are configured."),
    "doctor": CommandRow("cli.commands.doctor", "Check configuration, store, providers and workers."),
    "upgrade-check": CommandRow("cli.commands.upgrade_check", "Say what of the stored data this release reads."),
    "demo": CommandRow("cli.commands.demo", "Show the whole system at work in half a minute."),
    "bench": CommandRow("cli.commands.bench", "Measure this installation."),
    "completion": CommandRow("cli.commands.completion", "Print a script for shell completion."),
    "simulate": CommandRow("cli.commands.simulate", "Run simulated provider APIs, free of charge."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands' names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None if there is none of that name. Its object is called ``command`` in its module."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        found: click.Command = importlib.import_module(row.module).command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview from the table, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("finops serve --demo", 'finops jobs submit --model sim/gpt-4o --message "Hello" --wait'),
)
@click.version_option(package_name="finops-gateway", prog_name="finops")
def main() -> None:
    """An AI gateway whose every call can be a durable background job."""
