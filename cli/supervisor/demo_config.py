"""The configuration of a demo's processes: the user's, with the simulator as an additional provider."""

import os
import tomllib
from pathlib import Path

import click

SIMULATOR = "sim"
FILE_NAME = "serve.toml"


def with_simulator(config: str | None, port: int, data_dir: Path) -> Path:
    """Write the configuration with the simulator added, and return its path.

    The file is private to its owner: it may hold secrets of the user's file.

    Args:
        config: The user's file, if any.
        port: The simulator's port.
        data_dir: Directory of the new file.

    Raises:
        click.ClickException: No table can be added to the user's file.
    """
    text = Path(config).read_text(encoding="utf-8") if config else ""
    text += f'\n[providers.{SIMULATOR}]\nwire = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
    if "prices" not in _read(config):  # so that `finops usage` shows costs
        text += f'\n[prices."{SIMULATOR}/*"]\ninput = 2.5\noutput = 10\n'
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise click.ClickException(
            f"--demo cannot add [providers.{SIMULATOR}] to {config}: write each of its providers as a table of its own"
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
