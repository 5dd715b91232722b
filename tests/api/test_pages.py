"""The pages for people: the front page, and the API's documentation without the internet."""

import hashlib
import re
from typing import Any

import pytest
from starlette.responses import Response

from api.openapi import examples
from api.pages import docs
from tests.api.conftest import Gateway
from tests.document import openapi


async def test_the_front_page_names_everything_for_programs(gateway: Gateway) -> None:
    answer = await gateway.http.get("/")
    assert answer.headers["content-type"].startswith("application/json")
    found = answer.json()
    assert found["name"] == "FinOps gateway"
    for name in ("docs", "openapi", "ready", "live", "metrics"):
        assert (await gateway.http.get(found[name])).status_code == 200, name
    assert found["surfaces"] == {"openai": "/openai", "anthropic": "/anthropic", "genai": "/genai"}


async def test_the_front_page_is_a_page_for_browsers(gateway: Gateway) -> None:
    answer = await gateway.http.get("/", headers={"accept": "text/html,*/*;q=0.8"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert f"{gateway.url}/openai" in answer.text
    for link in re.findall(r'(?:href|src)="([^"]+)"', answer.text):
        assert (await gateway.http.get(f"/{link}")).status_code == 200, link


async def test_the_console_is_linked_once_it_is_served(start: Any) -> None:
    gateway: Gateway = await start()
    before = (await gateway.http.get("/")).json()
    gateway.app.framework().add_route("/ui/", lambda request: Response("console"))
    assert (await gateway.http.get("/")).json()["console"] == "/ui"
    assert before.get("console") in {None, "/ui"}


async def test_the_documentation_loads_nothing_from_elsewhere(gateway: Gateway) -> None:
    page = await gateway.http.get("/docs")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    files = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert len(files) >= 5
    for file in files:
        assert "//" not in file
        assert (await gateway.http.get(f"/{file}")).status_code == 200, file
    assert (await gateway.http.get("/docs/swagger-ui.css")).headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("name", ["nothing.js", "docs.html", "..%2F..%2Fapp.py", "swagger_ui%2FLICENSE"])
async def test_only_the_pages_files_are_served(gateway: Gateway, name: str) -> None:
    assert (await gateway.http.get(f"/docs/{name}")).status_code == 404


def test_the_vendored_files_are_those_of_the_release() -> None:
    folder = docs.FOLDER / "swagger_ui"
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sums} == sums
    assert {path.name for path in folder.iterdir()} == {*sums, "SHA256SUMS", "README.md"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi()


def test_operations_are_grouped_by_surface(document: dict[str, Any]) -> None:
    names = [tag["name"] for tag in document["tags"]]
    assert names[: len(examples.TAGS)] == list(examples.TAGS)
    used = {tag for path in document["paths"].values() for operation in path.values() for tag in operation["tags"]}
    assert used == set(names)
    assert examples.tags({"jobs", "novel"}) == [
        {"name": "jobs", "description": examples.TAGS["jobs"]},
        {"name": "novel"},
    ]


def test_a_virtual_key_authorizes_inference_and_the_admin_key_administration(document: dict[str, Any]) -> None:
    assert document["paths"]["/v1/chat/completions"]["post"]["security"] == [{"VirtualKey": []}, {}]
    assert document["paths"]["/api/keys"]["post"]["security"] == [{"AdminKey": []}]
    assert "security" not in document["paths"]["/metrics"]["get"]


OPERATING = ("/v1/async/", "/api/jobs", "/api/queue", "/api/operations", "/api/schedules", "/api/webhooks/deliveries")


def test_every_answer_about_jobs_and_the_queue_has_an_example(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    def has_example(part: dict[str, Any]) -> bool:
        if "$ref" in part:
            return has_example(schemas[part["$ref"].rpartition("/")[2]])
        inner = (part.get("schema"), part.get("items"), part.get("properties", {}).get("data"))
        return "example" in part or "examples" in part or any(has_example(each) for each in inner if each)

    without = [
        f"{method} {path} {status}"
        for path, operations in document["paths"].items()
        if path.startswith(OPERATING) and not path.endswith("/content")
        for method, operation in operations.items()
        for status, answer in operation["responses"].items()
        if status.startswith("2") and not has_example(answer.get("content", {}).get("application/json", {"example": 0}))
    ]
    assert without == []
