"""``finops init``: write a commented configuration from what the environment has."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.examples import examples

if TYPE_CHECKING:
    from shared.providers.registry import ProviderRow

HEAD = """\
# Configuration of FinOps, written by `finops init`. Check it with `finops config check --config {name}`, and start with
# `finops serve --config {name}`. docs/03-configuration.md has every setting. Secrets stay in the environment:
# "env.NAME" is the value of that variable.

# [server]
# host = "0.0.0.0"                       # default 127.0.0.1: this machine only
# port = 8080

# [redis]
# url = "env.REDIS_URL"                  # without it `finops serve` starts a store of its own
"""
TAIL = """
# [fallbacks]                            # where a call goes when its model fails
# "openai/gpt-4o" = ["anthropic/claude-sonnet-4-5"]

# [virtual_keys.team-a]                  # a key with a budget; its value is created and printed once
# budget = { limit_usd = 50.0, window = "1d" }
# rate_limit = { requests = 600, window = "1m" }

# [webhooks.orders]                      # called when jobs end
# url = "https://example.com/hooks/finops"
# secret = "env.ORDERS_WEBHOOK_SECRET"
"""
NO_PROVIDER = """
# No variable of a provider was found. Set one, such as OPENAI_API_KEY, or try `finops serve --demo`.
# [providers.openai]
# keys = ["env.OPENAI_API_KEY"]
"""


@click.command(name="init", epilog=examples("finops init", "finops init --output /etc/finops/finops.toml --force"))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("finops.toml"),
    show_default=True,
    help="File to write.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def command(output: Path, force: bool) -> None:
    """Write a commented finops.toml with the providers whose variables are set.

    Keys are not copied: the file refers to the variables.
    """
    text, names = configuration(os.environ, output.name)
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{output} exists; replace it with --force") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from None
    click.echo(f"wrote {output}; providers: {', '.join(names) or 'none, as no variable of one is set'}")
    demo = "" if names else " --demo"
    click.echo(f"next: finops config check --config {output} && finops serve --config {output}{demo}")


def configuration(environ: Mapping[str, str], name: str) -> tuple[str, list[str]]:
    """Return the text of a configuration, and the names of the providers in it."""
    from shared.providers.registry import ROWS

    found = [(row, _variables(row, environ)) for row in ROWS if _variables(row, environ)]
    parts = [HEAD.format(name=name)]
    if environ.get("FINOPS_ADMIN_KEY"):
        parts.append('\n[auth]\nadmin_key = "env.FINOPS_ADMIN_KEY"\n')
    parts += [_table(row, variables) for row, variables in found]
    return "".join([*parts, *([] if found else [NO_PROVIDER]), TAIL]), [row.name for row, _ in found]


def _variables(row: "ProviderRow", environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the set variables that configure a provider; empty if none do."""
    return next((names for names in row.variables if all(environ.get(name) for name in names)), ())


def _table(row: "ProviderRow", variables: tuple[str, ...]) -> str:
    keys = f'keys = ["env.{row.key_env}"]\n' if row.key_env in variables else ""
    others = [name for name in variables if name != row.key_env]
    remark = f"# {', '.join(others)} from the environment\n" if others else ""
    return f"\n[providers.{row.name}]{' ' * max(1, 28 - len(row.name))}# {row.title}\n{remark}{keys}"
