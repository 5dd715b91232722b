"""``finops completion``: completion of commands and options for a shell."""

import click

from cli.examples import examples

SHELLS = ("bash", "zsh", "fish")


@click.command(
    name="completion",
    epilog=examples(
        "finops completion bash >> ~/.bashrc", "finops completion fish > ~/.config/fish/completions/finops.fish"
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a script that completes commands and options; add it to the shell's start file."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - one of click's
    main = click.get_current_context().find_root().command
    click.echo(kind(main, {}, "finops", "_FINOPS_COMPLETE").source())
