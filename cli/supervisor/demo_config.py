"""The configuration of a demo's processes: the user's, with the simulator in place of providers without a key."""

import os
import tomllib
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import click

SIMULATOR = "sim"
FILE_NAME = "serve.toml"
# Provider tables, each for an origin of the simulator. The key stands for a real one, so that none is fetched.
TABLES: Mapping[str, str] = {
    SIMULATOR: 'wire = "openai"\nbase_url = "{origin}/v1"',
    "openai": 'base_url = "{origin}/v1"\nkeys = [{{ value = "demo" }}]',
    "anthropic": 'base_url = "{origin}"\nkeys = [{{ value = "demo" }}]',
    "vertex": 'base_url = "{origin}"\nproject = "demo"\nlocation = "global"\nkeys = [{{ value = "demo" }}]\n'
    'headers = {{ authorization = "Bearer demo" }}',  # its Claude and OpenAI endpoints take tokens only
    "azure": 'base_url = "{origin}"\nkeys = [{{ value = "demo" }}]',
    "ollama": 'base_url = "{origin}/v1"',
}


def simulated_providers(configured: Container[str]) -> tuple[str, ...]:
    """Return the names of the providers that the simulator plays: those which nothing else configures."""
    return tuple(name for name in TABLES if name not in configured)


def with_simulator(config: str | None, port: int, data_dir: Path, names: Iterable[str]) -> Path:
    """Write the configuration with the simulator added, and return its path.

    The file is private to its owner: it may hold secrets of the user's file.

    Args:
        config: The user's file, if any.
        port: The simulator's port.
        data_dir: Directory of the new file.
        names: The providers that the simulator plays.

    Raises:
        click.ClickException: No table can be added to the user's file.
    """
    text = Path(config).read_text(encoding="utf-8") if config else ""
    for name in names:
        text += f"\n[providers.{name}]\n{TABLES[name].format(origin=f'http://127.0.0.1:{port}')}\n"
    if "prices" not in _read(config):  # so that `finops usage` shows costs
        text += f'\n[prices."{SIMULATOR}/*"]\ninput = 2.5\noutput = 10\n'
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise click.ClickException(
            f"--demo cannot add its providers to {config}: write each of its providers as a table of its own"
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
