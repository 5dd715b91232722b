"""What administrators send about virtual keys."""

from typing import Annotated, Any

from pydantic import Field

from shared.governance.keys.store import MAX_GRACE_S
from shared.settings.model import KeyRules, Section

KeyName = Annotated[str, Field(min_length=1, max_length=100, description="For people: in logs, reports and errors.")]


class NewKey(KeyRules):
    """A virtual key to be made; its value is made with it."""

    name: KeyName


class KeyChange(KeyRules):
    """What is to be otherwise about a virtual key; what is not said stays, `null` takes a limit away."""

    name: KeyName = ""


class KeyRotation(Section):
    """How a virtual key gets its new value."""

    grace_s: Annotated[
        int, Field(ge=0, le=MAX_GRACE_S, description="For how many seconds the values before it still work.")
    ] = 0


def said_in(body: KeyRules) -> dict[str, Any]:
    """The settings that a body names, defaults left out."""
    return body.model_dump(mode="json", exclude_unset=True, exclude={"name"})
