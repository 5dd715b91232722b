"""Batches that a provider runs itself: estimated from their file before they are sent, read when they have ended."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import orjson

from shared.errors import BudgetExceeded, InvalidRequest, StoreUnavailable, UpstreamFailure, UpstreamRefused
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.governance.ledger.followed_batches import BookedLines, FollowedBatch
from shared.governance.ledger.writer import CallOutcome, entry_of
from shared.governance.limits.guard import UNLIMITED, Reservation
from shared.governance.limits.model import MICRO, Limit
from shared.governance.limits.runs import run_in_metadata
from shared.governance.pricing.prices import NO_COST, Cost
from shared.governance.pricing.usage import answer_estimate, used_by
from shared.inference.billing import Billing
from shared.inference.call import Call, Target
from shared.inference.call_cost import CallCost
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.inference.provider_batch_lines import (
    LINES_AT_ONCE,
    body_of,
    is_providers_fault,
    parse_object,
    part_of,
    read_lines,
    type_of,
)
from shared.surfaces.request_types import PASSTHROUGH

FIRST_LOOK_MS = 600_000
"""When a batch is looked at whose creation was not confirmed; a confirmed one is looked at at once."""
VIDEOS = "/videos"
"""The endpoint of videos, which are followed as batches are: each is one line."""
LATE_DUPLICATE = "late_duplicate"
"""Code in the ledger of a provider's answer to a line that the gateway has run meanwhile."""


@dataclass(slots=True)
class _Estimate:
    """The most that a batch can cost at batch rates, and the limits that bind it."""

    limits: tuple[Limit, ...]
    cost: int = 0
    tokens: int = 0
    read: bool = False


