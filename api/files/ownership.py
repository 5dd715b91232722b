"""Whose files and batches a caller may list, and the query parameters of such lists."""

from urllib.parse import parse_qs

from api.services import Services
from shared.errors import InvalidRequest
from shared.governance.keys.caller import Caller


async def list_owner(services: Services, caller: Caller) -> str | None:
    """The owner of what a caller's lists hold; None: they hold nothing.

    Where virtual keys exist, what was made without one is reachable by its id alone. Where none does, whoever reaches
    the gateway is its one tenant.
    """
    if caller.key_id or caller.admin or await services.governance.serves_one_tenant():
        return caller.key_id
    return None


def read_query(raw: bytes) -> dict[str, str]:
    """Query parameters; of one that came twice the last."""
    return {name: values[-1] for name, values in parse_qs(raw.decode("latin-1")).items()}


def read_limit(said: str | None, *, most: int, default: int) -> int:
    """How long a page is to be.

    Raises:
        InvalidRequest: It is no number from 1 to the most.
    """
    if not said:
        return default
    if said.isascii() and said.isdigit() and len(said) <= 6 and 1 <= int(said) <= most:
        return int(said)
    raise InvalidRequest(f"limit must be a whole number from 1 to {most}.", param="limit")


def unknown_cursor() -> InvalidRequest:
    """The answer to a cursor of ours that is in no list."""
    return InvalidRequest("after must be an id of this list; what it names may be gone.", param="after")
