"""Sends one event to one URL: bounded in time, in what is read of the answer, and in where it may connect."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import httpx

from shared.webhooks.model import ANSWER_BYTES
from worker.public_address import MAX_ADDRESSES, resolve, resolve_public

ANSWER_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_S = 3.0
# A look-up may outlive its attempt: the system's resolver gives up only after 10 to 30 s, and cannot be cancelled.
RESOLVER_THREADS_PER_ATTEMPT = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """An endpoint's answer: its status, and the beginning of its body."""

    status: int
    answer: str


class EventSender:
    """Posts events. Each has a connection of its own: pooled ones are shared by all hosts behind an address.

    Args:
        concurrency: Events that are sent at once.
        timeout_s: For all of an attempt.
    """

    def __init__(self, *, concurrency: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(concurrency * RESOLVER_THREADS_PER_ATTEMPT, "finops-resolve")
        self._client: httpx.AsyncClient | None = None

    async def send(self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> Answered:
        """Post an event.

        Args:
            private: The URL may lead to an address that is not public.

        Raises:
            TimeoutError: The attempt took too long.
            PrivateAddress: The host has an address that is not public.
            httpx.HTTPError: No answer.
            OSError: The host does not resolve, or cannot be reached.
            ValueError: The URL is not valid.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(self._timeout_s):
            look_up = resolve if private else resolve_public
            addresses = (await look_up(parts.hostname or "", port, self._threads))[:MAX_ADDRESSES]
            return await self._first_of(addresses, parts, port, body, headers)

    async def _first_of(
        self, addresses: Sequence[str], parts: SplitResult, port: int, body: bytes, headers: Mapping[str, str]
    ) -> Answered:
        for address in addresses[:-1]:
            try:
                return await self._post(address, parts, port, body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # nothing was sent
        return await self._post(addresses[-1], parts, port, body, headers)

    async def _post(
        self, address: str, parts: SplitResult, port: int, body: bytes, headers: Mapping[str, str]
    ) -> Answered:
        netloc = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        url = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
        host = parts.netloc.rpartition("@")[2]
        auth = httpx.BasicAuth(unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        request = self._http().build_request(
            "POST",
            url,
            content=body,
            headers={**headers, "host": host, "accept-encoding": "identity"},
            extensions={"sni_hostname": parts.hostname},
        )
        response = await self._http().send(request, auth=auth, stream=True)
        try:
            return Answered(response.status_code, await _beginning_of(response))
        finally:
            await response.aclose()

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
                follow_redirects=False,
                trust_env=False,
            )
        return self._client

    async def aclose(self) -> None:
        """Close the connections; look-ups that still run end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await self._client.aclose()


async def _beginning_of(response: httpx.Response) -> str:
    """Read the answer's first kilobyte, undecoded; an answer that is slow or breaks off is as long as it is."""
    content = bytearray()
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) >= ANSWER_BYTES:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass
    return bytes(content[:ANSWER_BYTES]).decode(errors="replace")
