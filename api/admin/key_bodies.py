"""Request bodies of ``/api/keys``."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, field_validator

from shared import clock
from shared.governance.keys.store import MAX_GRACE_S
from shared.governance.limits.model import MICRO
from shared.settings.model import KeyRules
from shared.settings.section import Section

MOST_AHEAD = timedelta(days=366)

KeyName = Annotated[str, Field(min_length=1, max_length=100, description="Display name in logs, reports and errors.")]


class NewKey(KeyRules):
    """A new virtual key; its value is generated."""

    name: KeyName


class KeyChange(KeyRules):
    """Changes to a virtual key. Absent fields keep their value; `null` removes a limit."""

    name: KeyName = ""


class KeyRotation(Section):
    """Options for a key's rotation."""

    grace_s: Annotated[
        int, Field(ge=0, le=MAX_GRACE_S, description="Seconds for which the previous values keep working.")
    ] = 0


class LimitRaise(Section):
    """A raise of a budget."""

    limit: Annotated[str, Field(max_length=500, description="`id` of a budget in `GET /api/keys/{id}/limits`.")]
    amount_usd: Annotated[
        float, Field(ge=1 / MICRO, le=1e9, allow_inf_nan=False, description="Added to the budget, in USD.")
    ]
    until: Annotated[AwareDatetime, Field(description="When it is over; with an offset, at most 366 days ahead.")]
    reason: Annotated[str, Field(min_length=1, max_length=500, description="Kept in the audit trail.")]

    @field_validator("until")
    @classmethod
    def _within_a_year(cls, value: datetime) -> datetime:
        if value > clock.now() + MOST_AHEAD:
            raise ValueError("must be at most 366 days ahead")
        return value


def settings_in(body: KeyRules) -> dict[str, Any]:
    """The settings that the body contains, without defaults."""
    return body.model_dump(mode="json", exclude_unset=True, exclude={"name"})
