"""Check limits and reserve estimated cost before a call, in one round trip."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from shared.clock import now, rfc3339, span
from shared.errors import BudgetExceeded, RequestLimited, StoreUnavailable, TokenLimited
from shared.governance.limits.model import LIMIT_KINDS, MICRO, Limit
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError
from shared.store.scripts import Script, load_scripts

RESERVATION_TTL_S = 120.0
RENEWALS = 4  # per reservation lifetime

logger = logging.getLogger("finops.governance")


@cache
def governance_scripts() -> dict[str, Script]:
    """The scripts of ``shared/governance/lua``, read once per process when first wanted."""
    return dict(load_scripts("shared.governance.lua", "shared.governance.limits.lua", "shared.governance.ledger.lua"))


class LimitStatus(NamedTuple):
    """A limit's usage when a call was admitted, without that call."""

    limit: Limit
    used: int
    held: int
    reset_ms: int


@dataclass(slots=True)
class Reservation:
    """An admitted call.

    Attributes:
        reservation: Id; empty: there is nothing to settle.
        limit_statuses: Its limits when it was admitted.
        estimate: What a job's record keeps, to charge a run that its caller ends (``charge`` in the engine's
            ``prelude.lua``).
        output: Most tokens of the answer that the budget still pays for; None: all that the call may use.
    """

    reservation: str = ""
    limit_statuses: tuple[LimitStatus, ...] = ()
    cost: int = 0
    tokens: int = 0
    estimate: Mapping[str, Any] = field(default_factory=dict)
    output: int | None = None

    def headers(self) -> dict[str, str]:
        """OpenAI's rate limit headers, of the tightest limit of each kind.

        Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
        """
        return rate_headers(self.limit_statuses, requests=1, tokens=self.tokens)


UNLIMITED = Reservation()
"""The reservation of a call without limits."""


class LimitGuard:
    """Admit calls under their limits, and renew the reservations of those in progress in this process.

    Args:
        commands: The store.
        reservation_ttl_s: How long a reservation outlives the process that made it.
        release: Releases the reservation of a call that is cancelled while it is admitted; None: that expires.
    """

    def __init__(
        self,
        commands: RedisCommands,
        *,
        reservation_ttl_s: float = RESERVATION_TTL_S,
        release: Callable[[str], object] | None = None,
    ) -> None:
        self.reservation_ttl_s = reservation_ttl_s
        self._release = release
        self._commands = commands
        self._scripts = governance_scripts()
        self._open: dict[str, float] = {}
        self._renewer: asyncio.Task[None] | None = None

    async def admit(
        self,
        reservation: str,
        limits: Sequence[Limit],
        *,
        cost: int,
        tokens: int,
        least: int | None = None,
        whole: bool = False,
        renewed: bool = True,
        of_job: bool = False,
        clock: str = "",
    ) -> Reservation:
        """Reserve a call's estimate under all its limits, or under none. Without limits: no round trip.

        Args:
            reservation: Unique id; admitting the same one twice reserves once.
            limits: All limits of the call.
            cost: Estimate, micro-USD.
            tokens: Estimate; ``clock``: milliseconds, instead of the store's clock.
            least: Cost in micro-USD down to which the call can be limited to what its budgets have left (then the
                reservation's ``cost``); None: it cannot.
            whole: Whether the whole cost must fit into what its budgets have left.
            renewed: Whether this process keeps it alive until it is ended; otherwise a submit takes it over.
            of_job: Whether a run counts it as a job rather than a call.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited: A limit is spent.
            StoreUnavailable: No answer.
        """
        if not limits:
            return UNLIMITED
        args: list[Argument] = [reservation, round(self.reservation_ttl_s * 1000), cost, tokens, clock]
        args += ("jobs" if of_job else "calls", cost if least is None else least, "1" if whole else "")
        estimated = _add_limits(args, limits)
        try:
            refused, facts, reserved = await self._run_admit(args)
        except asyncio.CancelledError:
            # The script is executed nevertheless. A job's id is left alone: a repeat of its request may hold it.
            if self._release is not None and renewed and not of_job:
                self._release(reservation)
            raise
        limit_statuses = _statuses(limits, facts)
        if refused:
            raise _refused(limit_statuses, int(refused))
        if not estimated:
            return Reservation("", limit_statuses, cost, tokens)
        if renewed:
            self._keep(reservation)
        return Reservation(reservation, limit_statuses, int(reserved), tokens)

    async def _run_admit(self, args: Sequence[Argument]) -> tuple[int, Sequence[int], int]:
        try:
            # Requests alone leave no hold by which a second sending would be recognised.
            refused, facts, reserved = await self._commands.script(self._scripts["admit"], (), args)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: limits cannot be checked. Try again.") from error
        except ResponseError as error:
            raise StoreUnavailable("The store refuses reservations.", refused=True) from error
        return refused, facts, reserved

    async def peek(self, limits: Sequence[Limit]) -> tuple[LimitStatus, ...]:
        """Read the status of limits without charging them.

        Raises:
            StoreUnavailable: No answer.
        """
        args = [word for limit in limits for word in (limit.kind, limit.scope, limit.window, limit.amount)]
        try:
            facts = await self._commands.script(self._scripts["peek"], (), args, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: limits cannot be read. Try again.") from error
        return _statuses(limits, facts)

    def ended(self, reservation: str) -> None:
        """Stop renewing a reservation."""
        self._open.pop(reservation, None)

    async def aclose(self) -> None:
        """Stop renewing; reservations that are still open expire."""
        if self._renewer is not None:
            self._renewer.cancel()
            await asyncio.wait([self._renewer])

    def _keep(self, reservation: str) -> None:
        self._open[reservation] = asyncio.get_running_loop().time()
        if self._renewer is None or self._renewer.done():
            self._renewer = asyncio.create_task(self._renew(), name="finops-holds")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.reservation_ttl_s / RENEWALS)
            if not self._open:
                return
            await self.renew_now()

    async def renew_now(self) -> None:
        """Renew the reservations that are due."""
        old = asyncio.get_running_loop().time() - self.reservation_ttl_s / RENEWALS
        reservations = [reservation for reservation, since in self._open.items() if since <= old]
        for start in range(0, len(reservations), 500):
            some = reservations[start : start + 500]
            with suppress(StoreConnectionError, ResponseError):  # tried again in time
                await self._commands.script(self._scripts["renew"], (), [round(self.reservation_ttl_s * 1000), *some])


