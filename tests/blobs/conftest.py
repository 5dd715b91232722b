"""An S3 server on the loopback address, and the two kinds of object store that the tests run on."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from shared.blobs.blob_store import BlobStore

BUCKET = "bodies"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "aws_region": "us-east-1"}


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A server that speaks S3, with a bucket; one per pytest worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_ALLOW_NONEXISTENT_REGION", "true")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket=BUCKET)
        yield endpoint
        server.stop()


@dataclass
class Watched:
    """Records the operations of an object store."""

    operations: list[tuple[str, int, bool]] = field(default_factory=list)

    def blob_operation(self, operation: str, seconds: float, size: int, *, failed: bool) -> None:
        self.operations.append((operation, size, failed))


@dataclass
class Place:
    """An object store, and what is in it."""

    url: str
    options: dict[str, str]
    names: Callable[[], set[str]]

    def open(self, watch: Watched | None = None) -> BlobStore:
        return BlobStore(self.url, self.options, watch)


def directory(path: Path) -> Place:
    def names() -> set[str]:
        return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}

    return Place(f"file://{path}", {}, names)


def s3(endpoint: str, prefix: str) -> Place:
    client = boto3.client("s3", endpoint_url=endpoint, **_boto(CREDENTIALS))

    def names() -> set[str]:
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
        return {entry["Key"].removeprefix(f"{prefix}/") for entry in found}

    return Place(f"s3://{BUCKET}/{prefix}", {"aws_endpoint": endpoint, **CREDENTIALS}, names)


def _boto(credentials: dict[str, str]) -> dict[str, str]:
    return {name.replace("aws_region", "region_name"): value for name, value in credentials.items()}


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty object store of each kind."""
    if request.param == "file":
        return directory(tmp_path / "bodies")
    return s3(request.getfixturevalue("s3_endpoint"), os.urandom(6).hex())
