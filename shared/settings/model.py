"""The shape of ``finops.toml``; public, and it stays. Every default is here."""

import ipaddress
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from shared.settings.alert_rules import MAX_RULES, AlertName, AlertSettings
from shared.settings.auth import AuthSettings
from shared.settings.cache import CacheSettings
from shared.settings.files import BlobSettings, FileSettings, StoreSettings
from shared.settings.guardrails import MAX_GUARDRAILS, GuardrailName, GuardrailSettings, check_answers
from shared.settings.limits import EachName, EachSettings, Limited
from shared.settings.patience import PatienceSettings
from shared.settings.prices import PriceSettings
from shared.settings.section import Section
from shared.settings.telemetry import LogSettings, TelemetrySettings

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

# Labels become parts of meter names and of roll-ups, so they must not contain the separators used there.
Label = Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Pattern = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
DimensionName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,39}$")]
DimensionValue = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _known_network(value: object) -> object:
    try:
        return str(ipaddress.ip_network(str(value)))
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8, without host bits") from None


NetworkName = Annotated[str, BeforeValidator(_known_network)]


class RedisSettings(Section):
    """The job store; without a URL ``finops serve`` starts its own, which ``max_memory_mb`` is for."""

    url: SecretStr | None = None
    allow_eviction: bool = False
    max_memory_mb: Annotated[int, Field(ge=16)] | None = None
    shards: Annotated[int, Field(ge=1, le=64)] = 1


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
    max_json_values: Annotated[int, Field(ge=1000, le=10_000_000)] = 100_000
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


class JobSettings(Section):
    """The job engine's limits."""

    @property
    def max_stored_bytes(self) -> int:
        """Most bytes that one caller keeps."""
        return int(self.max_stored_mb * 1024 * 1024)

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
    compress_min_kb: Annotated[int, Field(ge=0, le=1024 * 1024)] = 2
    patience: PatienceSettings = PatienceSettings()


class BatchSettings(Section):
    """Batches that providers run themselves.

    Attributes:
        rescue: Whether lines that a provider fails, expires or leaves are run by the gateway.
        rescue_before_s: How long before the end of a batch's window its rescue begins.
    """

    rescue: bool = False
    rescue_before_s: Annotated[int, Field(ge=60, le=86_400)] = 3600


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
    flex: bool | None = None
    stream_usage: bool | None = None
    api_version: str | None = None
    deployments: dict[str, str] = {}
    project: str | None = None
    location: str | None = None
    region: str | None = None
    credentials: SecretStr | None = None
    proxy: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    @model_validator(mode="after")
    def _key_with_certificate(self) -> "ProviderSettings":
        if self.client_key and not self.client_cert:
            raise ValueError("client_key is the key of client_cert, which is missing")
        return self

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


class LedgerSettings(Section):
    """Retention of the ledger, and alerts on spend."""

    calls_days: Annotated[int, Field(gt=0, le=3650)] = 30
    max_calls: Annotated[int, Field(gt=0, le=10**9)] = 1_000_000
    hours_days: Annotated[int, Field(gt=0, le=3650)] = 35
    days_days: Annotated[int, Field(gt=0, le=3650)] = 400
    max_groups_per_key: Annotated[int, Field(ge=1, le=10_000)] = 2_500
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


class ScheduleSettings(Section):
    """Limits of schedules.

    Attributes:
        max_per_key: Most schedules of one virtual key; also of all callers without a key together.
        min_interval_s: Shortest ``every_s``.
    """

    max_per_key: Annotated[int, Field(ge=0, le=10_000)] = 100
    min_interval_s: Annotated[float, Field(ge=1, le=86_400)] = 1


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


class Settings(Section):
    """The effective configuration of a process."""

    redis: RedisSettings = RedisSettings()
    store: StoreSettings = StoreSettings()
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    jobs: JobSettings = JobSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    files: FileSettings = FileSettings()
    batches: BatchSettings = BatchSettings()
    blobs: BlobSettings = BlobSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
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
    cache: CacheSettings = CacheSettings()
    guardrails: Annotated[dict[GuardrailName, GuardrailSettings], Field(max_length=MAX_GUARDRAILS)] = {}
    webhooks: dict[str, WebhookSettings] = {}
    webhooks_delivery: DeliverySettings = DeliverySettings()
    alerts: Annotated[dict[AlertName, AlertSettings], Field(max_length=MAX_RULES)] = {}

    @property
    def streams_jobs(self) -> bool:
        """Whether jobs show their answers as they grow: not where a guardrail has to see whole ones first."""
        return self.jobs.stream_output and not check_answers(self.guardrails.values())
