"""Books the lines of a provider's batch that has ended, each once."""

from collections.abc import Mapping
from typing import Any

from shared.governance.keys.authenticate import Authenticator
from shared.governance.ledger.followed_batches import FollowedBatch, FollowedBatches
from shared.inference.provider_batch_lines import ended_files
from shared.inference.provider_batches import ProviderBatches


class BatchBooking:
    """Books lines, from wherever an earlier turn stopped.

    Attributes:
        followed: The batches that are followed.
        batches: Reads them at their providers.
    """

    def __init__(self, followed: FollowedBatches, batches: ProviderBatches, governance: Authenticator) -> None:
        self.followed = followed
        self.batches = batches
        self._governance = governance

    async def book(self, batch: FollowedBatch, found: Mapping[str, Any], *, then: str, rescued: bool = False) -> None:
        """Book every line of a batch's output and error files that is not booked.

        Args:
            batch: As the turn has it.
            found: The batch as its provider has it.
            then: ``CLOSE`` or ``SETTLE``.
            rescued: Whether the gateway runs lines that the provider failed.

        Raises:
            BatchTurnLost: Another turn has been taken.
            GatewayError: A file cannot be read, or the store does not answer.
        """
        owner = await self._governance.owner(batch.owner)
        booked, passed = batch.lines, 0
        for file_id in ended_files(found):
            number, skip = 0, max(0, booked - passed)
            async for number, lines in self.batches.booked_lines(batch, file_id, owner, skip, rescued=rescued):
                if passed + number > booked:
                    after = passed + number
                    await self.followed.book(batch, after, booked=lines, before=booked, then=60_000)
                    booked = after
            passed += number
        await self.followed.book(batch, booked, before=booked, then=then)
