"""The shape of ``finops.toml``; public, and it stays. Every default is here."""

import ipaddress
import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from shared.settings.alert_rules import MAX_RULES, AlertName, AlertSettings

Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
WebhookEvent = Literal[
    "async_job.completed",
    "async_job.failed",
    "async_job.cancelled",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "response.cancelled",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "budget.threshold",
    "spend.anomaly",
    "webhook.disabled",
    "alert.firing",
    "alert.resolved",
]
WireName = Literal["openai", "anthropic", "gemini", "ollama", "bedrock"]
CloudName = Literal["azure", "vertex", "bedrock"]
OnExhausted = Literal["reject", "park"]
"""What becomes of a job that meets a spent window: refused, or stored until the next one."""
Usd = Annotated[float, Field(ge=0, le=1e9)]
_EACH = re.compile(r"user|dimension:[a-z0-9][a-z0-9_\-]{0,39}")
_WINDOW = re.compile(r"1[mhdwM]|rolling:[1-9][0-9]{0,2}[mhdwM]")


def _known_window(value: object) -> object:
    if not isinstance(value, str) or not _WINDOW.fullmatch(value):
        raise ValueError("must be 1m, 1h, 1d, 1w or 1M by the calendar (UTC), or rolling:<number><unit>")
    return value


WindowName = Annotated[str, BeforeValidator(_known_window)]
# Labels become parts of meter names and of roll-ups, so they must not contain the separators used there.
Label = Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Pattern = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
DimensionName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,39}$")]
DimensionValue = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _known_each(value: object) -> object:
    if not isinstance(value, str) or not _EACH.fullmatch(value):
        raise ValueError("must be user or dimension:<name>")
    return value


EachName = Annotated[str, BeforeValidator(_known_each)]


def _known_network(value: object) -> object:
    try:
        return str(ipaddress.ip_network(str(value)))
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8, without host bits") from None


NetworkName = Annotated[str, BeforeValidator(_known_network)]


class Section(BaseModel):
    """A table of the file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RedisSettings(Section):
    """The job store; without a URL ``finops serve`` starts its own, which ``max_memory_mb`` is for."""

    url: SecretStr | None = None
    allow_eviction: bool = False
    max_memory_mb: Annotated[int, Field(ge=16)] | None = None


class ServerSettings(Section):
    """The API tier's listener and request limits."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = 50
    max_header_kb: Annotated[int, Field(ge=1, le=1024)] = 64
    max_headers: Annotated[int, Field(ge=10, le=10_000)] = 200
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    max_inflight_mb: Annotated[int, Field(ge=1, le=1024 * 1024)] = 1024
    header_timeout_s: Seconds = 10
    body_stall_s: Seconds = 60
    write_stall_s: Seconds = 60
    shutdown_grace_s: Annotated[float, Field(ge=0, le=3600)] = 30
    allow_private_network: bool = False
    max_total_s: Seconds = 1800
    max_answer_mb: Annotated[float, Field(gt=0, le=1024)] = 32
    max_answers_mb: Annotated[float, Field(gt=0, le=65_536)] = 512
    trusted_proxies: Annotated[tuple[NetworkName, ...], Field(max_length=256)] = ()
    metrics_auth: Literal["auto"] | bool = "auto"
    allow_open: bool = False

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach the address; a name other than localhost counts as one that they can."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    @property
    def guards_metrics(self) -> bool:
        """Whether ``/metrics`` and the details of ``/health`` require the admin key."""
        return self.is_public if self.metrics_auth == "auto" else self.metrics_auth

    @property
    def max_body_bytes(self) -> int:
        """The largest body that is read, in bytes."""
        return int(self.max_body_mb * 1024 * 1024)


class AuthSettings(Section):
    """Authentication."""

    require_virtual_key: Literal["auto"] | bool = "auto"
    admin_key: SecretStr | None = None


