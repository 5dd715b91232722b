"""The object store's client, on a directory and on S3."""

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.blobs import blob_store
from shared.blobs.blob_store import BlobsMisconfigured, BlobStore, BlobStoreError
from tests.blobs.conftest import BUCKET, CREDENTIALS, Place, Watched


async def test_an_object_is_written_read_and_deleted(place: Place) -> None:
    watch = Watched()
    blobs = place.open(watch)
    await blobs.put("jobs/1/a", b"x" * 100_000)
    await blobs.put("jobs/1/a", b"y" * 100_000)
    assert place.names() == {"jobs/1/a"}
    assert await blobs.get("jobs/1/a") == b"y" * 100_000
    assert await blobs.get("jobs/1/b") is None
    await blobs.delete(["jobs/1/b", "jobs/1/a"])
    assert place.names() == set()
    assert [entry[0] for entry in watch.operations] == ["put", "put", "get", "get", "delete", "delete"]
    assert watch.operations[0] == ("put", 100_000, False)
    assert not any(failed for _, _, failed in watch.operations)


async def test_a_missing_bucket_is_an_error_of_the_store(s3_endpoint: str) -> None:
    watch = Watched()
    blobs = BlobStore("s3://no-such-bucket/x", {"aws_endpoint": s3_endpoint, **CREDENTIALS}, watch)
    with pytest.raises(BlobStoreError, match="does not exist"):
        await blobs.put("a", b"1")
    assert watch.operations == [("put", 1, True)]


async def test_a_server_that_refuses_connections_is_an_error_of_the_store() -> None:
    blobs = BlobStore(f"s3://{BUCKET}", {"aws_endpoint": "http://127.0.0.1:9", **CREDENTIALS})
    for operation in (blobs.put("a", b"1"), blobs.get("a"), blobs.delete(["a"])):
        with pytest.raises(BlobStoreError) as caught:
            await operation
        assert CREDENTIALS["aws_secret_access_key"] not in str(caught.value).replace("127.0.0.1", "")
        assert "\n" not in str(caught.value)


async def test_a_silent_server_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_store, "ANSWER_S", 0.0)
    with pytest.raises(BlobStoreError, match="did not answer within"):
        await place.open().put("a", b"1")


async def test_an_error_of_ours_is_not_taken_for_one_of_the_store(place: Place) -> None:
    with pytest.raises(TypeError):
        await place.open().put("a", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "options", "reason"),
    [
        ("ftp://host/x", {}, "begins with s3://, gs://, az://, file://"),
        ("s3://bucket", {"no_such_option": "x"}, "no_such_option"),
        ("file:///dev/null/x", {}, "file:///dev/null/x"),
    ],
)
def test_an_invalid_configuration_says_what_is_wrong(url: str, options: dict[str, str], reason: str) -> None:
    with pytest.raises(BlobsMisconfigured) as caught:
        BlobStore(url, options)
    assert reason in str(caught.value)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without_obstore(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("obstore"):
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.delitem(sys.modules, "obstore.store", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_obstore)
    with pytest.raises(BlobsMisconfigured, match=r"finops-gateway\[blobs\]"):
        BlobStore(f"file://{tmp_path}")
