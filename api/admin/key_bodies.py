"""Request bodies of ``/api/keys``."""

from typing import Annotated, Any

from pydantic import Field

from shared.governance.keys.store import MAX_GRACE_S
from shared.settings.model import KeyRules, Section

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


def settings_in(body: KeyRules) -> dict[str, Any]:
    """The settings that the body contains, without defaults."""
    return body.model_dump(mode="json", exclude_unset=True, exclude={"name"})
