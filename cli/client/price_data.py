"""Price data from a file or a URL."""

from pathlib import Path
from urllib.parse import urlsplit

import click
import httpx

MAX_BYTES = 32 * 1024 * 1024
TIMEOUT_S = 30.0


def read_price_data(source: str) -> bytes:
    """Return the bytes of a file, or of an http or https URL.

    Raises:
        ClickException: It cannot be read, or is larger than the gateway takes.
    """
    data = _fetch(source) if urlsplit(source).scheme in {"http", "https"} else _read(source)
    if len(data) > MAX_BYTES:
        raise click.ClickException(f"{source} is larger than {MAX_BYTES // 1024 // 1024} MB")
    return data


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from None


def _fetch(url: str) -> bytes:
    data = bytearray()
    try:
        with httpx.stream("GET", url, timeout=TIMEOUT_S, follow_redirects=True) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    break
    except httpx.HTTPError as error:
        raise click.ClickException(f"cannot read {url}: {error}") from None
    return bytes(data)
