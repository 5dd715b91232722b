"""Requests whose callers wrote them in the provider's own format: they go on as they came. Pure."""

from collections.abc import Set as AbstractSet

from shared.providers.wires.base import ProviderRequest
from shared.surfaces.genai.spelling import to_camel
from shared.surfaces.request_body import NativeBody


def native_body(request: ProviderRequest, surface: str, expressed: AbstractSet[str]) -> NativeBody | None:
    """Return the caller's own bytes if they can go on as they are; None: the translation is to be sent.

    Args:
        request: The request.
        surface: The format of the provider.
        expressed: Names of the fields of the translation: what it leaves out by design is not sent either.
    """
    native = request.native
    if native is None or native.surface != surface:
        return None
    left = (name for name, value in native.fields.items() if not _is_nothing(value))
    return None if any(name not in expressed and to_camel(name) not in expressed for name in left) else native


def _is_nothing(value: object) -> bool:
    """Whether a field asks for nothing."""
    return value is None or value is False or (isinstance(value, list | dict | str) and not value)
