"""Reads and writes objects in S3, Google Cloud Storage, Azure Blob Storage or a directory, through obstore."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az", "file")
ANSWER_S = 30.0
"""For one operation with its retries; a body of 100 MB takes 10 s at 10 MB/s."""
CONNECT_S = 3.0
AT_ONCE = 32
RETRIES = 2
RETRY_S = 10.0

T = TypeVar("T")
Operation = Literal["put", "get", "delete"]


class BlobStoreError(Exception):
    """The object store does not answer, or refuses; the message says why and names no credential."""


class BlobsMisconfigured(ValueError):
    """The object store's URL or an option is invalid, or its library is not installed; the message says what to do."""


class BlobWatch(Protocol):
    """Receives what happens; implementations must be cheap."""

    def blob_operation(self, operation: Operation, seconds: float, size: int, *, failed: bool) -> None:
        """Record an operation and the bytes that it moved."""


class BlobStore:
    """Objects by name, below the URL's path.

    Args:
        url: ``s3://bucket/path``, ``gs://bucket/path``, ``az://account/container/path`` or ``file:///directory``, which
            is created.
        options: obstore's options of that kind of store (``aws_endpoint``, ``google_service_account`` ...); what they
            leave out comes from the environment, as the cloud's own tools read it.
        watch: Receives every operation.

    Raises:
        BlobsMisconfigured: See there.
    """

    def __init__(self, url: str, options: Mapping[str, str] | None = None, watch: BlobWatch | None = None) -> None:
        self._store = _open(url, options or {})
        self._watch = watch
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="blobs")

    async def put(self, name: str, content: bytes) -> None:
        """Write an object; written again, it is the same.

        Raises:
            BlobStoreError: It is unknown whether the object exists.
        """
        async with self._operation("put", len(content)):
            await self._in_thread(self._store.put, name, content)

    async def get(self, name: str) -> bytes | None:
        """Return an object, or None when there is none.

        Raises:
            BlobStoreError: No answer, or the store refuses.
        """
        found: bytes | None = None
        with suppress(FileNotFoundError):
            async with self._operation("get", 0):
                found = await self._in_thread(lambda: bytes(self._store.get(name).bytes()))
        return found

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that do not exist are no error.

        Raises:
            BlobStoreError: Some may still exist.
        """
        for name in names:
            with suppress(FileNotFoundError):  # a directory says so, S3 does not
                async with self._operation("delete", 0):
                    await self._in_thread(self._store.delete, name)

    async def _in_thread(self, operation: Callable[..., T], *args: object) -> T:
        """Run a blocking operation in a thread of this store.

        obstore's own coroutines end in threads that outlive the interpreter: one process in ten aborted at its exit
        (obstore 0.12, Python 3.11), none in thirty with its blocking calls.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, operation, *args)

    @asynccontextmanager
    async def _operation(self, operation: Operation, size: int) -> AsyncIterator[None]:
        started, failed = time.perf_counter(), True
        try:
            async with asyncio.timeout(ANSWER_S):
                yield
            failed = False
        except TimeoutError as error:
            raise BlobStoreError(f"the object store did not answer within {ANSWER_S:g} s") from error
        except FileNotFoundError as error:
            if operation == "put":
                raise BlobStoreError(f"the bucket or directory does not exist: {_first_line(error)}") from error
            failed = False
            raise
        except _errors() as error:
            raise BlobStoreError(_first_line(error)) from error
        finally:
            if self._watch is not None:
                self._watch.blob_operation(operation, time.perf_counter() - started, size, failed=failed)


def _open(url: str, options: Mapping[str, str]) -> "ObjectStore":
    try:
        from obstore.store import LocalStore, from_url  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError:
        raise BlobsMisconfigured("[blobs] url needs the library obstore: pip install 'finops-gateway[blobs]'") from None
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise BlobsMisconfigured(f"[blobs] url {url!r}: it begins with {', '.join(f'{name}://' for name in SCHEMES)}")
    faults: tuple[type[Exception], ...] = (*_errors(), ValueError)
    try:
        if parts.scheme == "file":
            return LocalStore(Path(unquote(parts.path)), mkdir=True)
        config: Any = dict(options)
        allow_http = any(value.startswith("http://") for value in options.values())
        return from_url(
            url,
            config=config or None,
            client_options={
                "connect_timeout": f"{CONNECT_S:g}s",
                "timeout": f"{ANSWER_S:g}s",
                **({"allow_http": True} if allow_http else {}),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
        )
    except faults as error:
        raise BlobsMisconfigured(f"[blobs] url {url!r}: {_first_line(error)}") from error


def _errors() -> tuple[type[Exception], ...]:
    """Return what obstore raises."""
    from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra, imported where it is used

    return BaseError, OSError


def _first_line(error: Exception) -> str:
    """Return an error's first line; the others are a debug dump with the request."""
    return str(error).strip().partition("\n")[0][:300]
