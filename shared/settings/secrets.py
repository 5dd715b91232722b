"""Collects the configured secrets, so that texts from outside can be cleared of them."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr


def secrets_of(value: object) -> Iterator[str]:
    """Yield every secret in a settings model: each ``SecretStr``, and the password of each URL."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        yield text
        yield from _password(text)
    elif isinstance(value, str) and "://" in value:
        yield from _password(value)
    for each in _parts(value):
        yield from secrets_of(each)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, BaseModel):
        return value.__dict__.values()
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, tuple | list) else ()


def _password(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return
    if password:
        yield password
