"""What `finops doctor` says of the object store."""

from pathlib import Path
from typing import Any

import pytest

from shared.checks.blobs import check_blobs
from shared.settings.model import Settings
from tests.blobs.conftest import directory


async def found(**blobs: Any) -> list[tuple[str, str]]:
    settings = Settings.model_validate({"blobs": blobs})
    return [(finding.level, finding.message) for finding in await check_blobs(settings)]


async def test_without_an_object_store_nothing_is_said() -> None:
    assert await found() == []


async def test_a_directory_that_takes_bodies_is_fine(tmp_path: Path) -> None:
    assert await found(url=f"file://{tmp_path}") == [("OK", f"file://{tmp_path} takes bodies above 64 KiB")]
    assert directory(tmp_path).names() == set()


async def test_a_server_that_does_not_answer_fails() -> None:
    options = {"aws_endpoint": "http://127.0.0.1:9", "aws_access_key_id": "a", "aws_secret_access_key": "top-secret"}
    ((level, message),) = await found(url="s3://bucket", options=options)
    assert level == "FAIL"
    assert "top-secret" not in message


async def test_an_invalid_option_fails() -> None:
    ((level, message),) = await found(url="s3://bucket", options={"no_such_option": "x"})
    assert (level, "no_such_option" in message) == ("FAIL", True)


async def test_a_store_that_gives_back_something_else_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def other(*args: object) -> bytes:
        return b"other"

    monkeypatch.setattr("shared.blobs.blob_store.BlobStore.get", other)
    ((level, _),) = await found(url=f"file://{tmp_path}")
    assert level == "FAIL"