class JobSettings(Section):
    """The job engine's limits."""

    result_ttl_s: Annotated[int, Field(gt=0)] = 3600
    max_result_ttl_s: Annotated[int, Field(gt=0)] = 7 * 86_400
    max_queued: Annotated[int, Field(gt=0)] = 100_000
    max_queued_per_key: Annotated[int, Field(gt=0)] = 10_000
    max_attempts: Annotated[int, Field(gt=0, le=100)] = 3
    max_run_s: Seconds = 3600
    lease_s: Annotated[float, Field(ge=0.2, le=3600)] = 4
    concurrency: Annotated[int, Field(gt=0, le=100_000)] = 1000
    shutdown_grace_s: Annotated[float, Field(ge=0, le=3600)] = 30
    durability: Literal["everysec", "fsync", "replicated"] = "everysec"
    min_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    max_result_mb: Annotated[float, Field(gt=0, le=512)] = 16
    max_stored_mb: Annotated[float, Field(gt=0, le=10**7)] = 4096
    stream_output: bool = True


class FileSettings(Section):
    """Files for batches that are kept here, in the job store's memory."""

    max_mb: Annotated[float, Field(gt=0, le=512)] = 200
    max_stored_mb_per_key: Annotated[float, Field(gt=0)] = 1000
    ttl_s: Annotated[int, Field(ge=3600, le=30 * 86_400)] = 30 * 86_400

    @property
    def max_bytes(self) -> int:
        """The largest file, in bytes."""
        return int(self.max_mb * 1024 * 1024)

    @property
    def max_owner_bytes(self) -> int:
        """Total size of one key's files, in bytes."""
        return int(self.max_stored_mb_per_key * 1024 * 1024)


class KeySettings(Section):
    """One credential of a provider."""

    name: str = ""
    value: SecretStr
    weight: Annotated[float, Field(ge=0)] = 1.0
    models: tuple[str, ...] = ("*",)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"value": value} if isinstance(value, str) else value


class TimeoutSettings(Section):
    """Timeouts of a provider; ``total_s`` is per attempt, ``first_token_s`` is for streams."""

    connect_s: Seconds = 5
    total_s: Seconds = 600
    first_token_s: Seconds = 60
    stream_idle_s: Seconds = 60


class BreakerSettings(Section):
    """Circuit breaker of a provider."""

    window_s: Annotated[float, Field(gt=0, le=3600)] = 30
    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    error_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    open_s: Annotated[float, Field(gt=0, le=3600)] = 5
    consecutive_failures: Annotated[int, Field(ge=1, le=1_000_000)] = 5


class RetrySettings(Section):
    """Retries of the same model."""

    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    backoff_initial_s: Annotated[float, Field(ge=0, le=60)] = 0.5
    backoff_max_s: Annotated[float, Field(ge=0, le=600)] = 8


class BudgetSettings(Section):
    """Money per window."""

    limit_usd: Usd
    window: WindowName = "1d"
    on_exhausted: OnExhausted = "reject"


class RateLimitSettings(Section):
    """Calls and tokens per window."""

    requests: Annotated[int, Field(gt=0, le=10**12)] | None = None
    tokens: Annotated[int, Field(gt=0, le=10**15)] | None = None
    window: WindowName = "1m"
    on_exhausted: OnExhausted = "reject"


class Limited(Section):
    """Base of sections with budgets and rate limits: one of each in the short form, or lists for several windows."""

    budget: BudgetSettings | None = None
    budgets: Annotated[tuple[BudgetSettings, ...], Field(max_length=16)] = ()
    rate_limit: RateLimitSettings | None = None
    rate_limits: Annotated[tuple[RateLimitSettings, ...], Field(max_length=16)] = ()

    @property
    def all_budgets(self) -> tuple[BudgetSettings, ...]:
        """Both forms together."""
        return (*((self.budget,) if self.budget else ()), *self.budgets)

    @property
    def all_rate_limits(self) -> tuple[RateLimitSettings, ...]:
        """Both forms together."""
        return (*((self.rate_limit,) if self.rate_limit else ()), *self.rate_limits)


