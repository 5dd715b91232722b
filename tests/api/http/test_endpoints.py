"""Authentication by construction: every plain ASGI endpoint is an ``AsgiEndpoint``, which cannot skip it."""

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from api.app import create_app
from api.endpoints.base import AsgiEndpoint
from api.hot_routes import hot_endpoints
from shared.settings.model import Settings
from tests.api.conftest import KEY_A, Gateway


def _subclasses(base: type[AsgiEndpoint]) -> set[type[AsgiEndpoint]]:
    return {base}.union(*(_subclasses(each) for each in base.__subclasses__()))


def test_every_plain_endpoint_authenticates_its_caller() -> None:
    app = create_app(Settings())
    framework = {"openapi"}
    plain = [
        route.endpoint
        for route in app.framework().routes
        if isinstance(route, Route) and not isinstance(route, APIRoute) and route.name not in framework
    ]
    assert len(plain) > 50
    assert all(isinstance(endpoint, AsgiEndpoint) for endpoint in (*plain, *hot_endpoints().values()))


def test_no_endpoint_replaces_the_authenticating_call() -> None:
    create_app(Settings()).framework()
    classes = _subclasses(AsgiEndpoint)
    assert len(classes) > 12
    assert [each for each in classes if "__call__" in vars(each)] == [AsgiEndpoint]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/async/chat/completions"),
        ("GET", "/v1/async/chat/completions/some-id"),
        ("GET", "/v1/responses/resp_of_a_provider"),
        ("GET", "/v1/files"),
        ("POST", "/v1/files"),
        ("GET", "/v1/files/file-of-a-provider"),
        ("GET", "/v1/batches"),
        ("POST", "/v1/batches"),
        ("POST", "/v1/batches/batch_of_a_provider/cancel"),
        ("GET", "/v1/assistants"),
        ("POST", "/openai/deployments/sim/gpt-4o/chat/completions"),
        ("POST", "/anthropic/v1/messages"),
        ("POST", "/anthropic/v1/messages/count_tokens"),
        ("POST", "/genai/v1beta/models/gemini-2.5-flash:generateContent"),
    ],
)
async def test_an_endpoint_without_a_key_is_a_401_where_keys_are_required(start, method: str, path: str) -> None:
    gateway: Gateway = await start(
        virtual_keys={"team-a": {"value": KEY_A}}, auth={"admin_key": "x" * 24, "require_virtual_key": True}
    )
    answer = await gateway.http.request(method, path, content=b"{}")
    assert answer.status_code == 401