def _refused(limit_statuses: tuple[LimitStatus, ...], position: int) -> BudgetExceeded | RequestLimited | TokenLimited:
    """Name the limit that is spent, at its position from 1, with the headers of all."""
    reached = refusal(limit_statuses[position - 1])
    reached.headers = rate_headers(limit_statuses)
    return reached


def _add_limits(args: list[Argument], limits: Sequence[Limit]) -> bool:
    """Append each limit as the script reads it; returns whether one counts what is estimated: cost or tokens."""
    estimated = False
    for limit in limits:
        estimated = estimated or limit.estimated
        args += limit.words
    return estimated


def _statuses(limits: Sequence[Limit], facts: Sequence[int]) -> tuple[LimitStatus, ...]:
    """Read the scripts' replies; the amount that binds may differ from the configured one."""
    each = iter(facts)
    return tuple(
        [
            LimitStatus(limit if amount == limit.amount else replace(limit, amount=amount), used, held, reset_ms)
            for limit, used, held, reset_ms, amount in zip(limits, each, each, each, each, strict=True)
        ]
    )


def rate_headers(limit_statuses: Sequence[LimitStatus], *, requests: int = 0, tokens: int = 0) -> dict[str, str]:
    """OpenAI's rate limit headers; ``requests`` and ``tokens`` were taken since the statuses were read."""
    tightest: dict[str, tuple[int, LimitStatus]] = {}
    for status in limit_statuses:
        header = LIMIT_KINDS[status.limit.kind].header
        if header:
            left = _left(status, requests if status.limit.counts == "requests" else tokens)
            if header not in tightest or left < tightest[header][0]:
                tightest[header] = left, status
    lines: dict[str, str] = {}
    for header in sorted(tightest):
        left, status = tightest[header]
        limit, remaining, reset = _names_of(header)
        lines[limit] = str(status.limit.amount)
        lines[remaining] = str(left)
        lines[reset] = _duration(status.reset_ms)
    return lines


@cache
def _names_of(header: str) -> tuple[str, str, str]:
    return f"x-ratelimit-limit-{header}", f"x-ratelimit-remaining-{header}", f"x-ratelimit-reset-{header}"


def refusal(limit_status: LimitStatus) -> BudgetExceeded | RequestLimited | TokenLimited:
    """The error that a caller gets for a limit that is reached."""
    error = _refusal(limit_status)
    error.limit, error.parks = limit_status.limit.id, limit_status.limit.parks
    error.turns_in_s = limit_status.reset_ms / 1000
    return error


def _refusal(limit_status: LimitStatus) -> BudgetExceeded | RequestLimited | TokenLimited:
    limit = limit_status.limit
    wait_s = max(1, math.ceil(limit_status.reset_ms / 1000))
    name = limit.description[0].upper() + limit.description[1:]
    if limit.is_run:
        return limit.error(
            f"{name} is spent: of {_usd(limit.amount)}, {_usd(limit_status.used)} is used and "
            f"{_usd(limit_status.held)} reserved by calls in progress. A run's budget does not renew itself; "
            "use another run to go on.",
            should_retry=False,
        )
    if limit.is_budget:
        message = (
            f"{name} is spent: of {_usd(limit.amount)}, {_usd(limit_status.used)} is used and "
            f"{_usd(limit_status.held)} reserved by calls in progress; {_usd(_left(limit_status, 0))} is left. "
            f"Raise it, or wait {span(wait_s)}, until {_turns_at(limit_status)}."
        )
        return limit.error(message, should_retry=False)
    message = (
        f"{name} is reached: {limit.amount}, of which {_left(limit_status, 0)} are left until "
        f"{_turns_at(limit_status)}. Try again in {wait_s} s."
    )
    return limit.error(message, retry_after_s=wait_s)


def _turns_at(limit_status: LimitStatus) -> str:
    return rfc3339(now() + timedelta(milliseconds=limit_status.reset_ms))


def _left(limit_status: LimitStatus, taken: int) -> int:
    return max(0, limit_status.limit.amount - limit_status.used - limit_status.held - taken)


def _duration(ms: int) -> str:
    """As OpenAI writes it: ``6m0s``, ``1s``, ``350ms``."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, seconds = divmod(math.ceil(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + f"{seconds}s"


def _usd(micro: int) -> str:
    return f"${micro / MICRO:,.6f}".rstrip("0").rstrip(".")