class ProviderBatches:
    """Creates batches at providers under their callers' limits, and prices their lines.

    Args:
        passthrough: Forwards.
        billing: Reserves and books.
    """

    def __init__(self, passthrough: Passthrough, billing: Billing) -> None:
        self._passthrough = passthrough
        self._billing = billing

    async def create(self, request: RawRequest, caller: Caller, fields: Mapping[str, Any]) -> RawAnswer:
        """Reserve what a batch may cost, forward its creation, and have it followed.

        Args:
            request: The creation, as it is forwarded.
            caller: Whose limits bind it.
            fields: Its body, as ``batch_fields`` has it.

        Raises:
            BudgetExceeded: It does not fit into what is left; nothing was sent but the request for its file.
            GatewayError: Another limit is spent, or the provider's own error.
        """
        call = Call(
            request_type=PASSTHROUGH,
            model=f"{request.provider}/batches",
            body=b"",
            fields={},
            caller=caller,
            request_id=request.request_id,
            surface="openai",
            dimensions=request.dimensions,
            run=request.run or run_in_metadata(fields),
        )
        call_cost = CallCost(self._billing, call)
        try:
            estimate = await self._estimate(request, call, fields)
            batch = FollowedBatch(
                id=uuid.uuid4().hex,
                provider=request.provider,
                owner=caller.key_id,
                endpoint=fields["endpoint"],
                cost=estimate.cost,
                tokens=estimate.tokens,
                priced=estimate.read,
                dimensions=request.dimensions,
                request_id=request.request_id,
                run=call.run,
                rescue=self._billing.followed.rescue,
            )
            reservation = await self._reserve(batch, estimate)
            # Whether its caller waits or not: what has been sent is to be followed.
            answer = await asyncio.shield(asyncio.ensure_future(self._send(request, caller, batch)))
        except BaseException as error:
            call_cost.failed(error)
            raise
        call_cost.sent(request.provider, "", "")
        call_cost.forwarded(answer.status, NO_COST)  # its lines are booked when it has ended
        answer.headers = {**answer.headers, **reservation.headers()}
        return answer

    async def create_video(self, request: RawRequest, call: Call, cost: Cost) -> RawAnswer:
        """Reserve what a video costs, forward its creation, and have it followed: it is booked when it has ended.

        Args:
            request: The creation, as it is forwarded.
            call: As its limits see it.
            cost: Its price.

        Raises:
            GatewayError: A limit is spent, or the provider's own error.
        """
        call_cost = CallCost(self._billing, call)
        try:
            reservation = await self._billing.check_forwarded(call, request.provider, cost=cost)
            video = FollowedBatch(
                id=reservation.reservation or uuid.uuid4().hex,
                provider=request.provider,
                owner=call.caller.key_id,
                endpoint=VIDEOS,
                cost=cost.micro_usd,
                priced=True,
                dimensions=request.dimensions,
                request_id=request.request_id,
                run=call.run,
            )
            answer = await asyncio.shield(asyncio.ensure_future(self._send(request, call.caller, video)))
        except BaseException as error:
            call_cost.failed(error)
            raise
        call_cost.sent(request.provider, "", "")
        call_cost.forwarded(answer.status, NO_COST)
        answer.headers = {**answer.headers, **reservation.headers()}
        return answer

    async def look(self, batch: FollowedBatch) -> dict[str, Any]:
        """Return a batch, or a video, as its provider has it.

        Raises:
            GatewayError: The provider's own error.
        """
        path = VIDEOS if batch.endpoint == VIDEOS else "/batches"
        answer = await self._get(batch.provider, f"{path}/{quote(batch.batch, safe='')}")
        found = orjson.loads(await answer.read())
        if not isinstance(found, dict):
            raise UpstreamFailure("The provider sent a batch that is not an object.")
        return found

    async def cancel(self, batch: FollowedBatch) -> None:
        """Have a provider cancel a batch.

        Raises:
            GatewayError: The provider's own error.
        """
        path = f"/batches/{quote(batch.batch, safe='')}/cancel"
        await (await self.send_own(RawRequest(method="POST", path=path, provider=batch.provider))).read()

    def lines(self, batch: FollowedBatch, file_id: str) -> AsyncIterator[bytes]:
        """Yield the lines of a provider's file, which may raise the provider's own error."""
        return self._lines(batch.provider, file_id)

    async def _lines(self, provider: str, file_id: str) -> AsyncIterator[bytes]:
        content = await self._get(provider, f"/files/{quote(file_id, safe='')}/content")
        async for line in read_lines(content):
            yield line

    async def booked_lines(
        self, batch: FollowedBatch, file_id: str, owner: Caller, skip: int, *, rescued: bool = False
    ) -> AsyncIterator[tuple[int, BookedLines]]:
        """Price the lines of an output or error file at batch rates.

        Args:
            batch: The batch.
            file_id: The provider's file.
            owner: Who pays.
            skip: Lines that are booked already.
            rescued: Whether the gateway runs lines that the provider failed: their runs are booked instead.

        Yields:
            Some lines at once, with the number of the file's lines read so far, skipped ones included; the last time
            with the number of all its lines.

        Raises:
            GatewayError: The file cannot be read.
        """
        entries: list[bytes] = []
        number = cost = tokens = 0
        async for line in self._lines(batch.provider, file_id):
            number += 1
            if number <= skip:
                continue
            entry, line_cost, line_tokens = self._entry(batch, owner, line)
            if line_cost or not (rescued and is_providers_fault(parse_object(line))):
                entries.append(entry)
            cost, tokens = cost + line_cost, tokens + line_tokens
            if (number - skip) % LINES_AT_ONCE == 0:
                yield number, BookedLines(entries, cost, tokens)
                entries, cost, tokens = [], 0, 0
        yield number, BookedLines(entries, cost, tokens)

    def charge_of_video(self, video: FollowedBatch, owner: Caller, found: Mapping[str, Any]) -> BookedLines:
        """Return the entry of a video that has ended; one that its provider failed costs nothing.

        Args:
            video: The video.
            owner: Who pays.
            found: The video as its provider has it.
        """
        made = found.get("status") == "completed"
        cost = Cost(video.cost, priced=True, list_micro_usd=video.cost) if made else NO_COST
        code = "" if made else str(part_of(found, "error").get("code") or "video_failed")
        outcome = CallOutcome(
            caller=owner, request_type=PASSTHROUGH.name, surface="openai", asked=f"{video.provider}{VIDEOS}",
            provider=video.provider, model=str(found.get("model") or ""), cost=cost, status=200 if made else 500,
            code=code, request_id=video.request_id, dimensions=video.dimensions, run=video.run,
        )  # fmt: skip
        return BookedLines([entry_of(outcome)], cost.micro_usd)

    def charge_of_estimate(self, batch: FollowedBatch, owner: Caller, code: str) -> BookedLines:
        """Return one entry with what was reserved, for a batch whose results cannot be read."""
        outcome = CallOutcome(
            caller=owner, request_type=PASSTHROUGH.name, surface="openai", asked=f"{batch.provider}/{batch.batch}",
            provider=batch.provider, cost=Cost(batch.cost, batch.priced, batch.cost), estimated=True, code=code,
            request_id=batch.request_id, dimensions=batch.dimensions, run=batch.run,
        )  # fmt: skip
        return BookedLines([entry_of(outcome)], batch.cost, batch.tokens)

    async def _estimate(self, request: RawRequest, call: Call, fields: Mapping[str, Any]) -> _Estimate:
        limits = self._billing.limits_of_batch(call, request.provider)
        estimate = _Estimate(limits)
        restricted = call.caller.models != ("*",) or call.caller.denied_models
        if not limits and not restricted and not self._billing.limits_models:
            return estimate
        kind = type_of(fields["endpoint"])
        if kind is None:
            raise InvalidRequest("The costs of batches of this endpoint cannot be limited.", param="endpoint")
        provider = self._passthrough.owner(request.provider, call.caller)
        content = await self._get(request.provider, f"/files/{quote(fields['input_file_id'], safe='')}/content")
        number = 0
        async for line in read_lines(content):
            number += 1
            body = body_of(line, number)
            target = Target(provider, body["model"])
            self._passthrough.authorise(target.name, call.caller)
            line_call = replace(call, request_type=kind, fields=body, body=line, model=target.name)
            estimate.limits += tuple(limit for limit in self._billing.limits_of(target) if limit not in estimate.limits)
            cost, tokens = self._billing.line_of_batch(line_call, target, estimate.limits)
            estimate.cost += cost
            estimate.tokens += tokens
        estimate.read = True
        return estimate

    async def _reserve(self, batch: FollowedBatch, estimate: _Estimate) -> Reservation:
        if not estimate.limits:
            return UNLIMITED
        try:
            return await self._billing.guard.admit(
                batch.id, estimate.limits, cost=estimate.cost, tokens=estimate.tokens, whole=True
            )
        except BudgetExceeded as error:
            error.message = f"The batch may cost ${estimate.cost / MICRO:,.6f}, which does not fit. {error.message}"
            raise

    async def _send(self, request: RawRequest, caller: Caller, batch: FollowedBatch) -> RawAnswer:
        """Follow a batch, then have its provider create it; give its reservation back if it refuses."""
        followed = self._billing.followed
        try:
            await followed.add(batch, look_ms=FIRST_LOOK_MS)
            answer = await self._passthrough.forward(request, caller)
            body = await answer.read()
        except (UpstreamRefused, StoreUnavailable):  # after any other failure it may exist: it stays reserved
            self._billing.ledger.release(batch.id)
            await followed.drop(batch.id)
            raise
        finally:
            self._billing.guard.ended(batch.id)
        await followed.confirm(batch, str(parse_object(body).get("id") or ""))
        return answer.with_body(body)

    def _entry(self, batch: FollowedBatch, owner: Caller, line: bytes) -> tuple[bytes, int, int]:
        """Return a line's ledger entry, its cost in micro-USD and its tokens."""
        row = parse_object(line)
        response = part_of(row, "response")
        body = part_of(response, "body")
        kind = type_of(batch.endpoint) or PASSTHROUGH
        status = int(response.get("status_code") or 500)
        model = str(body.get("model") or "")
        usage = used_by(kind, {}, part_of(body, "usage"))
        estimated = usage.empty and status < 400 and kind.usage == "tokens"
        if estimated:
            usage = answer_estimate(kind, {}, b"", orjson.dumps(body))
        error = part_of(body, "error") or part_of(row, "error")
        cost = self._billing.prices.cost(batch.provider, model, usage, variant="batch")
        late = LATE_DUPLICATE if batch.rescue_batch else ""
        outcome = CallOutcome(
            caller=owner, request_type=kind.name, surface="openai", asked=f"{batch.provider}/{model}",
            provider=batch.provider, model=model, usage=usage, cost=cost, estimated=estimated, status=status,
            code=str(error.get("code") or "batch_line_failed") if status >= 400 else late,
            request_id=str(row.get("id") or batch.request_id), dimensions=batch.dimensions, run=batch.run,
        )  # fmt: skip
        return entry_of(outcome), cost.micro_usd if cost.priced else 0, usage.tokens

    async def _get(self, provider: str, path: str) -> RawAnswer:
        return await self.send_own(RawRequest(method="GET", path=path, provider=provider))

    async def send_own(self, request: RawRequest) -> RawAnswer:
        """Send a request of the gateway's own.

        Raises:
            GatewayError: The provider's own error.
        """
        return await self._passthrough.forward(request, ANONYMOUS)
