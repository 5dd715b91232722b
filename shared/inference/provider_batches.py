"""Batches that a provider runs itself: estimated from their file before they are sent, read when they have ended."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
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
from shared.surfaces.request_types import PASSTHROUGH, REQUEST_TYPES, RequestType

FIRST_LOOK_MS = 600_000
"""When a batch is looked at whose creation was not confirmed; a confirmed one is looked at at once."""
LINES_AT_ONCE = 200
MAX_LINE_BYTES = 64 * 1024 * 1024
_TYPES: Mapping[str, RequestType] = {kind.path: kind for kind in REQUEST_TYPES if kind.form == "json"}


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

    async def look(self, batch: FollowedBatch) -> dict[str, Any]:
        """Return a batch as its provider has it.

        Raises:
            GatewayError: The provider's own error.
        """
        answer = await self._get(batch.provider, f"/batches/{quote(batch.batch, safe='')}")
        found = orjson.loads(await answer.read())
        if not isinstance(found, dict):
            raise UpstreamFailure("The provider sent a batch that is not an object.")
        return found

    async def booked_lines(
        self, batch: FollowedBatch, file_id: str, owner: Caller, skip: int
    ) -> AsyncIterator[tuple[int, BookedLines]]:
        """Price the lines of an output or error file at batch rates; yield some at once with their number.

        Args:
            batch: The batch.
            file_id: The provider's file.
            owner: Who pays.
            skip: Lines that are booked already.

        Raises:
            GatewayError: The file cannot be read.
        """
        entries: list[bytes] = []
        cost = tokens = 0
        content = await self._get(batch.provider, f"/files/{quote(file_id, safe='')}/content")
        async for line in _lines(content):
            if skip:
                skip -= 1
                continue
            entry, line_cost, line_tokens = self._entry(batch, owner, line)
            entries.append(entry)
            cost, tokens = cost + line_cost, tokens + line_tokens
            if len(entries) == LINES_AT_ONCE:
                yield len(entries), BookedLines(entries, cost, tokens)
                entries, cost, tokens = [], 0, 0
        if entries:
            yield len(entries), BookedLines(entries, cost, tokens)

    def charge_of_estimate(self, batch: FollowedBatch, owner: Caller, code: str) -> BookedLines:
        """Return one entry with what was reserved, for a batch whose results cannot be read."""
        outcome = CallOutcome(
            caller=owner, request_type=PASSTHROUGH.name, surface="openai", asked=f"{batch.provider}/{batch.batch}",
            provider=batch.provider, cost=Cost(batch.cost, batch.priced, batch.cost), estimated=True, code=code,
            request_id=batch.request_id, dimensions=batch.dimensions,
        )  # fmt: skip
        return BookedLines([entry_of(outcome)], batch.cost, batch.tokens)

    async def _estimate(self, request: RawRequest, call: Call, fields: Mapping[str, Any]) -> _Estimate:
        limits = self._billing.limits_of_batch(call, request.provider)
        estimate = _Estimate(limits)
        restricted = call.caller.models != ("*",) or call.caller.denied_models
        if not limits and not restricted and not self._billing.limits_models:
            return estimate
        kind = _type_of(fields["endpoint"])
        if kind is None:
            raise InvalidRequest("The costs of batches of this endpoint cannot be limited.", param="endpoint")
        provider = self._passthrough.owner(request.provider, call.caller)
        content = await self._get(request.provider, f"/files/{quote(fields['input_file_id'], safe='')}/content")
        number = 0
        async for line in _lines(content):
            number += 1
            body = _body_of(line, number)
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
        await followed.confirm(batch.id, str(_object(body).get("id") or ""))
        return answer.with_body(body)

    def _entry(self, batch: FollowedBatch, owner: Caller, line: bytes) -> tuple[bytes, int, int]:
        """Return a line's ledger entry, its cost in micro-USD and its tokens."""
        row = _object(line)
        response = _part(row, "response")
        body = _part(response, "body")
        kind = _type_of(batch.endpoint) or PASSTHROUGH
        status = int(response.get("status_code") or 500)
        model = str(body.get("model") or "")
        usage = used_by(kind, {}, _part(body, "usage"))
        estimated = usage.empty and status < 400 and kind.usage == "tokens"
        if estimated:
            usage = answer_estimate(kind, {}, b"", orjson.dumps(body))
        error = _part(body, "error") or _part(row, "error")
        cost = self._billing.prices.cost(batch.provider, model, usage, variant="batch")
        outcome = CallOutcome(
            caller=owner, request_type=kind.name, surface="openai", asked=f"{batch.provider}/{model}",
            provider=batch.provider, model=model, usage=usage, cost=cost, estimated=estimated, status=status,
            code=str(error.get("code") or "batch_line_failed") if status >= 400 else "",
            request_id=str(row.get("id") or batch.request_id), dimensions=batch.dimensions,
        )  # fmt: skip
        return entry_of(outcome), cost.micro_usd if cost.priced else 0, usage.tokens

    async def _get(self, provider: str, path: str) -> RawAnswer:
        return await self._passthrough.forward(RawRequest(method="GET", path=path, provider=provider), ANONYMOUS)


def _type_of(endpoint: str) -> RequestType | None:
    return _TYPES.get(endpoint.strip("/").removeprefix("v1/"))


def _body_of(line: bytes, number: int) -> dict[str, Any]:
    """Return the request in a line of an input file.

    Raises:
        InvalidRequest: The line has none, or it names no model.
    """
    body = _part(_object(line), "body")
    if not isinstance(body.get("model"), str):
        raise InvalidRequest(
            f"Line {number} of the input file is not a request with a model: its cost cannot be reserved.",
            param="input_file_id",
        )
    return body


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _part(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


async def _lines(content: RawAnswer) -> AsyncIterator[bytes]:
    """Yield the lines of a file as it arrives, without blank ones; others get a turn of the event loop in between.

    Raises:
        UpstreamFailure: A line is longer than ``MAX_LINE_BYTES``.
    """
    pieces: list[bytes] = []
    size = count = 0
    async for chunk in content:
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            whole = b"".join([*pieces, line]).strip()
            pieces, size = [], 0
            if whole:
                yield whole
            count += 1
            if count % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        pieces.append(rest)
        size += len(rest)
        if size > MAX_LINE_BYTES:
            raise UpstreamFailure("A line of the provider's file is too long.")
    last = b"".join(pieces).strip()
    if last:
        yield last


def ended_files(found: Mapping[str, Any]) -> Sequence[str]:
    """Return the ids of a batch's output and error files."""
    return [found[name] for name in ("output_file_id", "error_file_id") if isinstance(found.get(name), str)]


def batch_fields(request: RawRequest, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the body of a batch's creation; None for any other request, and for one that its provider refuses."""
    if request.method != "POST" or request.path.partition("?")[0].strip("/") != "batches":
        return None
    named = all(isinstance(fields.get(name), str) for name in ("input_file_id", "endpoint"))
    return fields if named else None
