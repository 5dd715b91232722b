"""``finops config import``: translate another gateway's configuration."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.examples import examples

if TYPE_CHECKING:
    from cli.importers.draft import Draft

MAX_BYTES = 4 * 1024 * 1024
# Stands for the value of a variable that is not set here, so that everything else can be checked.
_PLACEHOLDER = "http://unset.invalid"

file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
output_option = click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, readable by you alone.  [default: standard output]",
)
force_option = click.option("--force", is_flag=True, help="Replace the file if it exists.")


@click.group(name="import", epilog=examples("finops config import litellm config.yaml --output finops.toml"))
def command() -> None:
    """Translate another gateway's configuration into finops.toml.

    What has no counterpart is listed on standard error, each with what to do instead.
    """


@command.command(name="litellm", epilog=examples("finops config import litellm config.yaml --output finops.toml"))
@file_argument
@output_option
@force_option
def litellm(file: Path, output: Path | None, *, force: bool) -> None:
    """Translate a config.yaml of LiteLLM's proxy."""
    import yaml

    from cli.importers.litellm import translate

    _import(file, output, force, lambda text: translate(_parsed(lambda: yaml.safe_load(text), yaml.YAMLError)))


@command.command(name="bifrost", epilog=examples("finops config import bifrost config.json --output finops.toml"))
@file_argument
@output_option
@force_option
def bifrost(file: Path, output: Path | None, *, force: bool) -> None:
    """Translate a config.json of Bifrost."""
    import json

    from cli.importers.bifrost import translate

    _import(file, output, force, lambda text: translate(_parsed(lambda: json.loads(text), ValueError)))


def _parsed(parse: Callable[[], object], error: type[Exception]) -> object:
    """Parse the file.

    Raises:
        NotThatKind: It is not valid.
    """
    from cli.importers.fields import NotThatKind

    try:
        return parse()
    except (error, RecursionError) as fault:
        raise NotThatKind(f"not valid: {' '.join(str(fault).split())[:300]}") from None


def _import(file: Path, output: Path | None, force: bool, translate: "Callable[[str], Draft]") -> None:
    """Translate, check and write.

    Raises:
        click.ClickException: The file cannot be read or translated, or its translation is not valid.
    """
    from cli.importers.fields import NotThatKind

    try:
        draft = translate(_read(file))
    except NotThatKind as error:
        raise click.ClickException(f"{file}: {error}") from None
    text = draft.text()
    unset = _check(text)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text, force=force)
        click.echo(f"wrote {output}: {len(draft.providers)} providers", err=True)
    for line in draft.notes:
        click.echo(f"not translated: {line}", err=True)
    if unset:
        click.echo(f"set these variables: {', '.join(unset)}", err=True)
    name = output or "finops.toml"
    click.echo(f"next: finops config check --config {name} && finops serve --config {name}", err=True)


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise click.ClickException(f"{file} is larger than {MAX_BYTES // 1024 // 1024} MB")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"cannot read {file}: {error}") from None


def _check(text: str) -> list[str]:
    """Check the translation as a start would, and return the variables that it needs and that are not set here.

    Raises:
        click.ClickException: It is not valid.
    """
    import tempfile

    from cli.options import settings_of
    from shared.settings.load import referenced_variables

    names = referenced_variables(text)
    unset = sorted(name for name in names if not os.environ.get(name))
    environ: Mapping[str, str] = {**os.environ, **dict.fromkeys(unset, _PLACEHOLDER)}
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            settings_of({**environ, "FINOPS_CONFIG": file.name})
        except click.ClickException as error:
            reason = error.message.replace(f"{file.name}: ", "").replace("invalid configuration:\n", "")
            raise click.ClickException(f"the translation is not valid; correct the original first:\n{reason}") from None
    return unset


def _write(output: Path, text: str, *, force: bool) -> None:
    """Write the file for its owner alone: it may hold keys.

    Raises:
        click.ClickException: It exists, or cannot be written.
    """
    try:
        if force:
            output.unlink(missing_ok=True)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{output} exists; replace it with --force") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
