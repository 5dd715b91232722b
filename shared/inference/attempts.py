"""The attempts at one target: retry the same key, rotate keys, wait as told, and stop in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import DeadlineExceeded, GatewayError, UpstreamFailure
from shared.inference.call import Call, RetryLater
from shared.inference.route import Target
from shared.providers.base import Key
from shared.providers.resilience import Verdict, backoff_s, judge, pick_key
from shared.telemetry.upstream import UpstreamWatch

T = TypeVar("T")
Once = Callable[[Key | None, float], Awaitable[T]]
"""One attempt: with this key, within so many seconds."""


class Attempts:
    """Counts and bounds the upstream requests made for one call, over all its targets."""

    def __init__(self, call: Call, watch: UpstreamWatch) -> None:
        self._call = call
        self._watch = watch
        self.made = 0

    async def at(self, target: Target, once: Once[T]) -> T:
        """Try one target until it answers or its attempts are spent.

        Raises:
            GatewayError: The last failure.
            RetryLater: A job should come back later rather than wait.
            DeadlineExceeded: The call's own time is over.
        """
        provider = target.provider
        keys = [key for key in provider.keys if _serves(key, target.model)]
        tried: set[str] = set()
        for attempt in range(1, provider.retry.max_attempts + 1):
            key = pick_key([key for key in keys if key.name not in tried] or keys)
            try:
                return await self._once(target, key, once)
            except GatewayError as error:
                verdict = judge(error)
                if verdict in {Verdict.GIVE_UP, Verdict.NEXT_MODEL} or attempt == provider.retry.max_attempts:
                    raise
                if verdict is Verdict.OTHER_KEY and key is not None:
                    tried.add(key.name)
                    if any(other.name not in tried for other in keys):
                        continue
                    if getattr(error, "status", 0) != 429:
                        raise  # no key left, and waiting does not mend a refused credential
                await self._pause(error, attempt, target)
        raise AssertionError("max_attempts is at least 1")

    async def _once(self, target: Target, key: Key | None, once: Once[T]) -> T:
        total_s = min(target.provider.timeouts.total_s, self._left_s())
        self.made += 1
        started = time.perf_counter()
        try:
            answer = await once(key, total_s)
        except GatewayError as error:
            self._watch.attempt(target.provider.name, error.status, time.perf_counter() - started)
            if self._over():
                raise DeadlineExceeded("The time that the request was given is over.") from error
            raise
        self._watch.attempt(target.provider.name, 200, time.perf_counter() - started)
        return answer

    async def _pause(self, error: GatewayError, attempt: int, target: Target) -> None:
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = backoff_s(attempt, target.provider.retry)
        if wait_s >= self._left_s() or (wait_s > self._call.patience_s and not self._call.defers):
            raise error
        if wait_s > self._call.patience_s:
            raise RetryLater(wait_s, "retry_after", error) from error
        await asyncio.sleep(wait_s)

    def _left_s(self) -> float:
        if self._call.deadline is None:
            return float("inf")
        left_s = self._call.deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise DeadlineExceeded("The time that the request was given is over.")
        return left_s

    def _over(self) -> bool:
        return self._call.deadline is not None and asyncio.get_running_loop().time() >= self._call.deadline


def _serves(key: Key, model: str) -> bool:
    return key.models == ("*",) or any(_matches(model, pattern) for pattern in key.models)


def _matches(model: str, pattern: str) -> bool:
    return model == pattern or (pattern.endswith("*") and model.startswith(pattern[:-1]))


def no_answer(provider: str) -> UpstreamFailure:
    """The provider's stream ended before it began."""
    return UpstreamFailure(f"The provider {provider!r} ended its answer before it began.")
