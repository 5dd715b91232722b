"""The lane of a job that can wait: which ones are open to it, what they cost, and how long they take."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from shared.errors import StoreUnavailable
from shared.inference.billing import Billing
from shared.inference.call import Call, Target
from shared.inference.catalogue import Catalogue
from shared.patience.lanes import JobLane, Lane, LaneOption, choose_lane, promote_after_s
from shared.patience.times import Histogram, LaneTimes
from shared.settings.patience import PatienceSettings
from shared.surfaces.request_types import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from shared.surfaces.responses.items import referenced_ids

_FLEX_TYPES = frozenset({CHAT.name, RESPONSES.name})
_BATCH_TYPES = frozenset({CHAT.name, COMPLETIONS.name, EMBEDDINGS.name, RESPONSES.name})
# Their requests may hold more than OpenAI's fields.
_OTHER_SURFACES = frozenset({"anthropic", "genai"})
_DEFAULT_TIERS = frozenset({None, "auto", "default"})
_OWN_TOOLS = frozenset({"function", "custom"})
"""Tools that the caller runs; any other is the provider's."""
# What is not in the request itself, or does not come back in a line of a file.
_NOT_IN_BATCHES = ("previous_response_id", "conversation", "web_search_options", "audio", "stream")


def may_use_flex(call: Call, target: Target) -> bool:
    """Whether a call may be sent in the tier ``flex``: the provider has it, and the caller has not chosen a tier."""
    return target.provider.flex and _is_plain(call, target, _FLEX_TYPES)


def may_use_batch(call: Call, target: Target) -> bool:
    """Whether a call may be a line of its provider's batch.

    Not where it may not be stored, uses the provider's own tools, continues what is stored elsewhere, or depends on
    headers, which lines do not have.
    """
    provider, fields = target.provider, call.fields
    if not provider.batches or provider.deployments or call.headers or not _is_plain(call, target, _BATCH_TYPES):
        return False
    if fields.get("store") is False or any(fields.get(name) for name in _NOT_IN_BATCHES) or referenced_ids(fields):
        return False
    tools = fields.get("tools") or []
    return isinstance(tools, list) and all(isinstance(tool, dict) and tool.get("type") in _OWN_TOOLS for tool in tools)


def _is_plain(call: Call, target: Target, types: frozenset[str]) -> bool:
    """Whether the provider takes the request as it is, in OpenAI's format and at any tier."""
    provider, name = target.provider, call.request_type.name
    return (
        name in types
        and name in provider.request_types
        and provider.wire == "openai"
        and call.surface not in _OTHER_SURFACES
        and call.fields.get("service_tier") in _DEFAULT_TIERS
    )


