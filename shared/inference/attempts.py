"""Attempts at a call: target after target, key after key, with pauses between them and one deadline over them all."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from shared.errors import (
    BudgetExceeded,
    CircuitOpen,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    Overloaded,
    ProviderRateLimited,
    RequestLimited,
    TokenLimited,
    UpstreamFailure,
    UpstreamRefused,
)
from shared.inference.call import Call, RetryLater, Target, UpstreamAttempt
from shared.inference.call_cost import CallCost
from shared.providers.base import ProviderKey
from shared.providers.health.board import HealthBoard, ProviderHealth
from shared.providers.health.cooldown import SPENT_CODES
from shared.providers.resilience import Verdict, backoff_s, judge
from shared.telemetry.upstream import UpstreamWatch

T = TypeVar("T")

# Limits above this are cut to whole seconds: calls then share their timeout objects.
FINE_LIMIT_S = 10.0
# Calls that were given the same time to come back need not come back at the same moment.
WAIT_SPREAD = 0.1
# A provider's own: rate limited, overloaded.
NO_ROOM_STATUSES = frozenset({429, 503, 529})
TIMED_OUT = "The request timed out."
# A job comes back after a quarter of the time that is left of its patience, if its provider is to rest for longer.
SHARE_OF_REST = 0.25
SOONEST_BACK_S = 0.5


class Attempt(NamedTuple):
    """One upstream request to be made.

    Attributes:
        target: The provider and its model.
        key: The provider's key; None if it has none.
        total_s: Bound on the whole request, in seconds.
        attempts: All of its call.
    """

    target: Target
    key: ProviderKey | None
    total_s: float
    attempts: "Attempts"


Once = Callable[[Attempt], Awaitable[T]]
"""Makes one attempt."""


class Attempts:
    """Makes, counts and bounds the upstream requests of one call, over all its targets.

    Args:
        call: The call.
        watch: Notified of every attempt.
        board: Health of the providers.
        call_cost: Notified of every attempt and fallback; None: the call is not billed.
        max_total_s: Bound on all attempts together, in seconds.

    Attributes:
        made: Number of attempts so far.
        call_cost: As given.
    """

    __slots__ = ("_begin_by", "_board", "_call", "_time", "_until", "_watch", "call_cost", "made")

    def __init__(
        self,
        call: Call,
        watch: UpstreamWatch,
        board: HealthBoard,
        call_cost: CallCost | None = None,
        max_total_s: float = math.inf,
    ) -> None:
        self._call = call
        self._watch = watch
        self._board = board
        self.call_cost = call_cost
        self._time = asyncio.get_running_loop().time  # looking the loop up asks for the process id each time
        until = self._time() + max_total_s
        if call.deadline is not None and call.deadline < until:
            until = call.deadline
        self._until = until
        self._begin_by = until if call.begin_by is None else min(until, call.begin_by)
        self.made = 0

    async def over(self, targets: Sequence[Target], once: Once[T]) -> T:
        """Try one target after the other until one answers.

        Raises:
            GatewayError: No target answered; the failure that the caller is to see.
            RetryLater: A job should come back later rather than wait.
        """
        failure: GatewayError | None = None
        for target in targets:
            try:
                if self.call_cost is not None and target is not targets[0]:
                    await self.call_cost.open_fallback(target)
                return await self.at(target, once, last=target is targets[-1])
            except (BudgetExceeded, RequestLimited, TokenLimited) as error:
                failure = failure or error  # this fallback's own limits; the next may have room
            except GatewayError as error:
                failure = failure_to_report(failure, error)
        if failure is None:
            raise UpstreamFailure("No provider is available for this request.")
        if self._call.defers:
            self._defer(targets[-1], failure)
        raise failure

    async def at(self, target: Target, once: Once[T], *, last: bool) -> T:
        """Try one target until it answers or its attempts are spent.

        Args:
            target: The provider and its model.
            once: Makes one attempt.
            last: No other target follows; until then, a provider that asked callers to wait is passed over.

        Raises:
            GatewayError: The last failure.
            RetryLater: A job should come back later rather than wait.
            DeadlineExceeded: The call's own time is over.
        """
        health = self._board[target.provider.name]
        key = await self._first_key(health, target, last=last)
        tried: frozenset[str] = frozenset()
        most = target.provider.retry.max_attempts
        for attempt in range(1, most + 1):
            try:
                return await self._once(target, health, key, once)
            except GatewayError as error:
                verdict = judge(error)
                spent = attempt == most or self._call.is_flex
                if verdict in {Verdict.GIVE_UP, Verdict.NEXT_MODEL} or spent:
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

    @property
    def begin_by(self) -> float:
        """Event loop time until which a stream must begin, and any other answer end."""
        return self._begin_by

    def begin_s(self) -> float:
        """Return the seconds left until a stream must begin."""
        return self._begin_by - self._time()

    async def _first_key(self, health: ProviderHealth, target: Target, *, last: bool) -> ProviderKey | None:
        session = self._call.session
        try:
            key = health.choose(target.model, session)
        except ProviderRateLimited as cooling_down:
            if not last:
                raise
            await self._pause(cooling_down, cooling_down.retry_after_s or 0.0)
            key = health.choose(target.model, session, waited=True)
        except CircuitOpen as refusal:
            if not last or not self._call.defers:
                raise
            key = self._urgent_key(health, target, refusal)
        if key is None and target.provider.keys:
            raise ModelNotFound(
                f"No key of provider {target.provider.name!r} may use the model {target.model!r}.", param="model"
            )
        return key

    def _urgent_key(self, health: ProviderHealth, target: Target, refusal: CircuitOpen) -> ProviderKey | None:
        """Return the key for a call that cannot wait for an open circuit; others come back later."""
        wait_s = refusal.retry_after_s or 1.0
        back_s = self._back_s(wait_s)
        if back_s < wait_s:
            try:
                return health.choose(target.model, self._call.session, waited=True, urgent=True)
            except CircuitOpen:  # another one has just tried
                pass
        raise RetryLater(back_s, "circuit_open", refusal) from refusal

    def _defer(self, last: Target, failure: GatewayError) -> None:
        """Have a job come back later that had no room, or has time left and met an outage of its provider.

        Raises:
            RetryLater: It is to come back.
        """
        if isinstance(failure, Overloaded):
            raise RetryLater(self._back_s(failure.retry_after_s or 1.0), "overloaded", failure) from failure
        if self._patience_left_s() > 0 and judge(failure) is Verdict.SAME_KEY:
            wait_s = self._board[last.provider.name].wait_s(last.model)
            if wait_s > 0:
                raise RetryLater(self._back_s(wait_s), "circuit_open", failure) from failure

    def _back_s(self, wait_s: float) -> float:
        """Return after how long a job comes back: the less patience is left, the sooner."""
        left_s = self._patience_left_s()
        return wait_s if left_s <= 0 else min(wait_s, max(left_s * SHARE_OF_REST, SOONEST_BACK_S))

    def _patience_left_s(self) -> float:
        call = self._call
        return 0.0 if call.due is None or call.tries_lane else call.due - self._time()

    def _next_key(
        self, health: ProviderHealth, target: Target, tried: frozenset[str], error: GatewayError
    ) -> ProviderKey | None:
        """Choose the key for another attempt; if no key may be used any more, raise the failure that led here."""
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
            answer = await once(Attempt(target, key, total_s, self))
        except GatewayError as error:
            took_s = time.perf_counter() - started
            self._watch.attempt(name, error.status, took_s)
            self._log(target, key, took_s, error.status, error.code or error.type)
            over = self._time() >= self._begin_by
            own_limit = self._call.is_flex and (over or error.status == 429)  # of the discounted tier alone
            if not own_limit and (not over or took_s >= target.provider.timeouts.first_token_s):
                health.failed(key.name if key else "", target.model, error)
            if over:
                raise DeadlineExceeded(TIMED_OUT) from error
            raise
        took_s = time.perf_counter() - started
        self._watch.attempt(name, 200, took_s)
        self._log(target, key, took_s, 200, "")
        if not health.quiet:
            health.answered(key.name if key else "", target.model, took_s)
        return answer

    def _log(self, target: Target, key: ProviderKey | None, took_s: float, status: int, code: str) -> None:
        log = self._call.attempt_log
        if log is not None:
            now = time.time()
            name = target.provider.name
            attempt = UpstreamAttempt(name, target.model, key.name if key else "", now - took_s, now, status, code)
            attempt.lane = self._call.lane
            log.append(attempt)

    def _wait_s(self, health: ProviderHealth, error: GatewayError, attempt: int, target: Target) -> float:
        if error.retry_after_s is None:
            return backoff_s(attempt, target.provider.retry)
        if error.status == 429 and len(target.provider.keys) > 1:
            return min(error.retry_after_s, health.soonest_s(target.model))
        return error.retry_after_s

    async def _pause(self, error: GatewayError, wait_s: float) -> None:
        room_by = self._call.room_by
        if room_by is not None and self._time() + wait_s > room_by and has_no_room(error):
            raise error
        if wait_s >= self._left_s() or (wait_s > self._call.patience_s and not self._call.defers):
            raise error
        if wait_s > self._call.patience_s:
            raise RetryLater(wait_s, "retry_after", error) from error
        spread_s = wait_s * WAIT_SPREAD * random.random()  # noqa: S311 - spreads load, guards nothing
        await asyncio.sleep(wait_s + spread_s)

    def _limit_s(self, target: Target) -> float:
        now = self._time()
        if now >= self._begin_by:
            raise DeadlineExceeded(TIMED_OUT)
        left_s = self._until - now
        total_s = target.provider.timeouts.total_s
        if left_s >= total_s:
            return total_s
        return left_s if left_s < FINE_LIMIT_S else float(int(left_s))

    def _left_s(self) -> float:
        left_s = self._begin_by - self._time()
        if left_s <= 0:
            raise DeadlineExceeded(TIMED_OUT)
        return left_s


def has_no_room(error: GatewayError) -> bool:
    """Tell whether a call failed because its provider had no room, so that the same call may succeed later."""
    if isinstance(error, Overloaded | ProviderRateLimited):
        return True
    return isinstance(error, UpstreamFailure) and error.status in NO_ROOM_STATUSES and error.code not in SPENT_CODES


def failure_to_report(before: GatewayError | None, error: GatewayError) -> GatewayError:
    """Return the failure to report if no further target answers.

    A fallback that refuses the request itself (400) never hides the failure before it.

    Raises:
        GatewayError: No other target would do better.
    """
    if before is not None and _refuses_request(error):
        return before
    if judge(error) is Verdict.GIVE_UP:
        raise error
    return error


def _refuses_request(error: GatewayError) -> bool:
    """Whether a target refused the request as such: another one may accept it."""
    return isinstance(error, InvalidRequest | NotFound) or (
        isinstance(error, UpstreamRefused) and judge(error) is Verdict.GIVE_UP
    )
