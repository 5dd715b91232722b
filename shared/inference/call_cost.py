"""One call on its way through the books: what it reserved, what it used, what it cost."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import ClientGone, GatewayError
from shared.governance.ledger.writer import CallOutcome, entry_of
from shared.governance.limits.guard import UNLIMITED, Reservation
from shared.governance.limits.model import MICRO
from shared.governance.pricing.prices import UNPRICED, Cost
from shared.governance.pricing.usage import Usage, answer_estimate, upper_estimate, used_by
from shared.surfaces.request_types import MODERATIONS

if TYPE_CHECKING:
    from shared.inference.billing import Billing
    from shared.inference.call import Call
    from shared.inference.route import Target

FREE_OF_CHARGE = Cost(0)


class CallCost:
    """What a call owes.

    Args:
        accounts: Where it is booked.
        call: Whose.
    """

    def __init__(self, billing: "Billing", call: "Call") -> None:
        self._billing = billing
        self._call = call
        self._started = time.perf_counter()
        self._extra: list[str] = []
        self.entry = b""
        self.of_job = bool(call.job_id)
        self.admission: Reservation = UNLIMITED
        self.provider = ""
        self.model = ""
        self.provider_key = ""
        self.attempts = 0
        self.targets = 0
        self.first_ms = 0
        self.cost: Cost = UNPRICED

    async def admit(self, targets: "Sequence[Target]") -> None:
        """Reserve what the call may cost, unless that was done when its job was submitted.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: As ``LimitGuard.admit``.
        """
        if not self.of_job:
            self.admission = await self._billing.admit(self._call, targets)

    async def enter(self, target: "Target") -> None:
        """Go to a fallback, whose provider or model may have limits of its own.

        Raises:
            BudgetExceeded, RequestLimited, TokenLimited, StoreUnavailable: As ``LimitGuard.admit``.
        """
        reservation = (await self._billing.enter(self._call, target)).reservation
        if reservation:
            self._extra.append(reservation)

    def sent(self, provider: str, model: str, key_name: str) -> None:
        """An attempt is made there."""
        if (provider, model) != (self.provider, self.model):
            self.targets += 1
        self.provider, self.model, self.provider_key = provider, model, key_name
        self.attempts += 1

    def began(self) -> None:
        """The first bytes of a stream are there."""
        self.first_ms = self._elapsed_ms()

    def headers(self) -> dict[str, str]:
        """What an answer tells of it: its cost, if that is known, and what is left of the caller's limits."""
        lines = self.admission.headers() if self.admission.limit_statuses else {}
        if self.cost.priced:
            lines["x-bf-cost-usd"] = f"{self.cost.micro_usd / MICRO:.6f}"
        return lines

    def costs(self) -> dict[str, int]:
        """What a job's record keeps of it, once it is closed: its cost, if that is known."""
        return {"cost_micro_usd": self.cost.micro_usd} if self.entry and self.cost.priced else {}

    def answered(self, said: Mapping[str, Any], status: int, body: bytes) -> bytes:
        """The call ended well; its entry."""
        usage, estimated = used_by(self._call.request_type, self._call.fields, said), False
        if usage.empty and self._call.request_type is not MODERATIONS:
            usage, estimated = answer_estimate(self._call.request_type, self._call.fields, self._call.body, body), True
        content = self._billing.content(self._call, body)
        return self._close(usage, status, "", estimated=estimated, content=content)

    def streamed(self, said: Mapping[str, Any], events: int, error: BaseException | None = None) -> bytes:
        """A stream ended, or was given up or cut.

        Args:
            said: The provider's count, empty if it never came: then the events that came are counted for it.
            events: How many came.
            error: Why it did not end well.
        """
        usage, estimated = used_by(self._call.request_type, self._call.fields, said), False
        if usage.empty:
            usage, estimated = Usage(input=self._estimate().input, output=events), True
        elif error is not None and usage.output < events:  # counted up to its beginning, as Anthropic's streams are
            usage, estimated = usage._replace(output=events), True
        status, code = _fault(error)
        return self._close(usage, status, code, estimated=estimated)

    def failed(self, error: BaseException) -> bytes:
        """The call ended without an answer. One that was cut off while its provider worked is charged its prompt."""
        status, code = _fault(error)
        if status == ClientGone.status and self.attempts:
            return self._close(Usage(input=self._estimate().input), status, code, estimated=True)
        return self._close(Usage(), status, code)

    def abandon(self) -> None:
        """A run of a job has left it to another one; harmless on a bill that is closed."""
        if not self.entry:
            extra, self._extra = self._extra, []
            self._billing.abandon(extra)

    def forwarded(self, status: int, *, free: bool) -> bytes:
        """A request was answered that is passed on unread: what it cost is known only where such requests are free."""
        return self._close(Usage(), status, "", cost=FREE_OF_CHARGE if free else UNPRICED)

    def _close(
        self,
        usage: Usage,
        status: int,
        code: str,
        *,
        estimated: bool = False,
        content: Mapping[str, Any] | None = None,
        cost: Cost | None = None,
    ) -> bytes:
        """Book it, once; a job's outcome books its own."""
        call = self._call
        if cost is None:
            nothing = usage.empty and status >= 400
            cost = UNPRICED if nothing else self._billing.cost(self.provider, self.model, usage, call)
        self.cost = cost
        entry = entry_of(
            CallOutcome(
                caller=call.caller,
                request_type=call.request_type.name,
                surface=call.surface,
                asked=call.model,
                provider=self.provider,
                provider_key=self.provider_key,
                model=self.model,
                usage=usage,
                cost=self.cost,
                estimated=estimated,
                status=status,
                code=code,
                latency_ms=self._elapsed_ms(),
                first_ms=self.first_ms,
                attempts=self.attempts,
                fallbacks=max(0, self.targets - 1),
                request_id=call.request_id,
                job_id=call.job_id,
                dimensions=call.dimensions,
                scopes=self._billing.scopes(self.provider, self.model),
                content=content,
            )
        )
        if not self.entry:
            self.entry = entry
            if not usage.empty or status < 400:
                self._tell(usage)
            self._billing.closed(self, entry, self._extra)
        return self.entry

    def _tell(self, usage: Usage) -> None:
        told = self.cost.micro_usd if self.cost.priced else None
        tokens = (usage.input, usage.output, usage.cached)
        self._billing.watch.spent(self._call.caller.team, self.provider, self.model, told, tokens)

    def _estimate(self) -> Usage:
        return upper_estimate(self._call.request_type, self._call.fields, self._call.body)

    def _elapsed_ms(self) -> int:
        return round((time.perf_counter() - self._started) * 1000)


def _fault(error: BaseException | None) -> tuple[int, str]:
    """Status and code of what ended a call; anything but our own errors means that the caller went away."""
    if error is None:
        return 200, ""
    if isinstance(error, GatewayError):
        return error.status, error.code or error.type
    return (500, "internal_error") if isinstance(error, Exception) else (ClientGone.status, ClientGone.code or "")
