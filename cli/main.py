"""The ``finops`` command. Commands are imported when they are called, so that ``--help`` stays quick."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click

from cli.examples import examples
from shared.startup import without_httpx_command_line


@dataclass(frozen=True, slots=True)
class Row:
    """A command: where it lives and what the overview says of it."""

    module: str
    summary: str


COMMANDS: Mapping[str, Row] = {
    "serve": Row("cli.commands.serve", "API, worker and store in one command."),
    "api": Row("cli.commands.api", "The API tier alone."),
    "worker": Row("cli.commands.worker", "A worker alone."),
    "jobs": Row("cli.commands.jobs", "Submit, watch and manage jobs."),
    "keys": Row("cli.commands.keys", "Make, show and end virtual keys."),
    "usage": Row("cli.commands.usage", "What was used, what it cost, where it is heading."),
    "config": Row("cli.commands.config", "Show the effective configuration."),
    "providers": Row("cli.commands.providers", "List the providers and which are configured."),
    "doctor": Row("cli.commands.doctor", "Check configuration, store, providers and workers."),
    "demo": Row("cli.commands.demo", "Watch the whole system at work, in half a minute."),
    "bench": Row("cli.commands.bench", "Measure this installation."),
    "simulate": Row("cli.commands.simulate", "An upstream like the real ones, without cost."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now. A command's object is called ``command`` in its module."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        found: click.Command = importlib.import_module(row.module).command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The overview, from the table alone."""
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
    without_httpx_command_line()
