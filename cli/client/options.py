"""Options of the commands that call a gateway, and the key they use. Imports no HTTP client: ``--help`` needs none."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from cli import options
from cli.admin_key import configured_admin_key, read_admin_key

DEFAULT_URL = "http://127.0.0.1:8080"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Decorated = Callable[..., Any]

url_option = click.option(
    "--url", envvar="FINOPS_URL", default=DEFAULT_URL, show_default=True, help="URL of the gateway (FINOPS_URL)."
)
wide_option = click.option("--wide", is_flag=True, help="Print all columns and complete ids, however wide.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")


key_option = click.option("--key", envvar="FINOPS_KEY", help="Virtual key or admin key (FINOPS_KEY).")


def caller_options(command: Decorated) -> Decorated:
    """Add ``--url`` and ``--key``, for commands that act for a caller and never as an administrator."""
    return url_option(key_option(command))


def gateway_options(command: Decorated) -> Decorated:
    """Add ``--url``, ``--key``, ``--json`` and ``--data-dir``."""
    for option in (
        options.data_dir_option,
        json_option,
        key_option,
        url_option,
    ):
        command = option(command)
    return command


def credentials(url: str, key: str | None, data_dir: Path) -> str:
    """Return the key to use.

    The given key; without one, and for a gateway on this machine only, the admin key: that of the environment or its
    configuration file, else that of the data directory.
    """
    if key:
        return key
    return (configured_admin_key(os.environ) or read_admin_key(data_dir) or "") if is_local(url) else ""


def is_local(url: str) -> bool:
    """Whether the URL names this machine."""
    return urlsplit(url).hostname in _LOOPBACK
