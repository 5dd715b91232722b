"""Who pays for calls: reserves before them, books after them."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from shared.errors import GatewayError
from shared.governance.keys.caller import Caller
from shared.governance.ledger.writer import Ledger, Redaction
from shared.governance.limits.guard import UNLIMITED, LimitGuard, Reservation
from shared.governance.limits.model import Limit, limits_of
from shared.governance.pricing.prices import MILLION, Cost, PriceBook
from shared.governance.pricing.usage import Usage, upper_estimate
from shared.inference.call import Call
from shared.inference.call_cost import CallCost
from shared.inference.route import Target
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.telemetry.upstream import UNWATCHED, SpendWatch

_TIERS = frozenset({"flex", "priority", "fast"})


class Billing:
    """Opens bills and closes them.

    Args:
        settings: Prices, and the limits of providers and models.
        commands: The store.
        watch: Told what calls cost.
        price_sources: Provider to where its prices are published (``PriceBook``).
    """

    def __init__(
        self,
        settings: Settings,
        commands: RedisCommands,
        watch: SpendWatch = UNWATCHED,
        price_sources: Mapping[str, str] | None = None,
    ) -> None:
        self.guard = LimitGuard(commands, reservation_ttl_s=settings.ledger.reservation_s)
        self.ledger = Ledger(commands, settings.ledger)
        self.prices = PriceBook(settings.prices, price_sources)
        self.watch = watch
        self._redaction = Redaction(settings.log.redact) if settings.log.content else None
        self._providers = {
            name: limits for name, said in settings.providers.items() if (limits := limits_of(f"provider:{name}", said))
        }
        self._models = [
            (pattern, limits)
            for pattern, said in settings.models.items()
            if (limits := limits_of(f"model:{pattern}", said))
        ]
        self._has_own = bool(self._providers or self._models)

    async def admit(self, call: Call, targets: Sequence[Target]) -> Reservation:
        """Reserve what a call may cost: one round trip if any limit binds it, none otherwise.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: As ``LimitGuard.admit``.
        """
        limits = (*call.caller.limits, *self.limits_of(targets[0]))
        return await self._admit(uuid.uuid4().hex, limits, call, targets) if limits else UNLIMITED

    async def reserve(self, job_id: str, call: Call, targets: Sequence[Target]) -> Reservation:
        """Reserve what a job may cost: until it ends if it is submitted under that id, else for a short while.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: As ``LimitGuard.admit``.
        """
        limits = (*call.caller.limits, *self.limits_of(targets[0]))
        estimate = self._estimate(call, targets[0])
        if not limits:
            return Reservation(estimate=estimate)
        try:
            admission = await self._admit(job_id, limits, call, targets, renewed=False)
        except GatewayError as error:
            CallCost(self, call).failed(error)  # booked, as the refusal of a caller that waits is
            raise
        return replace(admission, estimate=estimate)

    async def enter(self, call: Call, target: Target) -> Reservation:
        """Reserve at a fallback, whose provider or model may have limits of its own.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: As ``LimitGuard.admit``.
        """
        limits = self.limits_of(target)
        return await self._admit(uuid.uuid4().hex, limits, call, (target,)) if limits else UNLIMITED

    async def admit_forwarded(self, caller: Caller, provider: str) -> Reservation:
        """Let a request pass that is forwarded unread: it counts, and a spent budget refuses it; its cost is unknown.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: As ``LimitGuard.admit``.
        """
        limits = (*caller.limits, *self._providers.get(provider, ()))
        return await self.guard.admit(uuid.uuid4().hex, limits, cost=0, tokens=0)

    def limits_of(self, target: Target) -> tuple[Limit, ...]:
        """The limits of a target's provider and model."""
        if not self._has_own:
            return ()
        own = self._providers.get(target.provider.name, ())
        return (*own, *(limit for pattern, more in self._models if fnmatchcase(target.name, pattern) for limit in more))

    def scopes(self, provider: str, model: str) -> tuple[str, ...] | None:
        """The meters of providers and models that concern who answered; None: there are no such limits."""
        if not self._has_own:
            return None
        name = f"{provider}/{model}"
        patterns = [f"model:{pattern}" for pattern, _ in self._models if fnmatchcase(name, pattern)]
        return (f"provider:{provider}", *patterns)

    def cost(self, provider: str, model: str, usage: Usage, call: Call) -> Cost:
        """What a use cost."""
        return self.prices.cost(provider, model, usage, variant=_tier(call))

    def price(self, provider: str, model: str) -> float | None:
        """What routes by cost compare: a prompt of four tokens and an answer of one; None: unknown."""
        price = self.prices.price(provider, model)
        return None if price is None else float(4 * price.rates.get("input", 0) + price.rates.get("output", 0))

    def content(self, call: Call, answer: bytes) -> dict[str, Any] | None:
        """Request and answer for the ledger, redacted, if that is configured."""
        if self._redaction is None:
            return None
        return {"request": self._redaction.body(call.body), "answer": self._redaction.body(answer)}

    def closed(self, call_cost: CallCost, entry: bytes, extra: Sequence[str]) -> None:
        """Book a bill; a job's entry is booked with its outcome instead."""
        for reservation in extra:
            self.guard.ended(reservation)
            self.ledger.settle_also(reservation, entry)
        self.guard.ended(call_cost.admission.reservation)
        if not call_cost.of_job:
            self.ledger.book(entry, call_cost.admission.reservation)

    def abandon(self, extra: Sequence[str]) -> None:
        """Give back what a run reserved at fallbacks that ended without a bill: put off, stopped, or overtaken."""
        for reservation in extra:
            self.guard.ended(reservation)
            self.ledger.release(reservation)

    def start(self) -> None:
        """Tell the store how the books are kept, in a running event loop."""
        self.ledger.start()

    async def aclose(self) -> None:
        """Book what waits."""
        await self.ledger.aclose()
        await self.guard.aclose()

    def _estimate(self, call: Call, target: Target) -> dict[str, Any]:
        """Where a job is to run, what its prompt costs, and its output's rates in micro-USD per million tokens."""
        provider, model = target.provider.name, target.model
        prompt = Usage(input=upper_estimate(call.request_type, call.fields, call.body).input)
        cost = self.cost(provider, model, prompt, call)
        said: dict[str, Any] = {"provider": provider, "model": model, "input": prompt.input, "priced": cost.priced}
        answered = self.cost(provider, model, prompt._replace(output=MILLION), call)
        if cost.priced:
            said |= {"cost": cost.micro_usd, "list": cost.list_micro_usd}
        if answered.priced:
            said["output_rate"] = answered.micro_usd - cost.micro_usd
            said["output_list_rate"] = answered.list_micro_usd - cost.list_micro_usd
        return said

    async def _admit(
        self, reservation: str, limits: Sequence[Limit], call: Call, targets: Sequence[Target], *, renewed: bool = True
    ) -> Reservation:
        cost = tokens = 0
        if any(limit.estimated for limit in limits):
            usage = upper_estimate(call.request_type, call.fields, call.body)
            tokens = usage.tokens
            variant = _tier(call)
            cost = max(
                self.prices.estimate(target.provider.name, target.model, usage, variant=variant).micro_usd
                for target in targets
            )
        return await self.guard.admit(reservation, limits, cost=cost, tokens=tokens, renewed=renewed)


def _tier(call: Call) -> str:
    said = call.fields.get("service_tier")
    return said if isinstance(said, str) and said in _TIERS else ""
