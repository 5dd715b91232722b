"""The admin key of the data directory, used when none is configured."""

import os
import secrets
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

FILE_NAME = "admin.key"
PREFIX = "finops-admin-"


def read_admin_key(data_dir: Path) -> str | None:
    """Return the stored key; None if there is none or it cannot be read."""
    try:
        return (data_dir / FILE_NAME).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def configured_admin_key(environ: Mapping[str, str]) -> str | None:
    """Return the admin key that the environment or its configuration file sets, read without the whole settings."""
    if environ.get("FINOPS_ADMIN_KEY"):
        return environ["FINOPS_ADMIN_KEY"]
    key: object = None
    with suppress(OSError, ValueError, KeyError, TypeError):  # no file, not TOML, or no such setting
        key = tomllib.loads(Path(environ["FINOPS_CONFIG"]).read_text(encoding="utf-8"))["auth"]["admin_key"]
    if not isinstance(key, str):
        return None
    return (environ.get(key.removeprefix("env.")) if key.startswith("env.") else key) or None


def ensure_admin_key(data_dir: Path) -> tuple[str, bool]:
    """Return the stored key, or create it.

    Returns:
        The key, and whether it was created now.

    Raises:
        click.ClickException: The key cannot be read or stored.
    """
    path = data_dir / FILE_NAME
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        stored = read_admin_key(data_dir)
        if stored is None:
            raise click.ClickException(f"{path} is empty or unreadable; delete it to create a new key") from None
        return stored, False
    except OSError as error:
        raise click.ClickException(f"cannot store the admin key in {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key + "\n")
    return key, True
