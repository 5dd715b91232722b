"""Send one upstream request: the host resolves the URL, the transport sends, failures become our errors."""

import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from math import inf
from types import TracebackType
from typing import Any, Final, Protocol, Self

import httpx

from shared.errors import AnswerTooLarge, UpstreamFailure, UpstreamRefused
from shared.providers.answer_memory import UNCOUNTED_BYTES, AnswerMemory, AnswerOverLimit
from shared.providers.base import Provider, ProviderKey
from shared.providers.failures import compressed, failure, overloaded, unusable
from shared.providers.health.gate import Gate
from shared.providers.hosts.base import Destination, Host
from shared.providers.resilience import retry_after_s
from shared.providers.scrub import Scrubber
from shared.providers.transport import (
    BodyTooLarge,
    MalformedRequest,
    Origin,
    RawResponse,
    Timeouts,
    encode_headers,
)
from shared.providers.wires.base import UpstreamRequest, Wire
from shared.surfaces.large_json import join_in_pieces

MAX_ERROR_BYTES: Final = 1024 * 1024
GATE_WAIT_S: Final = 10.0

# Response headers of a provider that are passed on to the caller.
PASSED_HEADERS: Final = frozenset(
    {"openai-organization", "openai-processing-ms", "openai-version", "openai-poll-after-ms"}
)
PASSED_PREFIXES: Final = ("x-ratelimit-",)
_UNCOMPRESSED: Final = (None, b"identity")


HeaderPairs = tuple[tuple[str, str], ...]


class Sender(Protocol):
    """The transport's interface: carries bytes to a provider and back."""

    async def send(
        self,
        origin: Origin,
        method: str,
        target: bytes,
        headers: bytes | Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        timeouts: Timeouts,
    ) -> RawResponse:
        """Send one request; return when the response's head is there."""
        ...


