"""The sections ``[files]`` and ``[blobs]``: what is kept, and where."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from shared.settings.section import Section


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