class EachSettings(Section):
    """Limits that every value of a dimension, or every end user, has for itself."""

    each: Limited


class ProviderSettings(Limited):
    """One provider; well-known names need nothing but keys, any other must set its wire."""

    wire: WireName | None = None
    host: CloudName | None = None
    base_url: str | None = None
    keys: tuple[KeySettings, ...] = ()
    timeouts: TimeoutSettings = TimeoutSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    concurrency: Annotated[int, Field(gt=0)] = 1000
    headers: dict[str, str] = {}
    models: tuple[str, ...] = ()
    batches: bool | None = None
    stream_usage: bool | None = None
    api_version: str | None = None
    deployments: dict[str, str] = {}
    project: str | None = None
    location: str | None = None
    region: str | None = None
    credentials: SecretStr | None = None

    @field_validator("base_url")
    @classmethod
    def _http_only(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else value


class KeyRules(Limited):
    """Permissions and limits of a virtual key; models are patterns of ``provider/model``."""

    team: Label = ""
    customer: Label = ""
    models: Annotated[tuple[Pattern, ...], Field(max_length=200)] = ("*",)
    denied_models: Annotated[tuple[Pattern, ...], Field(max_length=200)] = ()
    providers: Annotated[tuple[Pattern, ...], Field(max_length=200)] = ("*",)
    fallbacks: Annotated[tuple[Pattern, ...], Field(max_length=16)] = ()
    weight: Annotated[float, Field(ge=0.01, le=10_000)] = 1.0
    max_concurrent_jobs: Annotated[int, Field(gt=0, le=10**9)] | None = None
    max_concurrent_calls: Annotated[int, Field(gt=0, le=10**6)] | None = None
    max_stored_mb: Annotated[float, Field(gt=0, le=10**7)] | None = None
    expires_at: datetime | None = None
    dimensions: Annotated[dict[DimensionName, DimensionValue], Field(max_length=10)] = {}
    passthrough: Literal["off", "owned", "account"] = "owned"


class VirtualKeySettings(KeyRules):
    """A virtual key: its value, permissions and limits."""

    value: SecretStr | None = None


class TierSettings(Section):
    """Prices of calls whose prompt has more than so many tokens; USD per million tokens, unset ones keep theirs."""

    above: Annotated[int, Field(gt=0)]
    input: Usd | None = None
    output: Usd | None = None
    cached: Usd | None = None
    cache_write: Usd | None = None
    reasoning: Usd | None = None


class PriceSettings(Section):
    """Prices of a model: USD per million tokens unless the name says otherwise; unset prices stay as published.

    ``discount`` is the part taken off everything (0.1: ten percent), ``batch_discount`` that of batches. ``max_output``
    is the most tokens that the model answers, which a call without a limit of its own reserves.
    """

    input: Usd | None = None
    output: Usd | None = None
    cached: Usd | None = None
    cache_write: Usd | None = None
    reasoning: Usd | None = None
    audio_input: Usd | None = None
    audio_output: Usd | None = None
    image_input: Usd | None = None
    image_output: Usd | None = None
    million_characters: Usd | None = None
    image: Usd | None = None
    second: Usd | None = None
    request: Usd | None = None
    cache_write_1h: Usd | None = None
    web_search: Usd | None = None
    file_search: Usd | None = None
    code_session: Usd | None = None
    max_output: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    tiers: tuple[TierSettings, ...] = ()
    discount: Annotated[float, Field(ge=0, le=1)] = 0.0
    batch_discount: Annotated[float, Field(ge=0, le=1)] | None = None


class LedgerSettings(Section):
    """Retention of the ledger, and alerts on spend."""

    calls_days: Annotated[int, Field(gt=0, le=3650)] = 30
    max_calls: Annotated[int, Field(gt=0, le=10**9)] = 1_000_000
    hours_days: Annotated[int, Field(gt=0, le=3650)] = 35
    days_days: Annotated[int, Field(gt=0, le=3650)] = 400
    thresholds: tuple[Annotated[float, Field(gt=0, le=10)], ...] = (0.5, 0.8, 1.0)
    anomalies: bool = True
    anomaly_check_s: Annotated[float, Field(ge=1, le=86_400)] = 300
    reservation_s: Annotated[float, Field(ge=1, le=3600)] = 120
    unpriced: Literal["refuse", "allow"] = "refuse"


class WebhookSettings(Section):
    """Receivers of events: jobs that end, and alerts.

    ``format = "slack"`` sends ``{"text": ...}`` unsigned, to incoming webhooks of Slack and compatible chats.
    """

    url: str
    format: Literal["standard", "slack"] = "standard"
    secret: Annotated[SecretStr | None, Field(validate_default=True)] = None
    events: tuple[WebhookEvent, ...] = ("async_job.completed", "async_job.failed", "async_job.cancelled")
    allow_private_network: bool = False

    @field_validator("secret")
    @classmethod
    def _signed(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("format") != "slack":
            raise PydanticKnownError("missing")
        return value


class DeliverySettings(Section):
    """Deliveries of webhook events; each limit is of one worker, or of all where it says so.

    Attributes:
        concurrency: Attempts that a worker makes at once.
        max_per_endpoint: Attempts at once to one receiver, of all workers.
        max_per_key: Attempts at once to the URLs of one virtual key, of all workers.
        max_pending: Pending deliveries of one webhook or virtual key; further ones are recorded as failed.
        timeout_s: Time of one attempt, name resolution included.
        retry_for_s: How long a delivery is retried.
        disable_after_s: An endpoint that fails for so long without any success is disabled.
        keep_s: How long ended deliveries are listed.
    """

    concurrency: Annotated[int, Field(gt=0, le=1000)] = 64
    max_per_endpoint: Annotated[int, Field(gt=0, le=1000)] = 8
    max_per_key: Annotated[int, Field(gt=0, le=1000)] = 16
    max_pending: Annotated[int, Field(gt=0, le=100_000)] = 10_000
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10
    retry_for_s: Annotated[float, Field(gt=0, le=6 * 86_400)] = 72 * 3600
    disable_after_s: Annotated[float, Field(gt=0, le=30 * 86_400)] = 86_400
    keep_s: Annotated[float, Field(ge=60, le=30 * 86_400)] = 7 * 86_400


class RouteTargetSettings(Section):
    """One target of a route."""

    model: str
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"model": value} if isinstance(value, str) else value


class RouteSettings(Section):
    """A model name that stands for several targets; those not chosen are fallbacks."""

    strategy: Literal["weighted", "least_latency", "least_cost"] = "weighted"
    targets: Annotated[tuple[RouteTargetSettings, ...], Field(min_length=1, max_length=64)]


class LogSettings(Section):
    """Logging of both tiers to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    requests: bool = True
    content: bool = False
    redact: tuple[str, ...] = ()

    @field_validator("redact")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a valid regular expression: {error}") from None
        return value


class Settings(Section):
    """The effective configuration of a process."""

    redis: RedisSettings = RedisSettings()
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    jobs: JobSettings = JobSettings()
    files: FileSettings = FileSettings()
    log: LogSettings = LogSettings()
    aliases: dict[str, str] = {}
    routes: dict[str, RouteSettings] = {}
    providers: dict[str, ProviderSettings] = {}
    fallbacks: dict[str, tuple[str, ...]] = {}
    virtual_keys: dict[str, VirtualKeySettings] = {}
    teams: dict[str, Limited] = {}
    customers: dict[str, Limited] = {}
    models: dict[str, Limited] = {}
    limits: dict[EachName, EachSettings] = {}
    prices: dict[str, PriceSettings] = {}
    ledger: LedgerSettings = LedgerSettings()
    webhooks: dict[str, WebhookSettings] = {}
    webhooks_delivery: DeliverySettings = DeliverySettings()
    alerts: Annotated[dict[AlertName, AlertSettings], Field(max_length=MAX_RULES)] = {}