class UpstreamResponse:
    """One answered upstream request with a 2xx status; close it, whatever happens.

    Iterating gives the body as it comes; failures on the way are ours, not httpx's.
    """

    def __init__(
        self, response: RawResponse, provider: Provider, gate: Gate, memory: AnswerMemory, scrubber: Scrubber
    ) -> None:
        self._response = response
        self._provider = provider
        self._gate = gate
        self._memory = memory
        self._scrubber = scrubber
        self._open = True
        self.status = response.status
        self.content_type = (response.header(b"content-type") or b"application/octet-stream").decode("latin-1")

    @property
    def headers(self) -> Mapping[str, str]:
        """The provider's headers that are passed on to the caller."""
        return passed_headers(self._response)

    async def read(self) -> bytes:
        """The whole body, without secrets where it reports an error.

        Raises:
            UpstreamFailure: It was cut, stalled or too long.
            Overloaded: The process is reading too many large answers.
        """
        most = self._memory.max_answer_bytes
        try:
            if self._response.complete or _declared_bytes(self._response) <= min(UNCOUNTED_BYTES, most):
                return self._scrubber.answer(await self._response.read(most))
            return self._scrubber.answer(await self._read_counted())
        except (AnswerOverLimit, BodyTooLarge) as error:
            raise AnswerTooLarge(
                f"The provider {self._provider.name!r} sent an answer of more than {most / 1024 / 1024:g} MB, "
                "the limit of this gateway (server.max_answer_mb)."
            ) from error
        except httpx.HTTPError as error:
            raise failure(error, self._provider) from error

    async def _read_counted(self) -> bytes:
        pieces: list[bytes] = []
        with self._memory.answer() as held:
            async for piece in self._response.chunks():
                held.add(len(piece))
                pieces.append(piece)
            return join_in_pieces(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        try:
            async for chunk in self._response.chunks():
                yield chunk
        except httpx.HTTPError as error:
            raise failure(error, self._provider) from error

    async def more(self) -> bytes:
        """The next piece of the body, empty at its end; after a cancellation it can be read on.

        Raises:
            UpstreamFailure: It was cut or stalled.
        """
        try:
            return await self._response.more()
        except httpx.HTTPError as error:
            raise failure(error, self._provider) from error

    def begun(self) -> None:
        """Note the first token: from now on silence is a stall."""
        limits = self._provider.timeouts
        if limits.first_token_s > limits.stream_idle_s:
            self._response.limit_silence(limits.stream_idle_s)

    def close(self) -> None:
        """Return the connection to the pool, or close it if the body was not read to its end."""
        if self._open:
            self._open = False
            self._gate.leave()
            self._response.close()

    async def aclose(self) -> None:
        """As ``close``."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class ProviderClient:
    """Calls providers; holds their connections and their concurrency limits.

    Args:
        sender: Sends requests.
        hosts: By name.
        wires: By name.
        gates: The concurrency limits of providers; missing ones are made.
        secrets: Removed from the providers' error messages.
        memory: Bounds the answers that are being read.
        own_senders: In place of ``sender``, by the names of providers with a proxy or certificates of their own.
    """

    def __init__(
        self,
        sender: Sender,
        hosts: Mapping[str, Host],
        wires: Mapping[str, Wire],
        gates: Mapping[str, Gate] | None = None,
        *,
        secrets: Iterable[str] = (),
        memory: AnswerMemory | None = None,
        own_senders: Mapping[str, Sender] | None = None,
    ) -> None:
        self._sender = sender
        self._own_senders = dict(own_senders or {})
        self._hosts = hosts
        self._wires = wires
        self._gates: dict[str, Gate] = dict(gates or {})
        self._memory = memory or AnswerMemory()
        self.scrubber = Scrubber(secrets)

    def wire(self, provider: Provider) -> Wire:
        """The format that the provider speaks."""
        return self._wires[provider.wire]

    async def open(
        self,
        provider: Provider,
        key: ProviderKey | None,
        model: str,
        request: UpstreamRequest,
        *,
        headers: Mapping[str, str],
        total_s: float,
        stream: bool = False,
        wait_s: float | None = None,
    ) -> UpstreamResponse:
        """Send one request and wait for a 2xx head.

        Args:
            headers: The caller's, passed on; the host's and the wire's override them.
            total_s: Bound on the whole attempt, body included.
            stream: The first byte comes with the first token; otherwise it comes when the whole answer is ready.
            wait_s: Longest wait for a slot among the provider's concurrent calls, if less than ``GATE_WAIT_S``.

        Raises:
            UpstreamRefused: Any other status, with the provider's error.
            UpstreamFailure: No usable answer, a redirect, or a compressed one; UpstreamTimeout where it was silence.
            Overloaded: The provider's concurrency limit is reached.
        """
        gate = self._gate(provider)
        if not gate.enter_at_once():
            await gate.enter(wait_s)
        try:
            destination = await self._hosts[provider.host].destination(provider, key, model, request)
            limits = provider.timeouts
            timeouts = _timeouts(limits.connect_s, limits.first_token_s, limits.stream_idle_s, total_s, stream=stream)
            try:
                response = await self._send(provider, destination, request, passed=headers, timeouts=timeouts)
            except (httpx.HTTPError, MalformedRequest) as error:
                raise failure(error, provider) from error
            if not 200 <= response.status < 300:
                raise await self._refusal(provider, destination, response)
            if response.header(b"content-encoding") not in _UNCOMPRESSED:
                await response.aclose()
                raise compressed(provider)
            return UpstreamResponse(response, provider, gate, self._memory, self.scrubber)
        except BaseException:
            gate.leave()
            raise

    def _send(
        self,
        provider: Provider,
        destination: Destination,
        request: UpstreamRequest,
        *,
        passed: Mapping[str, str],
        timeouts: Timeouts,
    ) -> Coroutine[Any, Any, RawResponse]:
        ours = (
            destination.origin,
            destination.headers,
            request.content_type,
            tuple(request.headers.items()),
            tuple(provider.headers.items()),
        )
        # What callers send is never cached: their bytes would stay in memory.
        head = _header_pairs(*ours, passed=passed) if passed else _head(*ours)
        sender = self._own_senders.get(provider.name, self._sender)
        return sender.send(
            destination.origin, request.method, destination.target, head, request.body, timeouts=timeouts
        )

    async def _refusal(self, provider: Provider, destination: Destination, response: RawResponse) -> UpstreamFailure:
        if not 400 <= response.status < 600:
            await response.aclose()
            return unusable(provider, response.status)
        try:
            body = await response.read(MAX_ERROR_BYTES)
            if response.header(b"content-encoding") not in _UNCOMPRESSED:
                body = b""
        except httpx.HTTPError:
            body = b""  # the status says enough
        finally:
            await response.aclose()
        status, error = self._wires[provider.wire].error(response.status, body)
        credentials = [part for _, value in destination.headers for part in (value, value.partition(" ")[2])]
        error = self.scrubber.error(error, credentials)
        detail = {"message": f"The provider {provider.name} answered {response.status}.", **_without_empty(error)}
        wait_s = retry_after_s(response.header(b"retry-after-ms"), response.header(b"retry-after"), time.time())
        if wait_s is None and isinstance(error.get("retry_after_s"), float):
            wait_s = error["retry_after_s"]  # stated in the body, as Google does
        return UpstreamRefused(
            status,
            detail,
            provider=provider.name,
            retry_after_s=wait_s,
            headers=self.scrubber.headers(passed_headers(response), credentials),
        )

    def _gate(self, provider: Provider) -> Gate:
        gate = self._gates.get(provider.name)
        if gate is None:
            gate = self._gates[provider.name] = gate_of(provider)
        return gate


def gate_of(provider: Provider) -> Gate:
    """The concurrency limit of a provider."""
    return Gate(provider.concurrency, GATE_WAIT_S, partial(overloaded, provider))


@lru_cache(maxsize=1024)
def _head(origin: Origin, host: HeaderPairs, content_type: str, wire: HeaderPairs, provider: HeaderPairs) -> bytes:
    """The header block of a request; the same for most requests of a provider, so it is made once.

    Raises:
        MalformedRequest: A name or value cannot be sent.
    """
    return encode_headers(_header_pairs(origin, host, content_type, wire, provider, passed={}))


def _header_pairs(
    origin: Origin,
    host: HeaderPairs,
    content_type: str,
    wire: HeaderPairs,
    provider: HeaderPairs,
    *,
    passed: Mapping[str, str],
) -> list[tuple[bytes, bytes]]:
    """The headers of a request: the host's override the wire's, those the configured ones, those the caller's."""
    headers = {
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "finops-gateway",
        **passed,
        **dict(provider),
        **dict(wire),
        **dict(host),
        "host": origin.authority.decode("ascii"),
    }
    if content_type:
        headers["content-type"] = content_type
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


@lru_cache(maxsize=4096)
def _timeouts(
    connect_s: float, first_token_s: float, stream_idle_s: float, total_s: float, *, stream: bool
) -> Timeouts:
    return Timeouts(
        connect_s=connect_s,
        first_byte_s=min(first_token_s, total_s) if stream else total_s,
        # A provider may send its head at once and think then: until the first token, its own limit counts.
        idle_s=max(first_token_s, stream_idle_s) if stream else stream_idle_s,
        total_s=total_s,
    )


def _declared_bytes(response: RawResponse) -> float:
    declared = response.header(b"content-length")
    return int(declared) if declared is not None and declared.isdigit() else inf


def _without_empty(error: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in error.items() if value is not None and value != ""}


def passed_headers(response: RawResponse) -> dict[str, str]:
    """The provider's headers that go on to the caller, lower-case."""
    return {name: value.decode("latin-1") for raw, value in response.headers if (name := _passed_as(raw))}


@lru_cache(maxsize=1024)
def _passed_as(raw_name: bytes) -> str:
    """The name under which a provider's header is passed on; empty: it is not."""
    name = raw_name.decode("latin-1").lower()
    if name in PASSED_HEADERS or name.startswith(PASSED_PREFIXES):
        return name
    return "x-upstream-request-id" if name == "x-request-id" else ""
