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

_SIGNED_WITH = "whsec_Zmlub3BzLWRlbW8td2ViaG9vay1zZWNyZXQ="  # webhooks to the simulator
# What sample data needs for every page to have something to show; tables that the user's file has stay as they are.
SAMPLE_TABLES: Mapping[str, str] = {
    # The keys of the sample would otherwise close the gateway to calls without one.
    "auth": "[auth]\nrequire_virtual_key = false",
    "cache": '[cache]\nmode = "exact"',
    "alerts": '[alerts.failures]\nmetric = "error_rate"\nabove = 0.05\nmin_count = 5',
    "webhooks": '[webhooks.orders]\nurl = "{origin}/sim/webhook"\nallow_private_network = true\n'
    f'secret = "{_SIGNED_WITH}"\n'
    '[webhooks.crm]\nurl = "{origin}/sim/gone"\nallow_private_network = true\n'
    f'secret = "{_SIGNED_WITH}"',
}


def simulated_providers(configured: Container[str]) -> tuple[str, ...]:
    """Return the names of the providers that the simulator plays: those which nothing else configures."""
    return tuple(name for name in TABLES if name not in configured)


def with_simulator(
    config: str | None, port: int, data_dir: Path, names: Iterable[str], *, sample: bool = False
) -> Path:
    """Write the configuration with the simulator added, and return its path.

    The file is private to its owner: it may hold secrets of the user's file.

    Args:
        config: The user's file, if any.
        port: The simulator's port.
        data_dir: Directory of the new file.
        names: The providers that the simulator plays.
        sample: Whether to add ``SAMPLE_TABLES``.

    Raises:
        click.ClickException: No table can be added to the user's file.
    """
    text = Path(config).read_text(encoding="utf-8") if config else ""
    given, origin = _read(config), f"http://127.0.0.1:{port}"
    for name in names:
        text += f"\n[providers.{name}]\n{TABLES[name].format(origin=origin)}\n"
    for name, table in SAMPLE_TABLES.items() if sample else ():
        if name not in given:
            text += f"\n{table.format(origin=origin)}\n"
    if "prices" not in given:  # so that `finops usage` shows costs
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
