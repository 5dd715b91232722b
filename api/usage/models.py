"""Response models of usage endpoints, for ``/openapi.json``."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Sums(BaseModel):
    """Sums over calls."""

    calls: int
    errors: int = Field(description="Calls that ended with a status of 400 or above.")
    unpriced_calls: int = Field(description="Calls without a known price; the cost leaves them out.")
    input_tokens: int
    output_tokens: int
    cached_tokens: int = Field(description="Part of the input tokens.")
    reasoning_tokens: int = Field(description="Part of the output tokens.")
    cost_usd: float
    list_cost_usd: float = Field(description="At the standard tier, without batches, caches and discounts.")
    average_latency_ms: int
    upstream_attempts: int
    cache_hits: int = Field(description="Calls that a stored answer served.")
    saved_usd: float = Field(description="What those would have cost at list prices.")
    saved_by_batch_usd: float = Field(description="What a provider's batch made cheaper.")
    saved_by_tier_usd: float = Field(description="What the service tier made cheaper; below 0: dearer.")
    saved_by_cache_usd: float = Field(description="What prompt caches and stored answers made cheaper.")
    saved_by_discount_usd: float = Field(description="What configured discounts made cheaper.")
    on_time_jobs: int | None = Field(
        None, description="Jobs that were answered before their patience ended; absent: no job could wait."
    )
    late_jobs: int | None = Field(None, description="Jobs that were answered after it, or failed.")
    on_time_share: float | None = None


class UsageItem(Sums):
    """One group in one period; the groups asked for are fields of their own."""

    model_config = ConfigDict(extra="allow")

    period: str | None = Field(None, description="Start of the hour, the day, or the month; absent per total.")


class UnpricedModel(BaseModel):
    """A model without a known price."""

    provider: str
    model: str
    calls: int


class UsageAnswer(BaseModel):
    """Sums per period and group."""

    object: Literal["usage"]
    from_: str = Field(alias="from")
    to: str
    per: str
    group_by: list[str]
    kept_since: str = Field(description="Sums of this length of period are not kept from before.")
    data: list[UsageItem]
    total: Sums
    unpriced: list[UnpricedModel]


class LoggedCall(BaseModel):
    """One call."""

    id: str
    ended_at: str
    key: str
    key_name: str
    team: str
    customer: str
    request_type: str
    surface: str
    asked_model: str
    provider: str
    provider_key: str = Field(description="Name of the provider's credential, never its value.")
    model: str
    code: str
    request_id: str
    job_id: str
    run_id: str
    lane: str = Field(description="Lane on which a job that could wait was answered; empty: it could not.")
    guardrail: str = Field(description="Name of the guardrail that denied it; empty: none did.")
    status: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int = Field(description="Those of them that are kept for an hour.")
    reasoning_tokens: int
    images: int
    characters: int
    audio_ms: int
    web_searches: int = Field(description="By the provider's own tool, as are the next two.")
    file_searches: int
    code_sessions: int
    latency_ms: int
    first_token_ms: int
    attempts: int
    fallbacks: int
    cost_usd: float | None = Field(description="Null: the price is unknown.")
    list_cost_usd: float | None
    cache: str = Field(description="`hit`: a stored answer served it; empty: its provider did.")
    saved_usd: float = Field(description="What it would have cost at list prices without the cache.")
    saved_by_batch_usd: float = Field(description="What a provider's batch made cheaper.")
    saved_by_tier_usd: float = Field(description="What the service tier made cheaper; below 0: dearer.")
    saved_by_cache_usd: float = Field(description="What prompt caches and stored answers made cheaper.")
    saved_by_discount_usd: float = Field(description="What configured discounts made cheaper.")
    priced: bool
    estimated: bool = Field(description="The provider reported no usage; the gateway estimated it.")
    dimensions: dict[str, str]
    content: dict[str, Any] | None = Field(None, description="Only where it is kept and was asked for.")


class LogsAnswer(BaseModel):
    """A page of calls."""

    object: Literal["list"]
    data: list[LoggedCall]
    has_more: bool
    next_cursor: str | None = Field(description="Of the next page, which may hold more though this one is short.")


class BudgetForecast(BaseModel):
    """Forecast of a budget."""

    window: str
    limit_usd: float
    used_usd: float
    reserved_usd: float
    window_ends_at: str | None = Field(description="Null for a rolling window.")
    projected_usd: float = Field(description="At the window's end; of a rolling one, in the long run.")
    exhausted_at: str | None = Field(description="Null: not within its window.")
    state: Literal["ok", "at_risk", "spent"]


class ForecastItem(BaseModel):
    """Spending and forecast of a key, team or customer."""

    id: str
    name: str
    rate_usd_per_hour: float
    today_usd: float
    usual_day_usd: float
    anomalous: bool = Field(description="Today is far above the baseline of the last four weeks.")
    month_usd: float
    projected_month_usd: float
    budgets: list[BudgetForecast]


class ForecastAnswer(BaseModel):
    """A page of forecasts."""

    object: Literal["list"]
    by: str
    at: str
    data: list[ForecastItem]
    has_more: bool
    last_id: str | None


class RunAnswer(BaseModel):
    """A run."""

    object: Literal["run"]
    id: str
    budget_usd: float | None = Field(description="Its cap; null: none.")
    spent_usd: float
    reserved_usd: float = Field(description="Estimates of calls and jobs in progress.")
    calls: int = Field(description="Admitted calls, streams included.")
    jobs: int = Field(description="Admitted jobs, lines of batches included.")
    created_at: str
    last_used_at: str


class OwnedRun(RunAnswer):
    """A run with its owner; neither a team nor a key: a caller without one."""

    team: str | None
    key: str | None


class RunPage(BaseModel):
    """A page of runs, the last used first."""

    object: Literal["list"]
    data: list[OwnedRun]
    first_id: str | None
    last_id: str | None
    has_more: bool


class LimitForecast(BaseModel):
    """Where a budget is heading, at the rate of the last day."""

    rate_usd_per_hour: float
    projected_usd: float = Field(description="Spent at the end of the window.")
    exhausted_at: str | None = Field(description="Null: not before the window ends.")


class LimitItem(BaseModel):
    """The status of a limit; amounts in USD have `_usd`, counts have not."""

    model_config = ConfigDict(extra="allow")

    id: str
    kind: str = Field(description="`budget`, `requests` or `tokens`.")
    of: str = Field(description="`key`, `team` or `customer`.")
    of_name: str
    window: str
    resets_at: str | None = None
    forecast: LimitForecast | None = None


class OwnLimits(BaseModel):
    """The limits that bind a virtual key."""

    object: Literal["list"]
    id: str = Field(description="Of the key.")
    data: list[LimitItem]


class LimitRaiseAnswer(BaseModel):
    """A raise of a budget."""

    amount_usd: float
    until: str
    reason: str


class RaisedLimit(BaseModel):
    """A budget that is raised for a time; `limit_usd` is with the raise."""

    model_config = ConfigDict(extra="allow")

    id: str
    kind: Literal["budget"]
    of: str
    of_name: str
    window: str
    limit_usd: float
    used_usd: float
    reserved_usd: float
    left_usd: float
    resets_at: str
    raise_: LimitRaiseAnswer = Field(alias="raise")
