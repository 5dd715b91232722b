"""The plain options of a request: stop sequences, who asks, the service tier."""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.reading import read_stops
from shared.surfaces.fields import need_object, need_text, unsupported

# https://platform.claude.com/docs/en/api/service-tiers
_TIERS = {"auto": "auto", "default": "standard_only"}


def read_options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``stop_sequences``, ``metadata`` and ``service_tier``, as far as asked for.

    Raises:
        UnsupportedParameter: A blank stop sequence, or a tier that the provider does not have.
        InvalidRequest: A field has the wrong type.
    """
    options: dict[str, Any] = {}
    stops = read_stops(fields.get("stop"), blank=False)
    if stops:
        options["stop_sequences"] = stops
    user = _user(fields)
    if user is not None:
        options["metadata"] = {"user_id": user}
    if "service_tier" in fields:
        tier = fields["service_tier"]
        if not isinstance(tier, str) or tier not in _TIERS:
            raise unsupported("service_tier", f"{tier!r} is none of {', '.join(_TIERS)}.")
        options["service_tier"] = _TIERS[tier]
    return options


def _user(fields: Mapping[str, Any]) -> str | None:
    for name in ("safety_identifier", "user"):
        if name in fields:
            return need_text(fields[name], name)
    metadata = need_object(fields.get("metadata", {}), "metadata")
    user = metadata.get("user_id")
    return None if user is None else need_text(user, "metadata.user_id")
