"""The gateway as its users see it: plain HTTP jobs, for the commands that talk to one."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import click
import httpx

from cli import options
from cli.client.admin_key import read_admin_key
from cli.views.output import plain

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8080"
# A wait that the gateway holds open must not look like a dead gateway.
SLACK_S = 15.0
LIVE = frozenset({"pending", "processing"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class GatewayRequestError(click.ClickException):
    """The gateway refused, or cannot be reached; ``passing``: the same may succeed in a while."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class Gateway:
    """One gateway, with the credentials that were given.

    Args:
        url: Where it is, without the path of a surface.
        key: Virtual key or admin key; empty: none.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        if urlsplit(self.url).scheme not in {"http", "https"}:
            raise click.BadParameter(f"{url!r} is no http(s) URL", param_hint="--url")
        headers = {"user-agent": "finops-cli"}
        if key:
            headers |= {"authorization": f"Bearer {key}", "x-bf-vk": key}
        try:
            self._client = httpx.AsyncClient(
                base_url=self.url,
                headers=headers,
                timeout=SLACK_S,
                trust_env=not _is_here(self.url),  # a proxy in the environment does not lead to this machine
            )
        except (UnicodeEncodeError, httpx.InvalidURL) as error:
            raise click.BadParameter(f"URL or key cannot be sent: {error}", param_hint="--url/--key") from None

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def submit(self, path: str, headers: Mapping[str, str], **body: Any) -> dict[str, Any]:  # noqa: ANN401
        """Make a job; ``body`` is httpx's ``content``, or ``data`` and ``files``. Its envelope."""
        kind = {"content-type": "application/json"} if "content" in body else {}
        return await self._json("POST", f"/v1/async/{path}", headers=kind | dict(headers), **body)

    async def get(self, job_id: str, wait_s: float = 0) -> dict[str, Any]:
        """A job's envelope; with ``wait_s`` only when it has ended or that time is over."""
        headers = {"x-bf-async-wait": f"{wait_s:g}"} if wait_s else {}
        return await self._json("GET", _job(job_id), headers=headers, timeout=wait_s + SLACK_S)

    async def content(self, job_id: str) -> bytes:
        """The bytes of a binary result."""
        return (await self._send("GET", _job(job_id) + "/content", timeout=120.0)).content

    async def page(self, path: str, parameters: Mapping[str, str | int]) -> dict[str, Any]:
        """A page of a list."""
        return await self._json("GET", path, params=parameters)

    async def save(self, path: str, parameters: Mapping[str, str | int], file: IO[bytes]) -> int:
        """Write a file as it comes; how many bytes it had.

        Raises:
            GatewayFault: It did not come, or not whole.
        """
        size = 0
        try:
            async with self._client.stream("GET", path, params=parameters, timeout=120.0) as reply:
                if reply.is_error:
                    await reply.aread()
                    raise _fault_of(reply)
                async for piece in reply.aiter_bytes():
                    size += await asyncio.to_thread(file.write, piece)
        except httpx.TransportError as error:
            raise self._unreached(error) from None
        return size

    async def act(self, job_id: str, action: str) -> dict[str, Any]:
        """Cancel or retry a job; its envelope afterwards."""
        return await self._json("POST", f"{_job(job_id)}/{action}")

    async def administer(self, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        """What administration answers; ``request`` is httpx's."""
        return await self._json(method, f"/api/{path}", **request)

    async def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        return _document(await self._send(method, path, **request))

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        try:
            reply = await self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._unreached(error) from None
        if reply.is_error:
            raise _fault_of(reply)
        return reply

    def _unreached(self, error: httpx.TransportError) -> GatewayRequestError:
        if isinstance(error, httpx.TimeoutException):
            return GatewayRequestError(f"the gateway at {self.url} does not answer in time", passing=True)
        if isinstance(error, httpx.RemoteProtocolError):
            return GatewayRequestError(f"the gateway at {self.url} broke off its answer ({error})", passing=True)
        return GatewayRequestError(
            f"the gateway at {self.url} cannot be reached ({error}); start one with `finops serve`, or name "
            "another with --url",
            passing=True,
        )


def _fault_of(reply: httpx.Response) -> GatewayRequestError:
    return GatewayRequestError(_refusal(reply), passing=reply.status_code in {429, 502, 503, 504})


def gateway_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which gateway, with which key, and how its answer is shown."""
    for option in (
        options.data_dir_option,
        click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output."),
        click.option("--key", envvar="FINOPS_KEY", help="Virtual key or admin key (FINOPS_KEY)."),
        click.option("--url", envvar="FINOPS_URL", default=DEFAULT_URL, show_default=True, help="The gateway."),
    ):
        command = option(command)
    return command


def speak(url: str, key: str, talk: Callable[[Gateway], Awaitable[T]]) -> T:
    """Talk to the gateway, in an event loop of its own."""

    async def whole() -> T:
        async with Gateway(url, key) as gateway:
            return await talk(gateway)

    return asyncio.run(whole())


def _job(job_id: str) -> str:
    return f"/v1/async/jobs/{quote(job_id, safe='')}"


def credentials(url: str, key: str | None, data_dir: Path) -> str:
    """The key to use: the given one, else, for a gateway on this machine only, the admin key of the data directory."""
    if key:
        return key
    return (read_admin_key(data_dir) or "") if _is_here(url) else ""


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK


def _document(reply: httpx.Response) -> dict[str, Any]:
    try:
        document = reply.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        document = None
    if not isinstance(document, dict):
        raise GatewayRequestError(f"{reply.url} answered no JSON object: is a FinOps gateway there?")
    return document


def _refusal(reply: httpx.Response) -> str:
    """The gateway's own words, or what little there is."""
    try:
        error = reply.json()["error"]
        said = f"{error['message']}"
        code = error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{reply.url} answered {reply.status_code}: is a FinOps gateway there?"
    return plain(f"{said} ({reply.status_code}{f' {code}' if code else ''})")
