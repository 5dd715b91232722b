"""Reads, prices and keeps what batches of gathered jobs need."""

import logging

from shared.errors import GatewayError, StoreUnavailable
from shared.governance.keys.authenticate import Authenticator
from shared.inference.billing import Billing
from shared.inference.call import Answer, Call, Target
from shared.inference.inference import Inference
from shared.inference.retries import retry_call
from shared.jobs.bodies import Bodies, BodyPolicy
from shared.jobs.model import Job
from shared.jobs.store import JobStore
from shared.patience.gathering import Group
from shared.patience.times import LaneTimes
from shared.store.commands import RedisCommands
from shared.surfaces.request_types import CHAT, RESPONSES

log = logging.getLogger("finops.batches")

_KEPT_TYPES = frozenset({CHAT.name, RESPONSES.name})


class LaneTools:
    """What gathered jobs are read, priced and answered with.

    Args:
        commands: The store.
        policy: How bodies are stored.
        billing: Prices lines.
        inference: Knows the providers.
        governance: Knows the owners.

    Attributes:
        commands: The store.
        inference: Knows the providers.
        jobs: The jobs.
        bodies: Stores results.
        billing: Prices lines.
        governance: Knows the owners.
        times: Counts how long batches took.
    """

    def __init__(
        self,
        commands: RedisCommands,
        policy: BodyPolicy,
        *,
        billing: Billing,
        inference: Inference,
        governance: Authenticator,
    ) -> None:
        self.commands = commands
        self.inference = inference
        self.jobs = JobStore(commands, policy)
        self.bodies = Bodies(commands, policy)
        self.billing = billing
        self.governance = governance
        self.times = LaneTimes(commands)

    async def call_of(self, job: Job, group: Group) -> Call | None:
        """Return a job's call as its batch has it; None: its request is gone.

        Raises:
            GatewayError: It cannot be run for its owner any more.
        """
        payload = await self.jobs.payload(job.id)
        if payload is None:
            return None
        caller = await self.governance.owner(job.owner)
        caller.check()
        return retry_call(job, payload, caller, model=f"{group.provider}/{group.model}")

    def target(self, group: Group) -> Target:
        """Return the target of a batch."""
        return Target(self.inference.providers[group.provider], group.model)

    async def keep(self, job: Job, group: Group, result: bytes) -> None:
        """Store what a usual run would of an answer: a response, and who owns what the provider keeps.

        Raises:
            StoreUnavailable: No answer.
        """
        if job.request_type not in _KEPT_TYPES:
            return
        try:
            call = await self.call_of(job, group)
        except StoreUnavailable:
            raise
        except GatewayError as error:  # it has been answered nevertheless
            log.warning("an answer's owner is not recorded", extra={"job_id": job.id, "reason": error.code})
            return
        if call is not None:
            await self.inference.objects.record_made(call, self.target(group), result)
            await self.inference.keep_job(call, Answer(status=200, body=result))