class LaneChooser:
    """Chooses lanes.

    Args:
        catalogue: Knows the targets of calls.
        billing: Prices them.
        times: How long lanes took.
        settings: Which lanes may be chosen, and when.

    Attributes:
        times: How long lanes took.
        settings: Which lanes may be chosen, and when.
        runs_now: Whether every job runs on its own, on the lane ``now``.
    """

    def __init__(self, catalogue: Catalogue, billing: Billing, times: LaneTimes, settings: PatienceSettings) -> None:
        self._catalogue = catalogue
        self._billing = billing
        self.times = times
        self.settings = settings
        self.runs_now = False

    async def choose(self, call: Call, patience_s: float, now_ms: int, *, starts_later: bool = False) -> JobLane:
        """Choose the cheapest lane that still answers a job in time.

        Args:
            call: The job's request.
            patience_s: Time in which it is to be answered, in seconds from now.
            now_ms: Unix milliseconds.
            starts_later: Whether the caller asks for a later start: no batch is gathered before.

        Raises:
            UnknownProvider: The model's prefix does not name a configured provider.
            ProviderBlocked, ModelBlocked: The caller may not use the model.
        """
        first, *more = self._catalogue.targets(call)
        cost = self._billing.expected_cost(call, first)
        gathers = patience_s > 0 and call.request_type is EMBEDDINGS and not self.runs_now
        due_ms = now_ms + round(patience_s * 1000) if patience_s else 0
        runs_now = JobLane(lane=Lane.NOW, due_ms=due_ms, gathers=gathers)
        if not patience_s or not cost.priced or self.runs_now:
            return runs_now
        times = await self._times(first)
        now = LaneOption(lane=Lane.NOW, cost=cost.micro_usd, time_s=self._now_s(times))
        options = [*self._own(call, first, times, starts_later=starts_later)]
        if "least_cost" in self.settings.lanes:
            options += [option for target in more if (option := await self._other(call, target)) is not None]
        margin_s = self.settings.margin_of(patience_s)
        chosen = choose_lane(now, options, patience_s=patience_s, margin_s=margin_s)
        if chosen is now:
            return runs_now
        return JobLane(
            lane=chosen.lane,
            saving=now.cost - chosen.cost,
            promote_ms=now_ms + round(promote_after_s(now, patience_s, margin_s) * 1000),
            due_ms=due_ms,
            model=first.name if chosen.lane is Lane.BATCH else chosen.model,
            gathers=gathers,
        )

    def _own(
        self, call: Call, target: Target, times: Mapping[Lane, Histogram], *, starts_later: bool
    ) -> Iterator[LaneOption]:
        """Yield the lanes at the provider that the call goes to anyway."""
        settings = self.settings
        if "flex" in settings.lanes and may_use_flex(call, target):
            yield self._option(call, target, Lane.FLEX, self._time_s(times[Lane.FLEX], settings.assumed_flex_s))
        if "batch" in settings.lanes and not starts_later and may_use_batch(call, target):
            yield self._option(call, target, Lane.BATCH, self._time_s(times[Lane.BATCH], settings.assumed_batch_s))

    def _option(self, call: Call, target: Target, lane: Lane, time_s: float | None) -> LaneOption:
        cost = self._billing.expected_cost(call, target, lane)
        return LaneOption(lane=lane, cost=cost.micro_usd, time_s=time_s if cost.priced else None)

    async def _other(self, call: Call, target: Target) -> LaneOption | None:
        """Return the lane of another target of the route; None: its price is not known."""
        cost = self._billing.expected_cost(call, target)
        if not cost.priced or call.request_type.name not in target.provider.request_types:
            return None
        time_s = self._time_s((await self._times(target))[Lane.NOW], 0)
        return LaneOption(lane=Lane.LEAST_COST, cost=cost.micro_usd, time_s=time_s, model=target.name)

    def _now_s(self, times: Mapping[Lane, Histogram]) -> float:
        return self._time_s(times[Lane.NOW], self.settings.assumed_now_s) or 0.0

    def _time_s(self, histogram: Histogram, assumed_s: float) -> float | None:
        """Return the time that a lane promises; None: too few answers were measured, and none is assumed."""
        if histogram.total >= self.settings.min_samples:
            return histogram.quantile(self.settings.quantile)
        return assumed_s or None

    async def _times(self, target: Target) -> Mapping[Lane, Histogram]:
        try:
            return await self.times.of(target.name)
        except StoreUnavailable:  # what is not known is not used
            return dict.fromkeys(Lane, Histogram())


def flex_call(call: Call, *, deadline: float) -> Call:
    """Return a call in the tier ``flex``, with its own deadline; it neither streams nor uses the cache."""
    fields: dict[str, Any] = {**call.fields, "service_tier": "flex"}
    return _on_lane(call.with_fields(fields, stream=False), Lane.FLEX, deadline)


def cheapest_call(call: Call, model: str, *, deadline: float) -> Call:
    """Return a call to the cheapest target of its route, with its own deadline."""
    lane_call = _on_lane(call, Lane.LEAST_COST, deadline)
    lane_call.model = model
    return lane_call


def _on_lane(call: Call, lane: Lane, deadline: float) -> Call:
    until = deadline if call.deadline is None else min(deadline, call.deadline)
    return replace(call, lane=str(lane), deadline=until, cache=None)
