"""The attempts at a call: target after target; the same key again, other keys, waiting as told, and an end in time."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from shared.errors import (
    BudgetExceeded,
    CircuitOpen,
    DeadlineExceeded,
    GatewayError,
    ModelNotFound,
    Overloaded,
    ProviderRateLimited,
    RequestLimited,
    TokenLimited,
    UnsupportedParameter,
    UpstreamFailure,
)
from shared.inference.call import Call, RetryLater
from shared.inference.call_cost import CallCost
from shared.inference.route import Target
from shared.providers.base import ProviderKey
from shared.providers.health.board import HealthBoard, ProviderHealth
from shared.providers.health.cooldown import SPENT_CODES
from shared.providers.resilience import Verdict, backoff_s, judge
from shared.telemetry.upstream import UpstreamWatch

T = TypeVar("T")
Once = Callable[[Target, ProviderKey | None, float], Awaitable[T]]
"""One attempt: at this target, with this key, within so many seconds."""

# Limits above this are cut to whole seconds: calls then share their timeout objects.
FINE_LIMIT_S = 10.0
# Whoever was told the same moment need not come back at the same moment.
WAIT_SPREAD = 0.1
TIME_IS_OVER = "The time that the request was given is over."


class Attempts:
    """Counts and bounds the upstream requests made for one call, over all its targets.

    Args:
        max_total_s: Bound on all of them together.

    Attributes:
        made: How many there were.
        bill: Told of each; None: nobody counts.
    """

    __slots__ = ("_begin_by", "_board", "_call", "_time", "_until", "_watch", "call_cost", "made")

    def __init__(self, call: Call, watch: UpstreamWatch, board: HealthBoard, max_total_s: float = math.inf) -> None:
        self._call = call
        self._watch = watch
        self._board = board
        self._time = asyncio.get_running_loop().time  # looking the loop up asks for the process id each time
        until = self._time() + max_total_s
        if call.deadline is not None and call.deadline < until:
            until = call.deadline
        self._until = until
        self._begin_by = until if call.begin_by is None else min(until, call.begin_by)
        self.made = 0
        self.call_cost: CallCost | None = None

    async def over(self, targets: Sequence[Target], once: Once[T]) -> T:
        """Try one target after the other until one answers.

        Raises:
            GatewayError: What the caller is told of all their failures.
            RetryLater: A job should come back later rather than wait.
        """
        failure: GatewayError | None = None
        for target in targets:
            try:
                if self.call_cost is not None and target is not targets[0]:
                    await self.call_cost.enter(target)
                return await self.at(target, once, last=target is targets[-1])
            except (BudgetExceeded, RequestLimited, TokenLimited) as error:
                failure = failure or error  # this fallback's own limits; the next may have room
            except GatewayError as error:
                failure = worth_telling(failure, error)
        if failure is None:
            raise UpstreamFailure("No provider was there to answer.")
        if self._call.defers and isinstance(failure, Overloaded):
            raise RetryLater(failure.retry_after_s or 1.0, "overloaded", failure) from failure
        raise failure

    async def at(self, target: Target, once: Once[T], *, last: bool) -> T:
        """Try one target until it answers or its attempts are spent.

        Args:
            target: Which model of which provider.
            once: Makes one attempt.
            last: No other target follows; until then, a provider that asked for patience is passed over.

        Raises:
            GatewayError: The last failure.
            RetryLater: A job should come back later rather than wait.
            DeadlineExceeded: The call's own time is over.
        """
        health = self._board[target.provider.name]
        key = await self._first_key(health, target, last=last)
        tried: frozenset[str] = frozenset()
        for attempt in range(1, target.provider.retry.max_attempts + 1):
            try:
                return await self._once(target, health, key, once)
            except GatewayError as error:
                verdict = judge(error)
                if verdict in {Verdict.GIVE_UP, Verdict.NEXT_MODEL} or attempt == target.provider.retry.max_attempts:
                    raise
                if verdict is Verdict.OTHER_KEY:
                    tried |= {key.name if key else ""}
                    if health.has_other(target.model, tried):
                        key = self._next_key(health, target, tried, error)
                        continue
                    if error.status != 429 or error.code in SPENT_CODES:
                        raise  # no key left, and waiting does not mend a refused credential
                    tried = frozenset()
                await self._pause(error, self._wait_s(health, error, attempt, target))
                if verdict is Verdict.OTHER_KEY or not health.calm:
                    key = self._next_key(health, target, tried, error)
        raise AssertionError("max_attempts is at least 1")

    def begin_s(self) -> float:
        """Seconds until a stream must have begun."""
        return self._begin_by - self._time()

    async def _first_key(self, health: ProviderHealth, target: Target, *, last: bool) -> ProviderKey | None:
        session = self._call.session
        try:
            key = health.choose(target.model, session)
        except ProviderRateLimited as resting:
            if not last:
                raise
            await self._pause(resting, resting.retry_after_s or 0.0)
            key = health.choose(target.model, session, waited=True)
        except CircuitOpen as refusal:
            if last and self._call.defers:
                raise RetryLater(refusal.retry_after_s or 1.0, "circuit_open", refusal) from refusal
            raise
        if key is None and target.provider.keys:
            raise ModelNotFound(
                f"No key of the provider {target.provider.name!r} is for the model {target.model!r}.", param="model"
            )
        return key

    def _next_key(
        self, health: ProviderHealth, target: Target, tried: frozenset[str], error: GatewayError
    ) -> ProviderKey | None:
        """The key for another attempt; if none may be used any more, the failure that led here is what counts."""
        try:
            return health.choose(target.model, self._call.session, tried, waited=True)
        except CircuitOpen:
            raise error from None

    async def _once(self, target: Target, health: ProviderHealth, key: ProviderKey | None, once: Once[T]) -> T:
        total_s = self._limit_s(target)
        self.made += 1
        name = target.provider.name
        if self.call_cost is not None:
            self.call_cost.sent(name, target.model, key.name if key else "")
        started = time.perf_counter()
        try:
            answer = await once(target, key, total_s)
        except GatewayError as error:
            took_s = time.perf_counter() - started
            self._watch.attempt(name, error.status, took_s)
            over = self._time() >= self._begin_by
            if not over or took_s >= target.provider.timeouts.first_token_s:
                health.failed(key.name if key else "", target.model, error)
            if over:
                raise DeadlineExceeded(TIME_IS_OVER) from error
            raise
        took_s = time.perf_counter() - started
        self._watch.attempt(name, 200, took_s)
        if not health.quiet:
            health.answered(key.name if key else "", target.model, took_s)
        return answer

    def _wait_s(self, health: ProviderHealth, error: GatewayError, attempt: int, target: Target) -> float:
        if error.retry_after_s is None:
            return backoff_s(attempt, target.provider.retry)
        if error.status == 429 and len(target.provider.keys) > 1:
            return min(error.retry_after_s, health.soonest_s(target.model))
        return error.retry_after_s

    async def _pause(self, error: GatewayError, wait_s: float) -> None:
        if wait_s >= self._left_s() or (wait_s > self._call.patience_s and not self._call.defers):
            raise error
        if wait_s > self._call.patience_s:
            raise RetryLater(wait_s, "retry_after", error) from error
        spread_s = wait_s * WAIT_SPREAD * random.random()  # noqa: S311 - spreads load, guards nothing
        await asyncio.sleep(wait_s + spread_s)

    def _limit_s(self, target: Target) -> float:
        now = self._time()
        if now >= self._begin_by:
            raise DeadlineExceeded(TIME_IS_OVER)
        left_s = self._until - now
        total_s = target.provider.timeouts.total_s
        if left_s >= total_s:
            return total_s
        return left_s if left_s < FINE_LIMIT_S else float(int(left_s))

    def _left_s(self) -> float:
        left_s = self._begin_by - self._time()
        if left_s <= 0:
            raise DeadlineExceeded(TIME_IS_OVER)
        return left_s


def no_answer(provider: str) -> UpstreamFailure:
    """The provider's stream ended before it began."""
    return UpstreamFailure(f"The provider {provider!r} ended its answer before it began.")


def worth_telling(before: GatewayError | None, error: GatewayError) -> GatewayError:
    """What the caller is told if no further target answers; a fallback that cannot express the call is passed over.

    Raises:
        GatewayError: No other target would do better.
    """
    if before is not None and isinstance(error, UnsupportedParameter):
        return before
    if judge(error) is Verdict.GIVE_UP:
        raise error
    return error
