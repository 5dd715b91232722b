"""The services of a running API process, built once in its lifespan."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

from api.engine import JobEngine
from api.http.call_slots import CallSlots
from api.http.client_address import ClientAddresses
from api.http.login_throttle import LoginThrottle
from api.http.long_polls import LongPolls
from api.http.openid import OpenIdProvider
from api.http.request_context import Scope
from api.http.shared_answers import SharedAnswers
from shared.alerts.figures import FigureLoop
from shared.alerts.rules import AlertRules
from shared.batches.files import FileStore
from shared.batches.store import BatchStore
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.sessions import Sessions
from shared.governance.keys.store import VirtualKeyStore
from shared.governance.keys.tokens import ApiTokens
from shared.governance.ledger.audit import Audit
from shared.governance.pricing.stored import PriceRefresh
from shared.inference.inference import Inference
from shared.inference.lane_choice import LaneChooser
from shared.inference.submission import Submitter
from shared.jobs.events import EventLog
from shared.jobs.operations import OperationStore
from shared.jobs.overview import OverviewReader
from shared.jobs.pauses import PauseStore
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.jobs.waiting import OutcomeWaiters
from shared.patience.gathering import GatheredBatches
from shared.schedules.store import ScheduleStore
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import Tracing
from shared.webhooks.secrets import WebhookSecrets
from shared.webhooks.store import DeliveryStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services that endpoints use; stored at ``app.state.services``."""

    settings: Settings
    commands: RedisCommands
    engine: JobEngine
    queue: JobQueue
    store: JobStore
    submitter: Submitter
    lanes: LaneChooser
    gathered: GatheredBatches
    events: EventLog
    waiters: OutcomeWaiters
    inference: Inference
    governance: Authenticator
    metrics: Metrics
    waits: LongPolls = field(default_factory=LongPolls)
    keys: VirtualKeyStore
    tokens: ApiTokens
    audit: Audit
    addresses: ClientAddresses
    attempts: LoginThrottle = field(default_factory=LoginThrottle)
    call_slots: CallSlots = field(default_factory=CallSlots)
    key_attempts: LoginThrottle
    files: FileStore
    batches: BatchStore
    schedules: ScheduleStore
    operations: OperationStore
    pauses: PauseStore
    overview: OverviewReader
    sessions: Sessions
    openid: OpenIdProvider | None
    shared_answers: SharedAnswers = field(default_factory=SharedAnswers)
    deliveries: DeliveryStore
    webhook_secrets: WebhookSecrets
    alert_rules: AlertRules
    figures: FigureLoop
    prices: PriceRefresh
    tracing: Tracing | None

    async def aclose(self) -> None:
        """Close every connection."""
        await self.figures.aclose()
        await self.governance.aclose()
        await self.inference.aclose()
        await self.engine.aclose()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)


def services_of(scope: Scope) -> Services:
    """Return the services of the application that serves this request."""
    return cast("Services", scope["app"].state.services)
