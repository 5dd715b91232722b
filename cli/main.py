"""The ``finops`` command. A command is imported when it is called, and what it runs when it runs.

Python and click alone take 0.1 s to start; pydantic, httpx and rich together would add four times as much.
"""

import importlib

import click

from cli.examples import examples
from cli.overview import COMMANDS, EXAMPLES, SUMMARY
from shared.startup import skip_unused_imports

# Before any command is imported: click imports a command before it calls the group.
skip_unused_imports()


class LazyGroup(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands' names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None if there is none of that name. Its object is called ``command`` in its module."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"cli.commands.{cmd_name.replace('-', '_')}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview from the table, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=SUMMARY,
    epilog=examples(*EXAMPLES),
)
@click.version_option(package_name="finops-gateway", prog_name="finops")
def main() -> None:
    """Run the command that the arguments name."""
