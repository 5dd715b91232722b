"""The sections ``[files]``, ``[blobs]`` and ``[store]``: what is kept, where, and how."""

import base64
import binascii
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from shared.settings.section import Section

_KEY_BYTES = 32


class FileSettings(Section):
    """Files for batches that are kept here, in the job store's memory."""

    max_mb: Annotated[float, Field(gt=0, le=512)] = 200
    max_stored_mb_per_key: Annotated[float, Field(gt=0)] = 1000
    ttl_s: Annotated[int, Field(ge=3600, le=30 * 86_400)] = 30 * 86_400

    @property
    def max_bytes(self) -> int:
        """The largest file, in bytes."""
        return int(self.max_mb * 1024 * 1024)

    @property
    def max_owner_bytes(self) -> int:
        """Total size of one key's files, in bytes."""
        return int(self.max_stored_mb_per_key * 1024 * 1024)


class BlobSettings(Section):
    """Where bodies above ``min_kb`` are kept instead of Redis: an object store or a directory.

    ``options`` are those of the object store's client (``aws_endpoint``, ``google_service_account`` ...).
    """

    url: str | None = None
    min_kb: Annotated[int, Field(ge=1, le=1024 * 1024)] = 64
    options: dict[str, SecretStr] = {}

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value and not value.startswith(("s3://", "gs://", "az://", "file:///")):
            raise ValueError("must begin with s3://, gs://, az:// or file:///")
        return value

    def plain_options(self) -> dict[str, str]:
        """Return the options, secrets included."""
        return {name: value.get_secret_value() for name, value in self.options.items()}


class StoreSettings(Section):
    """How bodies are stored: request bodies, results, events of jobs, files, conversations, schedules, cached answers.

    Attributes:
        encryption_key: 32 random bytes in base64 or hex; of several (a list, or with commas between them) the first
            one encrypts and all decrypt. Empty: bodies are not encrypted.
    """

    encryption_key: tuple[SecretStr, ...] = ()

    @field_validator("encryption_key", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(key for key in value.replace(",", " ").split() if key) if isinstance(value, str) else value

    @field_validator("encryption_key")
    @classmethod
    def _strong(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(_key_bytes(key.get_secret_value())) != _KEY_BYTES for key in value):
            raise ValueError("must be 32 random bytes in base64 or hex: make one with `openssl rand -base64 32`")
        return value

    def keys(self) -> tuple[bytes, ...]:
        """Return the keys, the one that encrypts first."""
        return tuple(_key_bytes(key.get_secret_value()) for key in self.encryption_key)


def _key_bytes(text: str) -> bytes:
    """Read a key; empty: it is neither hex nor base64."""
    try:
        if len(text) == 2 * _KEY_BYTES:
            return bytes.fromhex(text)
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        return base64.b64decode(padded, altchars=b"-_" if "-" in text or "_" in text else None, validate=True)
    except (ValueError, binascii.Error):
        return b""
