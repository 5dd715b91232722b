"""A client of the gateway's public HTTP interface, for the commands that call one."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import click
import httpx

from cli.client.options import is_local
from cli.text import plain

T = TypeVar("T")

# A wait that the gateway holds open must not look like a dead gateway.
SLACK_S = 15.0
LIVE = frozenset({"pending", "processing"})
UUID_LENGTH = 36
SHORTEST_PREFIX = 4
PAGE_SIZE = 100
MOST_PAGES = 20


class GatewayRequestError(click.ClickException):
    """The gateway refused the request or cannot be reached.

    Attributes:
        transient: The same request may succeed later.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class Gateway:
    """A connection pool to one gateway, with credentials.

    Args:
        url: Scheme, host and port, without the path of a surface.
        key: Virtual key or admin key; empty: none.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        if urlsplit(self.url).scheme not in {"http", "https"}:
            raise click.BadParameter(f"{url!r} is not an http or https URL", param_hint="--url")
        headers = {"user-agent": "finops-cli"}
        if key:
            headers |= {"authorization": f"Bearer {key}", "x-bf-vk": key}
        try:
            self._client = httpx.AsyncClient(
                base_url=self.url,
                headers=headers,
                timeout=SLACK_S,
                trust_env=not is_local(self.url),  # no proxy leads to this machine
            )
        except (UnicodeEncodeError, httpx.InvalidURL) as error:
            raise click.BadParameter(
                f"the URL or the key contains characters that cannot be sent: {error}", param_hint="--url/--key"
            ) from None

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def submit(self, path: str, headers: Mapping[str, str], **body: Any) -> dict[str, Any]:  # noqa: ANN401
        """Submit a job and return its envelope; ``body`` is httpx's ``content``, or ``data`` and ``files``."""
        kind = {"content-type": "application/json"} if "content" in body else {}
        return await self._json("POST", f"/v1/async/{path}", headers=kind | dict(headers), **body)

    async def get(self, job_id: str, wait_s: float = 0) -> dict[str, Any]:
        """Fetch a job's envelope; with ``wait_s``, as soon as the job has ended, after that time at the latest."""
        headers = {"x-bf-async-wait": f"{wait_s:g}"} if wait_s else {}
        return await self._json("GET", _job(job_id), headers=headers, timeout=wait_s + SLACK_S)

    async def content(self, job_id: str) -> bytes:
        """Fetch the bytes of a binary result."""
        return (await self._send("GET", _job(job_id) + "/content", timeout=120.0)).content

    async def page(self, path: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Fetch a page of a list."""
        return await self._json("GET", path, params=parameters)

    async def job_id(self, text: str) -> str:
        """Complete the first characters of a job's id.

        Raises:
            GatewayRequestError: Several jobs begin so.
        """
        if not SHORTEST_PREFIX <= len(text) < UUID_LENGTH:
            return text
        found = [job["id"] async for job in self._pages("/v1/async/jobs") if str(job.get("id")).startswith(text)]
        return text if text in found else _only(found, text, "jobs begin with")

    async def key_id(self, text: str) -> str:
        """Find a virtual key's id by its id or name; an active key of that name before others.

        Raises:
            GatewayRequestError: Several keys have that name.
        """
        if text.startswith("vk_"):
            return text
        keys = [key async for key in self._pages("/api/keys")]
        if any(key["id"] == text for key in keys):
            return text
        named = [key for key in keys if key.get("name") == text]
        active = [key for key in named if key.get("status") == "active"]
        return _only([key["id"] for key in active or named], text, "keys are named")

    async def _pages(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the entries of a list, the first pages of it."""
        after: dict[str, str | int] = {}
        for _ in range(MOST_PAGES):
            page = await self.page(path, {"limit": PAGE_SIZE, **after})
            for entry in page.get("data") or ():
                yield entry
            if not page.get("has_more"):
                return
            after = {"after": page["last_id"]}

    async def save(self, path: str, parameters: Mapping[str, str | int], file: IO[bytes]) -> int:
        """Stream a download into a file and return its size in bytes.

        Raises:
            GatewayRequestError: The download failed or is incomplete.
        """
        size = 0
        try:
            async with self._client.stream("GET", path, params=parameters, timeout=120.0) as reply:
                if reply.is_error:
                    await reply.aread()
                    raise _response_error(reply)
                async for chunk in reply.aiter_bytes():
                    size += await asyncio.to_thread(file.write, chunk)
        except httpx.TransportError as error:
            raise self._connection_error(error) from None
        return size

    async def act(self, job_id: str, action: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Cancel or retry a job, with what is to change, and return its new envelope."""
        body = {} if changes is None else {"json": dict(changes)}
        return await self._json("POST", f"{_job(job_id)}/{action}", **body)

    async def administer(self, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        """Call the administration API and return its document; ``request`` takes httpx's arguments."""
        return await self._json(method, f"/api/{path}", **request)

    async def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        """Call any path and return its document; ``request`` takes httpx's arguments."""
        return await self._json(method, path, **request)

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Call a path that answers server-sent events, and iterate over their JSON data.

        Raises:
            GatewayRequestError: The call was refused, or the stream broke or held an error.
        """
        async for event in self._events("POST", path, json=body):
            if event.get("error"):
                error = event["error"]
                raise GatewayRequestError(plain(error.get("message") if isinstance(error, dict) else error))
            yield event

    def job_events(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the data of a job's events, from its first one until it has ended.

        Raises:
            GatewayRequestError: There is no such job, or the stream broke.
        """
        return self._events("GET", f"/v1/async/jobs/{quote(job_id, safe='')}/events")

    async def _events(self, method: str, path: str, **request: Any) -> AsyncIterator[dict[str, Any]]:  # noqa: ANN401
        try:
            async with self._client.stream(method, path, timeout=600.0, **request) as reply:
                if reply.is_error:
                    await reply.aread()
                    raise _response_error(reply)
                async for line in reply.aiter_lines():
                    data = line.removeprefix("data:").strip()
                    if line.startswith("data:") and data != "[DONE]":
                        yield _event(data)
        except httpx.TransportError as error:
            raise self._connection_error(error) from None

    async def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        return _document(await self._send(method, path, **request))

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        try:
            reply = await self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._connection_error(error) from None
        if reply.is_error:
            raise _response_error(reply)
        return reply

    def _connection_error(self, error: httpx.TransportError) -> GatewayRequestError:
        if isinstance(error, httpx.TimeoutException):
            return GatewayRequestError(f"the gateway at {self.url} did not answer in time", transient=True)
        if isinstance(error, httpx.RemoteProtocolError):
            return GatewayRequestError(
                f"the gateway at {self.url} closed the connection before its answer was complete ({error})",
                transient=True,
            )
        return GatewayRequestError(
            f"cannot reach the gateway at {self.url} ({error}); start one with `finops serve`, or pass another "
            "address with --url",
            transient=True,
        )


def _response_error(reply: httpx.Response) -> GatewayRequestError:
    return GatewayRequestError(_error_message(reply), transient=reply.status_code in {429, 502, 503, 504})


def call_gateway(url: str, key: str, call: Callable[[Gateway], Awaitable[T]]) -> T:
    """Run calls to a gateway in an event loop of their own, and return their result."""

    async def connect_and_call() -> T:
        async with Gateway(url, key) as gateway:
            return await call(gateway)

    return asyncio.run(connect_and_call())


def _job(job_id: str) -> str:
    return f"/v1/async/jobs/{quote(job_id, safe='')}"


def _only(ids: Sequence[str], text: str, several: str) -> str:
    """Return the one id found; the text itself if there is none, so that the gateway refuses it.

    Raises:
        GatewayRequestError: There are several.
    """
    if len(ids) > 1:
        raise GatewayRequestError(f"{len(ids)} {several} {text!r}: {', '.join(ids[:5])}; pass a complete id")
    return ids[0] if ids else text


def _event(data: str) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise GatewayRequestError("the stream held something that is not a JSON object")
    return event


def _document(reply: httpx.Response) -> dict[str, Any]:
    try:
        document = reply.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        document = None
    if not isinstance(document, dict):
        raise GatewayRequestError(f"{reply.url} did not answer with a JSON object; is it a FinOps gateway?")
    return document


def _error_message(reply: httpx.Response) -> str:
    """Return the gateway's own error message, or a description of the reply if it has none."""
    try:
        error = reply.json()["error"]
        message = f"{error['message']}"
        code = error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{reply.url} answered {reply.status_code}; is it a FinOps gateway?"
    return plain(f"{message} ({reply.status_code}{f' {code}' if code else ''})" + _key_hint(reply))


def _key_hint(reply: httpx.Response) -> str:
    """Return what to do about a refused key; empty for other errors."""
    if reply.status_code != 401:
        return ""
    fault = "The key that was sent is not accepted" if "authorization" in reply.request.headers else "No key was sent"
    return (
        f"\n{fault}: pass --key or set FINOPS_KEY. For a `finops serve` on this machine, FINOPS_ADMIN_KEY or "
        "--data-dir (its data directory) gives the admin key."
    )
