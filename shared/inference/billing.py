"""Billing of calls: reservations before them, ledger entries after them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from shared.errors import BudgetExceeded, PriceUnknown, RequestLimited, TokenLimited
from shared.governance.ledger.followed_batches import FollowedBatches
from shared.governance.ledger.writer import Ledger, Redaction
from shared.governance.limits.each import EachLimits
from shared.governance.limits.guard import UNLIMITED, LimitGuard, Reservation
from shared.governance.limits.model import Limit, limits_of
from shared.governance.pricing.prices import NO_COST, UNPRICED, Cost, PriceBook
from shared.governance.pricing.published import MILLION
from shared.governance.pricing.stored import PriceRefresh, PriceStore
from shared.governance.pricing.usage import (
    NOTHING_USED,
    Usage,
    choices_of,
    hosted_tools,
    output_tokens_held,
    seconds_of,
    tier_of,
)
from shared.inference.call import Call, Target
from shared.inference.output_limits import CostBounds, can_limit_output
from shared.inference.unpriced import refuse_unpriced, unknown_price
from shared.jobs.parked import ParkedJobs
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.telemetry.upstream import UNWATCHED, SpendWatch


class Billing:
    """Reserves what calls may cost, prices what they used, and books it.

    Args:
        settings: Prices, and the limits of providers and models.
        commands: The store.
        watch: Notified of what calls cost.
        price_sources: Provider to where its prices are published (``PriceBook``).
    """

    def __init__(
        self,
        settings: Settings,
        commands: RedisCommands,
        watch: SpendWatch = UNWATCHED,
        price_sources: Mapping[str, str] | None = None,
    ) -> None:
        self.ledger = Ledger(commands, settings.ledger)
        ttl_s = settings.ledger.reservation_s
        self.guard = LimitGuard(commands, reservation_ttl_s=ttl_s, release=self.ledger.release)
        self.followed = FollowedBatches(commands, rescue=settings.batches.rescue)
        self.prices = PriceBook(settings.prices, price_sources)
        self.price_refresh = PriceRefresh(PriceStore(commands), self.prices)
        self.watch = watch
        self.parked = ParkedJobs(commands)
        self._redaction = Redaction(settings.log.redact) if settings.log.content else None
        self._providers = {
            name: limits
            for name, provider in settings.providers.items()
            if (limits := limits_of(f"provider:{name}", provider))
        }
        self._models = [
            (pattern, limits)
            for pattern, model in settings.models.items()
            if (limits := limits_of(f"model:{pattern}", model))
        ]
        self._each = EachLimits(settings.limits) if settings.limits else None
        self._allows_unpriced = settings.ledger.unpriced == "allow"
        self._has_own = bool(self._providers or self._models)

    async def reserve(self, call: Call, targets: Sequence[Target]) -> Reservation:
        """Reserve what a call may cost: one round trip if any limit binds it, none otherwise.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: See ``LimitGuard.admit``.
        """
        limits = self._limits(call, targets[0])
        return await self._reserve(new_reservation(), limits, call, targets) if limits else UNLIMITED

    async def reserve_cached(self, call: Call, target: Target) -> Reservation:
        """Count a call that a stored answer serves under its limits of requests; no other limit binds it.

        Raises:
            RequestLimited, StoreUnavailable: See ``LimitGuard.admit``.
        """
        limits = tuple(limit for limit in self._limits(call, target) if not limit.estimated)
        return await self.guard.admit(new_reservation(), limits, cost=0, tokens=0)

    async def reserve_job(self, job_id: str, call: Call, targets: Sequence[Target]) -> Reservation:
        """Reserve what a job may cost: until it ends if it is submitted under that id, else for a short while.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: See ``LimitGuard.admit``.
        """
        limits = self._limits(call, targets[0])
        estimate = self._estimate(call, targets[0])
        if not limits:
            return Reservation(estimate=estimate)
        reservation = await self._reserve(job_id, limits, call, targets, of_job=True)
        return replace(reservation, estimate=estimate)

    async def reserve_parked(self, call: Call, targets: Sequence[Target]) -> Reservation:
        """Reserve what a job may cost that has waited for room without a reservation; renewed until it is ended.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: See ``LimitGuard.admit``.
        """
        limits = self._limits(call, targets[0])
        try:
            reservation = await self._reserve(call.job_id, limits, call, targets, of_job=True, renewed=True)
        except (BudgetExceeded, RequestLimited, TokenLimited) as error:
            if error.parks:
                await self.parked.add(call.job_id, error.limit)
            raise
        await self.parked.remove(call.job_id)
        return reservation

    def estimate_of_job(self, call: Call, target: Target) -> Mapping[str, Any]:
        """Return what a job's record keeps to charge a run that its caller ends."""
        return self._estimate(call, target)

    async def reserve_fallback(self, call: Call, target: Target) -> Reservation:
        """Reserve what a call may cost at a fallback, whose provider or model may have limits of its own.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: See ``LimitGuard.admit``.
        """
        limits = self.limits_of(target)
        self._check_price(call, target, self._limits(call, target))
        return await self._reserve(new_reservation(), limits, call, (target,)) if limits else UNLIMITED

    async def check_forwarded(
        self, call: Call, provider: str, *, reads: bool = False, cost: Cost = NO_COST
    ) -> Reservation:
        """Check the limits of a request that is forwarded unread: it counts as a request.

        Args:
            call: The request.
            provider: Its provider.
            reads: Whether it makes nothing that could cost: only limits of requests bind it.
            cost: What it costs, which is reserved.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: See ``LimitGuard.admit``.
            PriceUnknown: A budget binds it and its price is not known.
        """
        limits = (*call.caller.limits, *self._providers.get(provider, ()), *self._own_limits(call))
        if reads:
            limits = tuple(limit for limit in limits if not limit.estimated)
        self._check_forwarded_price(call, limits, cost)
        reservation = new_reservation()
        admitted = await self.guard.admit(reservation, limits, cost=cost.micro_usd, tokens=0)
        try:
            self._check_forwarded_price(call, [status.limit for status in admitted.limit_statuses], cost)
        except PriceUnknown:
            self._give_up(reservation)
            raise
        return admitted

    def _check_forwarded_price(self, call: Call, limits: Sequence[Limit], cost: Cost) -> None:
        budget = next((limit for limit in limits if limit.is_budget and limit.amount >= 0), None)
        if budget is not None and not cost.priced and not self._allows_unpriced:
            raise refuse_unpriced(budget, call.model, "request = 0.10")

    def forwarded_cost(self, provider: str, path: str, fields: Mapping[str, Any]) -> Cost:
        """Return what a forwarded request costs; ``UNPRICED`` unless the configuration says.

        A price ``request`` of ``provider/path`` applies to the path, and of ``provider/videos`` one of ``second`` too,
        which may also stand at the video's model.

        Args:
            provider: Its provider.
            path: Below the provider's base URL, without query.
            fields: Of its body.
        """
        usage = Usage()
        names = [path.strip("/")]
        if names == ["videos"]:
            usage = Usage(milliseconds=seconds_of(fields) * 1000)
            names.append(str(fields.get("model") or "sora-2"))
        for name in names:
            price = self.prices.price(provider, name)
            if price is None or price.source == "published":
                continue
            if price.covers(usage):
                return price.cost(usage)
            if price.covers(Usage()):
                return price.cost(Usage())
        return UNPRICED

    def limits_of_batch(self, call: Call, provider: str) -> tuple[Limit, ...]:
        """Return the limits of a provider's batch, but for those of its lines' models."""
        return (*call.caller.limits, *self._providers.get(provider, ()), *self._own_limits(call))

    @property
    def limits_models(self) -> bool:
        """Whether any model has limits of its own."""
        return bool(self._models)

    def line_of_batch(self, call: Call, target: Target, limits: Sequence[Limit]) -> tuple[int, int]:
        """Return the most that a line of a provider's batch can cost, micro-USD at batch rates, and its tokens.

        Raises:
            PriceUnknown: A budget binds it, and it has no price.
        """
        self._check_price(call, target, limits)
        provider, model = target.provider.name, target.model
        usage = call.upper_estimate(self.prices.size(provider, model))
        cost = self.prices.estimate(provider, model, usage, variant="batch").micro_usd
        return cost, output_tokens_held(call.fields, usage)

    def _limits(self, call: Call, target: Target) -> tuple[Limit, ...]:
        """Return every limit of a call at its first target."""
        if self._each is None and not self._has_own:
            run = call.run
            return call.caller.limits if run is None else (*call.caller.limits, run.limit(call.caller.run_owner))
        return (*call.caller.limits, *self.limits_of(target), *self._own_limits(call))

    def _own_limits(self, call: Call) -> tuple[Limit, ...]:
        """Return the limits that a call brings with it: of its dimensions and end user, and of its run."""
        caller = call.caller
        found = self._each.of(caller.dimensions, call.dimensions, call.fields) if self._each is not None else ()
        return found if call.run is None else (*found, call.run.limit(caller.run_owner))

    def limits_of(self, target: Target) -> tuple[Limit, ...]:
        """Return the limits of a target's provider and model."""
        if not self._has_own:
            return ()
        own = self._providers.get(target.provider.name, ())
        return (*own, *(limit for pattern, more in self._models if _matches(target.name, pattern) for limit in more))

    def scopes(self, provider: str, model: str) -> tuple[str, ...] | None:
        """Return the meters of an answer's provider and model; None if no provider or model has limits."""
        if not self._has_own:
            return None
        name = f"{provider}/{model}"
        patterns = [f"model:{pattern}" for pattern, _ in self._models if _matches(name, pattern)]
        return (f"provider:{provider}", *patterns)

    def cost(self, provider: str, model: str, usage: Usage, call: Call, tier: str | None = None) -> Cost:
        """Price what a call used, at the service tier that the answer names, else at the requested one."""
        return self.prices.cost(provider, model, usage, variant=tier_of(call.fields) if tier is None else tier)

    def expected_cost(self, call: Call, target: Target, variant: str = "") -> Cost:
        """Return what a call is expected to cost: with the answer that it limits, else one of usual length.

        Args:
            call: The call.
            target: The provider and its model.
            variant: ``batch``, or a service tier.
        """
        provider, model = target.provider.name, target.model
        most = call.upper_estimate(self.prices.size(provider, model))
        usage = most._replace(output=output_tokens_held(call.fields, most) - most.input)
        return self.prices.cost(provider, model, usage, variant=variant)

    def price(self, provider: str, model: str) -> float | None:
        """Return what ``least_cost`` routes compare: four prompt tokens and one output token; None if unknown."""
        price = self.prices.price(provider, model)
        return None if price is None else float(4 * price.rates.get("input", 0) + price.rates.get("output", 0))

    def content(self, call: Call, answer: bytes) -> dict[str, Any] | None:
        """Return request and answer for the ledger, redacted; None unless ``log.content`` is set."""
        if self._redaction is None:
            return None
        return {"request": self._redaction.body(call.body), "answer": self._redaction.body(answer)}

    def settle(self, reservation: str, entry: bytes, fallbacks: Sequence[str], *, of_job: bool) -> None:
        """Book a call's entry and release its reservations; a job's entry is booked with its outcome instead.

        Args:
            reservation: Id of the call's reservation, or empty.
            entry: The ledger entry, JSON.
            fallbacks: Ids of what was reserved at fallbacks.
            of_job: Whether the call was a run of a job.
        """
        for fallback in fallbacks:
            self.guard.ended(fallback)
            self.ledger.settle_also(fallback, entry)
        self.guard.ended(reservation)
        if not of_job:
            self.ledger.book(entry, reservation)

    def abandon(self, fallbacks: Sequence[str]) -> None:
        """Give back what a run reserved at fallbacks when it ends without an entry: deferred, stopped or overtaken."""
        for reservation in fallbacks:
            self.guard.ended(reservation)
            self.ledger.release(reservation)

    def start(self) -> None:
        """Configure the ledger in the store, and follow its price data; needs a running event loop."""
        self.ledger.start()
        self.price_refresh.start()

    async def aclose(self) -> None:
        """Write the pending ledger entries."""
        await self.price_refresh.aclose()
        await self.ledger.aclose()
        await self.guard.aclose()

    def _estimate(self, call: Call, target: Target) -> dict[str, Any]:
        """Return a job's target, the cost of its prompt, its most output, and that's rates in micro-USD per million."""
        provider, model = target.provider.name, target.model
        most = call.upper_estimate(self.prices.size(provider, model))
        prompt = Usage(input=most.input)
        cost = self.cost(provider, model, prompt, call)
        estimate: dict[str, Any] = {"provider": provider, "model": model, "input": prompt.input, "priced": cost.priced}
        if most.output:
            estimate["output"] = most.output
        answered = self.cost(provider, model, prompt._replace(output=MILLION), call)
        if cost.priced:
            estimate |= {"cost": cost.micro_usd, "list": cost.list_micro_usd}
        if answered.priced:
            estimate["output_rate"] = answered.micro_usd - cost.micro_usd
            estimate["output_list_rate"] = answered.list_micro_usd - cost.list_micro_usd
        return estimate

    async def _reserve(
        self,
        reservation: str,
        limits: Sequence[Limit],
        call: Call,
        targets: Sequence[Target],
        *,
        of_job: bool = False,
        renewed: bool | None = None,
    ) -> Reservation:
        renewed = not of_job if renewed is None else renewed
        if not any(limit.estimated for limit in limits):
            return await self.guard.admit(reservation, limits, cost=0, tokens=0, renewed=renewed, of_job=of_job)
        checked = self._check_price(call, targets[0], limits)
        most = self._bounds(call, targets[0])
        for target in targets[1:]:
            most = max(most, self._bounds(call, target), key=lambda bounds: bounds.cost)
        admitted = await self.guard.admit(
            reservation, limits, cost=most.cost, tokens=most.tokens, least=None if of_job else most.least,
            renewed=renewed, of_job=of_job,
        )  # fmt: skip
        if call.run is not None and not checked:  # a cap that this request does not name is known to the store alone
            found = [status.limit for status in admitted.limit_statuses if status.limit.is_run]
            try:
                self._check_price(call, targets[0], found)
            except PriceUnknown:
                self._give_up(reservation)
                raise
        if admitted.cost < most.cost:
            admitted.output = most.output_for(admitted.cost)
        return admitted

    def _give_up(self, reservation: str) -> None:
        self.guard.ended(reservation)
        self.ledger.release(reservation)

    def _bounds(self, call: Call, target: Target) -> CostBounds:
        provider, model = target.provider.name, target.model
        usage = call.upper_estimate(self.prices.size(provider, model))
        variant = tier_of(call.fields)
        cost = self.prices.estimate(provider, model, usage, variant=variant).micro_usd
        tokens = output_tokens_held(call.fields, usage)
        if not can_limit_output(call):
            return CostBounds(cost, tokens)
        unanswered = Usage(usage.input, 0, *usage[2:])
        prompt = self.prices.estimate(provider, model, unanswered, variant=variant).micro_usd
        return CostBounds(cost, tokens, prompt, usage.output, choices_of(call.fields))

    def _check_price(self, call: Call, target: Target, limits: Sequence[Limit]) -> bool:
        """Refuse a call under a budget whose price is not known; return whether there is a budget.

        Raises:
            PriceUnknown: It could use something that has no price.
        """
        budget = next((limit for limit in limits if limit.is_budget and limit.amount >= 0), None)
        if budget is None or self._allows_unpriced:
            return budget is not None
        provider, model = target.provider.name, target.model
        price = self.prices.price(provider, model, variant=tier_of(call.fields))
        tools = hosted_tools(call.fields)
        estimate = Usage(**tools) if tools else NOTHING_USED
        missing = None if price is None else price.lacks(call.request_type.usage, estimate)
        if missing is None or missing:
            raise unknown_price(budget, f"{provider}/{model}", call.request_type.usage, missing or ())
        return True


def new_reservation() -> str:
    """Return a unique id; 1.3 us less than ``uuid4`` takes."""
    return os.urandom(16).hex()


def _matches(name: str, pattern: str) -> bool:
    """Whether a model's name matches, in any case: some providers route case-insensitively."""
    return fnmatchcase(name.lower(), pattern.lower())
