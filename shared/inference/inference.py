"""The one path of every call, in both tiers: resolve, authorise, pick a key, call, retry, rotate, fall back."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import orjson

from shared.errors import GatewayError, UnsupportedParameter, UpstreamFailure, UpstreamRefused
from shared.governance.caller import Caller
from shared.inference.attempts import Attempts, no_answer
from shared.inference.call import Answer, Call
from shared.inference.conversations import Conversations
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.inference.route import Target, route
from shared.inference.streaming import ProviderStream
from shared.inference.translation import NOTHING, offered, translation
from shared.providers.base import Key
from shared.providers.client import ProviderClient
from shared.providers.registry import Providers
from shared.providers.resilience import Verdict, judge
from shared.providers.wires.anthropic.counting import count_request, read_count
from shared.providers.wires.base import Ask, MalformedAnswer, Wire
from shared.providers.wires.bridged import BridgedWire, Recalled
from shared.telemetry.upstream import UNWATCHED, UpstreamWatch
from shared.wire.request_types import RESPONSES

T = TypeVar("T")
# Others who speak Anthropic's format do not all count.
_NO_SUCH_ENDPOINT = frozenset({404, 405, 501})
At = Callable[[Target, Key | None, float], Awaitable[T]]


class Inference:
    """Answers calls.

    Args:
        fallbacks: Model to the models tried after it.
        conversations: Where responses are kept; None: nowhere.
        close: Called when it is closed: gives back what the client was built on.
    """

    def __init__(
        self,
        providers: Providers,
        client: ProviderClient,
        *,
        fallbacks: Mapping[str, Sequence[str]],
        watch: UpstreamWatch = UNWATCHED,
        conversations: Conversations | None = None,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._providers = providers
        self._client = client
        self._fallbacks = fallbacks
        self._watch = watch
        self._conversations = conversations
        self._close = close
        self._passthrough = Passthrough(providers, client)

    @property
    def providers(self) -> Providers:
        """The configured providers."""
        return self._providers

    @property
    def conversations(self) -> Conversations | None:
        """The responses that are kept here."""
        return self._conversations

    async def authorise(self, call: Call) -> None:
        """Everything that can be refused before a job is made of the call.

        Raises:
            GatewayError: As ``answer`` would, before any upstream request.
        """
        recalled = await self._recall(call)
        for target in self._route(call):
            wire, ask = self._translation(call, target, recalled)
            wire.request(ask)

    async def answer(self, call: Call) -> Answer:
        """The model's complete answer.

        Raises:
            GatewayError: What the caller is told.
            RetryLater: Only where ``call.defers``.
        """
        attempts = Attempts(call, self._watch)
        recalled = await self._recall(call)

        async def at(target: Target, key: Key | None, total_s: float) -> Answer:
            wire, ask = self._translation(call, target, recalled)
            request = wire.request(ask)
            exchange = await self._client.open(
                target.provider, key, target.model, request, headers=_passed_on(call), total_s=total_s
            )
            async with exchange:
                body = await exchange.read()
            try:
                translated = wire.answer(ask, body, exchange.content_type)
            except MalformedAnswer as error:
                raise UpstreamFailure(
                    f"The provider {target.provider.name!r} gave no usable answer: {error}."
                ) from error
            await self._keep(call, wire)
            return Answer(
                status=exchange.status,
                body=translated.body,
                content_type=translated.content_type,
                headers=exchange.headers,
                provider=target.provider.name,
                model=target.model,
                usage=translated.usage,
                attempts=attempts.made,
            )

        return await self._first(call, attempts, at)

    async def stream(self, call: Call) -> ProviderStream:
        """The model's answer as it comes; returned once its first bytes are there, so that a failure before is retried.

        Raises:
            GatewayError: What the caller is told; after this returns, iterating raises it.
            RetryLater: Only where ``call.defers``.
        """
        attempts = Attempts(call, self._watch)
        recalled = await self._recall(call)

        async def at(target: Target, key: Key | None, total_s: float) -> ProviderStream:
            wire, ask = self._translation(call, target, recalled)
            request = wire.request(ask)
            exchange = await self._client.open(
                target.provider, key, target.model, request, headers=_passed_on(call), total_s=total_s, stream=True
            )
            stream = ProviderStream(
                exchange,
                wire,
                ask,
                provider=target.provider.name,
                model=target.model,
                ended=partial(self._keep, call, wire),
            )
            try:
                if not await stream.begin():
                    raise no_answer(target.provider.name)
            except BaseException:
                await stream.aclose()
                raise
            stream.attempts = attempts.made
            return stream

        return await self._first(call, attempts, at)

    async def count_tokens(self, call: Call) -> int | None:
        """How many input tokens its provider counts in a chat; None: it has no way to count.

        Raises:
            GatewayError: What the caller is told, as ``answer`` would.
        """
        target = self._route(call)[0]
        wire, ask = self._translation(call, target, NOTHING)
        request = wire.request(ask)
        if wire.name != "anthropic" or request.path != "/v1/messages":
            return None

        async def once(key: Key | None, total_s: float) -> int:
            exchange = await self._client.open(
                target.provider, key, target.model, count_request(request), headers=_passed_on(call), total_s=total_s
            )
            async with exchange:
                return read_count(await exchange.read())

        try:
            return await Attempts(call, self._watch).at(target, once)
        except UpstreamRefused as error:
            if error.status in _NO_SUCH_ENDPOINT:
                return None
            raise
        except MalformedAnswer:
            return None

    async def keep_job(self, call: Call, answer: Answer) -> None:
        """Keep the response that a job ended with, under the job's id, by which its caller knows it."""
        if call.request_type is not RESPONSES or not answer.content_type.startswith("application/json"):
            return
        response = orjson.loads(answer.body)
        if isinstance(response, dict) and isinstance(response.get("output"), list):
            await self._remember(call, {**response, "id": call.job_id})

    async def passthrough(self, request: RawRequest, caller: Caller) -> RawAnswer:
        """Forward a request of a resource that its provider owns, untouched, and its answer too."""
        return await self._passthrough.forward(request, caller)

    async def models(self, caller: Caller) -> list[dict[str, object]]:
        """OpenAI's model objects of everything that the caller may use, ids with the provider's prefix."""
        return await self._passthrough.models(caller)

    async def aclose(self) -> None:
        """Close every upstream connection."""
        await self._close()

    def _route(self, call: Call) -> list[Target]:
        targets = route(call, self._providers, self._fallbacks)
        offers = [target for target in targets if call.request_type.name in self._offered(target)]
        if not offers:
            raise UnsupportedParameter(
                f"The provider {targets[0].provider.name!r} does not offer {call.request_type.name}.", param="model"
            )
        return offers

    def _offered(self, target: Target) -> frozenset[str]:
        return offered(target, self._client.wire(target.provider))

    def _translation(self, call: Call, target: Target, recalled: Recalled) -> tuple[Wire, Ask]:
        return translation(call, target, self._client.wire(target.provider), recalled)

    async def _recall(self, call: Call) -> Recalled:
        if call.request_type is not RESPONSES or self._conversations is None:
            return NOTHING
        return await self._conversations.recall(call.fields, call.caller)

    async def _keep(self, call: Call, wire: Wire) -> None:
        """Keep what a bridge made; jobs keep theirs when they end."""
        if isinstance(wire, BridgedWire) and wire.response is not None and not call.job_id:
            await self._remember(call, wire.response)

    async def _remember(self, call: Call, response: Mapping[str, Any]) -> None:
        if self._conversations is not None:
            await self._conversations.keep(call.fields, response, call.caller)

    async def _first(self, call: Call, attempts: Attempts, at: At[T]) -> T:
        """The first target that answers."""
        failure: GatewayError | None = None
        for target in self._route(call):
            try:
                return await attempts.at(target, lambda key, total_s, target=target: at(target, key, total_s))  # type: ignore[misc]
            except GatewayError as error:
                if judge(error) is Verdict.GIVE_UP:
                    raise
                failure = error
        raise failure or UpstreamFailure("No provider was there to answer.")


def _passed_on(call: Call) -> Mapping[str, str]:
    """The caller's headers for the provider; a job's id is its idempotency key, so that a re-run may be recognised."""
    if not call.job_id:
        return call.headers
    return {**call.headers, "idempotency-key": call.job_id}
