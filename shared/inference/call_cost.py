"""Cost of one call, from its reservation to its entry in the ledger."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.cache.entry import CacheEntry
from shared.errors import ClientGone, GatewayError
from shared.governance.ledger.writer import CallOutcome, entry_of, hit_entry, who
from shared.governance.limits.guard import UNLIMITED, Reservation
from shared.governance.limits.model import MICRO
from shared.governance.pricing.prices import NO_COST, UNPRICED, Cost
from shared.governance.pricing.usage import NOTHING_USED, Usage, answer_estimate, choices_of, tier_of, used_by
from shared.inference.billing import Billing
from shared.inference.call import Call, Target
from shared.surfaces.json_edits import with_members
from shared.surfaces.request_types import MODERATIONS


class CallCost:
    """What one call reserves, uses and costs; closed once, however the call ends.

    Args:
        billing: Reserves, prices and books.
        call: The call; a run of a job reserves nothing, because that was done when its job was submitted, and its
            entry is booked together with the job's outcome.

    Attributes:
        entry: The ledger entry, JSON; empty until the call has ended.
        reservation: What is reserved for the call's first target.
        cost: What the call cost; ``UNPRICED`` until it has ended.
        usage: What it used, once it has ended.
        saved: What it would have cost without the cache, micro-USD at list prices; 0: it was not served from it.
        guardrail: Name of the guardrail that denied it; empty: none did.
        counted_late: Whether its stream is read on for the provider's count, which closes it.
    """

    # Of the class, as calls without guardrails are not to pay for them.
    guardrail = ""
    _withheld = False

    def __init__(self, billing: Billing, call: Call) -> None:
        self._billing = billing
        self._call = call
        self._of_job = bool(call.job_id)
        self._started = time.perf_counter()
        self._fallback_ids: list[str] = []
        self.entry = b""
        self.reservation: Reservation = UNLIMITED
        self.provider = ""
        self.model = ""
        self.provider_key = ""
        self.attempts = 0
        self.targets = 0
        self.first_ms = 0
        self.cost: Cost = UNPRICED
        self.usage = Usage()
        self.saved = 0
        self._cache = ""
        self.counted_late = False

    async def open(self, targets: Sequence[Target]) -> None:
        """Reserve what the call may cost; for a run of a job, do nothing.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: See ``Billing.reserve``.
        """
        if not self._of_job:
            self.reservation = await self._billing.reserve(self._call, targets)

    async def open_cached(self, targets: Sequence[Target]) -> None:
        """Count a call that a stored answer serves as a request, where ``open`` was refused; it takes nothing else.

        Raises:
            RequestLimited, StoreUnavailable: See ``Billing.reserve_cached``.
        """
        if not self._of_job:
            self.reservation = await self._billing.reserve_cached(self._call, targets[0])

    async def open_fallback(self, target: Target) -> None:
        """Reserve what the call may cost at a fallback, whose provider or model may have limits of its own.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: See ``Billing.reserve_fallback``.
        """
        reservation = await self._billing.reserve_fallback(self._call, target)
        if reservation.reservation:
            self._fallback_ids.append(reservation.reservation)

    def sent(self, provider: str, model: str, key_name: str) -> None:
        """Note an attempt at a provider's model with one of its keys.

        Raises:
            ClientGone: The caller has left, and nothing is to be sent without it.
        """
        presence = self._call.presence
        if presence is not None and self.reservation.reservation and not self._call.stream:
            presence.reads_on = not presence.left
            if presence.left:
                raise ClientGone("The caller hung up before another attempt.")
        if (provider, model) != (self.provider, self.model):
            self.targets += 1
        self.provider, self.model, self.provider_key = provider, model, key_name
        self.attempts += 1

    def began(self) -> None:
        """Note that the first bytes of a stream have arrived."""
        self.first_ms = self._elapsed_ms()

    def headers(self) -> dict[str, str]:
        """Return the response headers: the cost, if it is known, and what is left of the caller's limits."""
        lines = self.reservation.headers() if self.reservation.limit_statuses else {}
        if self.cost.priced:
            lines["x-bf-cost-usd"] = f"{self.cost.micro_usd / MICRO:.6f}"
        if self._cache:
            lines["x-bf-saved-usd"] = f"{self.saved / MICRO:.6f}"
        return lines

    def costs(self) -> dict[str, int | str]:
        """Return the part of a job's record: its lane, and its cost once the call has ended and if it is known."""
        lane: dict[str, int | str] = {"lane": self._call.lane} if self._call.lane else {}
        return {**lane, "cost_micro_usd": self.cost.micro_usd} if self.entry and self.cost.priced else lane

    def answered(self, reported: Mapping[str, Any], status: int, body: bytes) -> bytes:
        """Close a call that was answered completely.

        Args:
            reported: The provider's usage, empty if it reported none: it is then estimated from the body.
            status: HTTP status of the answer.
            body: The answer.

        Returns:
            The ledger entry.
        """
        call = self._call
        usage, estimated = self._used(reported, body)
        content = self._billing.content(call, body)
        code = ""
        if call.presence is not None and call.presence.left:
            status, code = ClientGone.status, ClientGone.code or ""
        return self._close(usage, status, code, estimated=estimated, content=content, tier=_tier(reported))

    def withheld(self, error: BaseException, reported: Mapping[str, Any], body: bytes) -> bytes:
        """Close a call that was answered completely and whose caller does not get the answer: it is booked at its cost.

        Args:
            error: What the caller gets instead, or why it gets nothing.
            reported: The provider's usage, empty if it reported none.
            body: The answer, which is not kept.

        Returns:
            The ledger entry.
        """
        usage, estimated = self._used(reported, body)
        self._withheld = True
        status, code = self._end_of(error)
        return self._close(usage, status, code, estimated=estimated, tier=_tier(reported))

    def _used(self, reported: Mapping[str, Any], body: bytes) -> tuple[Usage, bool]:
        """Return what an answer used, and whether that is an estimate from its body."""
        call = self._call
        usage = used_by(call.request_type, call.fields, reported)
        if usage.empty and call.request_type is not MODERATIONS:
            return answer_estimate(call.request_type, call.fields, call.body, body), True
        return usage, False

    def _end_of(self, error: BaseException) -> tuple[int, str]:
        """Return status and code of a call's end, and note the guardrail that denied it."""
        self.guardrail = getattr(error, "guardrail", "")
        return _status_and_code(error)

    def from_cache(self, answer: CacheEntry) -> bytes:
        """Close a call that a stored answer served: it costs nothing and uses no tokens.

        Args:
            answer: The stored answer.

        Returns:
            The ledger entry, with what the call would have cost at list prices as ``saved``.
        """
        call, billing = self._call, self._billing
        self.provider, self.model, self._cache = answer.provider, answer.model, "hit"
        price = answer.list_micro_usd
        self.saved = self._list_price(answer) if price is None else price
        content = billing.content(call, answer.body)
        if self._of_job or self.attempts or content is not None:
            return self._close(NOTHING_USED, 200, "", cost=NO_COST, content=content)
        self.cost = NO_COST
        self.entry = hit_entry(
            who(call.caller, call.dimensions, call.run),
            {
                "type": call.request_type.name,
                "surface": call.surface,
                "asked": call.model,
                "provider": answer.provider,
                "model": answer.model,
                "request_id": call.request_id,
                "latency_ms": self._elapsed_ms(),
            },
            self.saved,
            billing.scopes(answer.provider, answer.model),
        )
        billing.settle(self.reservation.reservation, self.entry, self._fallback_ids, of_job=False)
        return self.entry

    def _list_price(self, answer: CacheEntry) -> int:
        """Return what the call would have cost at list prices, micro-USD, where the entry does not say; 0: no price."""
        usage, _ = self._used(answer.usage, answer.body)
        cost = self._billing.cost(answer.provider, answer.model, usage, self._call, _tier(answer.usage))
        return cost.list_micro_usd if cost.priced else 0

    def streamed(self, reported: Mapping[str, Any], events: int, error: BaseException | None = None) -> bytes:
        """Close a call whose stream ended, was cut, or was given up by the caller.

        Args:
            reported: The provider's usage, empty if it never arrived: the events are then counted as output tokens,
                unless the caller has left: it may not have seen what it used, so what it reserved is charged.
            events: Number of events that arrived.
            error: Why it did not end well.

        Returns:
            The ledger entry.
        """
        call = self._call
        usage, estimated = used_by(call.request_type, call.fields, reported), False
        if usage.empty or (error is not None and usage.output < events):
            # Counted up to its beginning, as Anthropic's streams are, or not at all.
            estimated, most = True, self._most()
            output = most.output if self.reservation.reservation and _left(error) else events
            usage = Usage(input=most.input, output=output) if usage.empty else usage._replace(output=output)
        status, code = _status_and_code(error)
        return self._close(usage, status, code, estimated=estimated, tier=_tier(reported))

    def failed(self, error: BaseException) -> bytes:
        """Close a call without an answer; one that its caller cut off at a provider is charged what it reserved.

        Without a reservation it is charged its prompt; if its last attempt had failed when its caller left, nothing.

        Returns:
            The ledger entry.
        """
        if self.counted_late or self._withheld:
            return self.entry
        status, code = self._end_of(error)
        presence = self._call.presence
        between = presence is not None and presence.left and not presence.reads_on
        if status == ClientGone.status and self.attempts and not between:
            most = self._most()
            output = most.output if self.reservation.reservation else 0
            return self._close(Usage(input=most.input, output=output), status, code, estimated=True)
        return self._close(Usage(), status, code)

    def abandon(self) -> None:
        """Give back what a run reserved at fallbacks, if another run goes on with its job; else do nothing."""
        if not self.entry:
            ids, self._fallback_ids = self._fallback_ids, []
            self._billing.abandon(ids)

    def forwarded(self, status: int, cost: Cost) -> bytes:
        """Close a call that was passed on unread.

        Returns:
            The ledger entry.
        """
        return self._close(Usage(), status, "", cost=cost)

    def _close(
        self,
        usage: Usage,
        status: int,
        code: str,
        *,
        estimated: bool = False,
        content: Mapping[str, Any] | None = None,
        cost: Cost | None = None,
        tier: str | None = None,
    ) -> bytes:
        """Book the call, once; a run of a job is booked with the job's outcome instead."""
        call = self._call
        if cost is None:
            nothing = usage.empty and status >= 400
            cost = UNPRICED if nothing else self._billing.cost(self.provider, self.model, usage, call, tier)
        self.cost, self.usage = cost, usage
        outcome = self._outcome()
        outcome.estimated, outcome.status, outcome.code, outcome.content = estimated, status, code, content
        if call.due is not None:
            outcome.on_time = status < 400 and asyncio.get_running_loop().time() <= call.due
        entry = entry_of(outcome)
        if self.guardrail:
            entry = with_members(entry, {"guardrail": orjson.dumps(self.guardrail)})
        if not self.entry:
            self.entry = entry
            self._report_spend(usage, status)
            self._billing.settle(self.reservation.reservation, entry, self._fallback_ids, of_job=self._of_job)
        return self.entry

    def _outcome(self) -> CallOutcome:
        """Return what the entry says of the call itself; 25 named arguments would be packed and unpacked."""
        call = self._call
        outcome = CallOutcome(caller=call.caller, request_type=call.request_type.name)
        outcome.surface, outcome.asked, outcome.request_id = call.surface, call.model, call.request_id
        outcome.provider, outcome.provider_key, outcome.model = self.provider, self.provider_key, self.model
        outcome.usage, outcome.cost, outcome.cache, outcome.saved = self.usage, self.cost, self._cache, self.saved
        outcome.latency_ms, outcome.first_ms = self._elapsed_ms(), self.first_ms
        outcome.attempts, outcome.fallbacks = self.attempts, max(0, self.targets - 1)
        outcome.job_id, outcome.lane = call.job_id, call.lane
        outcome.dimensions, outcome.run = call.dimensions, call.run
        outcome.scopes = self._billing.scopes(self.provider, self.model)
        return outcome

    def _report_spend(self, usage: Usage, status: int) -> None:
        if self._cache or (usage.empty and status >= 400):
            return
        micro_usd = self.cost.micro_usd if self.cost.priced else None
        tokens = (usage.input, usage.output, usage.cached)
        self._billing.watch.spent(self._call.caller.team, self.provider, self.model, micro_usd, tokens)

    def _most(self) -> Usage:
        """Return the most that the call may have used at its last target, as it was reserved."""
        reserved = self.reservation
        most = self._call.upper_estimate(self._billing.prices.size(self.provider, self.model))
        if reserved.output is not None:
            return most._replace(output=min(most.output, reserved.output * choices_of(self._call.fields)))
        if reserved.reservation and not reserved.cost:  # only tokens are limited, and usual answers held
            return most._replace(output=max(0, min(most.output, reserved.tokens - most.input)))
        return most

    def _elapsed_ms(self) -> int:
        return round((time.perf_counter() - self._started) * 1000)


def _left(error: BaseException | None) -> bool:
    """Whether a call's end means that its caller went away."""
    return error is not None and _status_and_code(error)[0] == ClientGone.status


def _tier(reported: Mapping[str, Any]) -> str | None:
    """Return the service tier that the answer names and that has a price of its own; None: it names none."""
    return tier_of(reported) if isinstance(reported.get("service_tier"), str) else None


def _status_and_code(error: BaseException | None) -> tuple[int, str]:
    """Return status and code of a call's end; a bare ``BaseException`` (a cancellation) means the caller went away."""
    if error is None:
        return 200, ""
    if isinstance(error, GatewayError):
        return error.status, error.code or error.type
    return (500, "internal_error") if isinstance(error, Exception) else (ClientGone.status, ClientGone.code or "")
