"""A provider, a request, and a network that is a list of answers."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from shared.providers.base import Provider, ProviderKey
from shared.providers.wires.base import UpstreamRequest

KEY = ProviderKey(name="k", value="sk-secret")
REQUEST = UpstreamRequest(path="/model/m%3A0/converse", body=b"{}")


def provider_of(host: str, **more: Any) -> Provider:
    return Provider(**{"name": host, "wire": host, "host": host, "base_url": "", **more})


class Network:
    """A ``Fetch`` that gives the prepared answers in turn, the last one for ever."""

    def __init__(self, *answers: tuple[int, Any] | Exception) -> None:
        self.answers = list(answers)
        self.urls: list[str] = []
        self.forms: list[dict[str, str]] = []

    async def __call__(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        assert headers == {"content-type": "application/x-www-form-urlencoded"}
        self.urls.append(url)
        self.forms.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return status, body if isinstance(body, bytes) else orjson.dumps(body)


def token(value: str = "tok", **more: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"access_token": value, "expires_in": 3600, "token_type": "Bearer", **more}
