"""The configuration that a demo's processes read: the user's, and the simulator as one provider more."""

import os
import tomllib
from pathlib import Path

import click

SIMULATOR = "sim"
FILE_NAME = "serve.toml"


def with_simulator(config: str | None, port: int, data_dir: Path) -> Path:
    """Write the configuration with the simulator added; private, as it may hold what the user's file holds.

    Args:
        config: The user's file, if any.
        port: Where the simulator listens.
        data_dir: Where the file goes.

    Raises:
        click.ClickException: A table cannot be added to the user's file.
    """
    text = Path(config).read_text(encoding="utf-8") if config else ""
    text += f'\n[providers.{SIMULATOR}]\nwire = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
    if "prices" not in _read(config):  # so that there is something to see in `finops usage`
        text += f'\n[prices."{SIMULATOR}/*"]\ninput = 2.5\noutput = 10\n'
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise click.ClickException(
            f"--demo cannot add [providers.{SIMULATOR}] to {config}: write its providers as tables, one each"
        ) from None
    return _write_private(data_dir / FILE_NAME, text)


def _read(config: str | None) -> dict[str, object]:
    return tomllib.loads(Path(config).read_text(encoding="utf-8")) if config else {}


def _write_private(path: Path, text: str) -> Path:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path
