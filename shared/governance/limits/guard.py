"""Lets calls pass their limits: reserves what they may cost before they are made, in one round trip."""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from shared.errors import BudgetExceeded, RequestLimited, StoreUnavailable, TokenLimited
from shared.governance.limits.model import MICRO, Limit
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreUnavailable as StoreFault
from shared.store.scripts import Script, load_scripts

HOLD_S = 120.0
RENEWALS = 4  # in the time that a hold outlives its process

logger = logging.getLogger("finops.governance")


@cache
def governance_scripts() -> dict[str, Script]:
    """The scripts of ``shared/governance/lua``, read once per process when first wanted."""
    return dict(load_scripts("shared.governance.lua", "shared.store.lua"))


class Standing(NamedTuple):
    """How a limit stood when a call was let pass (that call not counted)."""

    limit: Limit
    used: int
    held: int
    reset_ms: int


@dataclass(slots=True)
class Admission:
    """A call that was let pass.

    Attributes:
        hold: Id of its reservation; empty: there is none to be settled.
        standings: How its limits stood.
        estimate: What a job's record keeps, to charge a run that its caller ends (``charge`` in the engine's
            ``prelude.lua``).
    """

    hold: str = ""
    standings: tuple[Standing, ...] = ()
    cost: int = 0
    tokens: int = 0
    estimate: Mapping[str, Any] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        """OpenAI's rate limit headers, of the tightest limit of each kind.

        Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
        """
        return rate_headers(self.standings, requests=1, tokens=self.tokens)


FREE = Admission()
"""Of a call that nothing limits."""


class Door:
    """Admits calls, and keeps alive the holds of those that are under way in this process.

    Args:
        commands: The store.
        hold_s: How long a reservation outlives the process that made it.
    """

    def __init__(self, commands: RedisCommands, *, hold_s: float = HOLD_S) -> None:
        self.hold_s = hold_s
        self._commands = commands
        self._scripts = governance_scripts()
        self._open: dict[str, float] = {}
        self._renewer: asyncio.Task[None] | None = None

    async def admit(
        self, hold: str, limits: Sequence[Limit], *, cost: int, tokens: int, renewed: bool = True, clock: str = ""
    ) -> Admission:
        """Reserve what a call may cost under all its limits, or none of it. No limits: no round trip.

        Args:
            hold: Unique id; admitting the same one twice reserves once.
            limits: What binds the call.
            cost: Estimate, micro-USD.
            tokens: Estimate.
            renewed: Whether this process keeps the reservation alive until it is ended; otherwise it runs out, unless
                somebody else takes it over (the submit of a job does).
            clock: Milliseconds, instead of the store's clock.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited: A limit is spent.
            StoreUnavailable: No answer.
        """
        if not limits:
            return FREE
        args: list[Argument] = [hold, round(self.hold_s * 1000), cost, tokens, clock]
        for limit in limits:
            args += (limit.kind, limit.scope, limit.window, limit.amount)
        try:
            # Requests alone leave no hold by which a second sending would be recognised.
            refused, facts = await self._commands.script(self._scripts["admit"], (), args)
        except StoreFault as error:
            raise StoreUnavailable("The limits cannot be checked.") from error
        except ResponseError as error:
            raise StoreUnavailable("The store takes no reservations.") from error
        standings = tuple([Standing(limit, *facts[at * 3 : at * 3 + 3]) for at, limit in enumerate(limits)])
        if refused:
            told = refusal(standings[int(refused) - 1])
            told.headers = rate_headers(standings)
            raise told
        if all(limit.kind == "requests" for limit in limits):
            return Admission("", standings, cost, tokens)
        if renewed:
            self._keep(hold)
        return Admission(hold, standings, cost, tokens)

    async def peek(self, limits: Sequence[Limit]) -> tuple[Standing, ...]:
        """How limits stand, for those who look at them.

        Raises:
            StoreUnavailable: No answer.
        """
        args = [word for limit in limits for word in (limit.kind, limit.scope, limit.window)]
        try:
            facts = await self._commands.script(self._scripts["peek"], (), args, retry_safe=True)
        except StoreFault as error:
            raise StoreUnavailable("The limits cannot be read.") from error
        return tuple([Standing(limit, *facts[at * 3 : at * 3 + 3]) for at, limit in enumerate(limits)])

    def ended(self, hold: str) -> None:
        """A hold needs no renewal any more."""
        self._open.pop(hold, None)

    async def aclose(self) -> None:
        """Stop renewing; what is still open runs out."""
        if self._renewer is not None:
            self._renewer.cancel()
            await asyncio.wait([self._renewer])

    def _keep(self, hold: str) -> None:
        self._open[hold] = asyncio.get_running_loop().time()
        if self._renewer is None or self._renewer.done():
            self._renewer = asyncio.create_task(self._renew(), name="finops-holds")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.hold_s / RENEWALS)
            if not self._open:
                return
            await self.renew_now()

    async def renew_now(self) -> None:
        """Prolong the holds of calls that have been under way for a while."""
        old = asyncio.get_running_loop().time() - self.hold_s / RENEWALS
        holds = [hold for hold, since in self._open.items() if since <= old]
        for start in range(0, len(holds), 500):
            some = holds[start : start + 500]
            with suppress(StoreFault, ResponseError):  # tried again in time
                await self._commands.script(self._scripts["renew"], (), [round(self.hold_s * 1000), *some])


def rate_headers(standings: Sequence[Standing], *, requests: int = 0, tokens: int = 0) -> dict[str, str]:
    """OpenAI's rate limit headers; ``requests`` and ``tokens`` are taken since the limits stood so."""
    lines: dict[str, str] = {}
    for kind, taken in (("requests", requests), ("tokens", tokens)):
        lefts = [(_left(standing, taken), standing) for standing in standings if standing.limit.kind == kind]
        if lefts:
            left, standing = min(lefts, key=lambda pair: pair[0])
            lines[f"x-ratelimit-limit-{kind}"] = str(standing.limit.amount)
            lines[f"x-ratelimit-remaining-{kind}"] = str(left)
            lines[f"x-ratelimit-reset-{kind}"] = _duration(standing.reset_ms)
    return lines


def refusal(standing: Standing) -> BudgetExceeded | RequestLimited | TokenLimited:
    """What a caller is told of a limit that is spent."""
    limit = standing.limit
    wait_s = max(1, math.ceil(standing.reset_ms / 1000))
    name = limit.spoken[0].upper() + limit.spoken[1:]
    if limit.kind == "cost":
        return BudgetExceeded(
            f"{name} is spent: of {_usd(limit.amount)}, {_usd(standing.used)} is used and {_usd(standing.held)} "
            f"reserved by calls under way. Raise it, or wait {wait_s} s.",
            should_retry=False,
        )
    message = f"{name} is reached: {limit.amount}. Try again in {wait_s} s."
    kind = RequestLimited if limit.kind == "requests" else TokenLimited
    return kind(message, retry_after_s=wait_s)


def _left(standing: Standing, taken: int) -> int:
    return max(0, standing.limit.amount - standing.used - standing.held - taken)


def _duration(ms: int) -> str:
    """As OpenAI writes it: ``6m0s``, ``1s``, ``350ms``."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, seconds = divmod(math.ceil(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + f"{seconds}s"


def _usd(micro: int) -> str:
    return f"${micro / MICRO:,.6f}".rstrip("0").rstrip(".")
