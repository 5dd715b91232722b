"""The admin key that is made when none is configured, kept in the data directory."""

import os
import secrets
from pathlib import Path

import click

FILE_NAME = "admin.key"
PREFIX = "finops-admin-"


def read_admin_key(data_dir: Path) -> str | None:
    """The kept key; None where there is none or it may not be read."""
    try:
        return (data_dir / FILE_NAME).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def keep_admin_key(data_dir: Path) -> tuple[str, bool]:
    """The kept key, made now if it is the first start.

    Returns:
        The key, and whether it was made now.

    Raises:
        click.ClickException: It cannot be read or kept.
    """
    path = data_dir / FILE_NAME
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        known = read_admin_key(data_dir)
        if known is None:
            raise click.ClickException(f"{path} is empty or unreadable; delete it, and a new key is made") from None
        return known, False
    except OSError as error:
        raise click.ClickException(f"the admin key cannot be kept in {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key + "\n")
    return key, True
