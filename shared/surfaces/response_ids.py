"""Ids of responses that this gateway made."""

import re

from shared.surfaces import minted_ids

_PREFIX = "resp_"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def mint_response_id(shard: int = 0) -> str:
    """A new id: ``resp_`` and 48 hexadecimal digits, as OpenAI's; of a job in a shard other than 0, it names that."""
    return minted_ids.mint(_PREFIX, shard)


def shard_of_response(response_id: str) -> int:
    """The shard that an id names; 0 for any other text."""
    return minted_ids.shard_in(_PREFIX, response_id)


def is_minted(response_id: str) -> bool:
    """Whether ``mint_response_id`` made it."""
    return minted_ids.is_minted(_PREFIX, response_id)


def is_ours(response_id: str) -> bool:
    """Whether an id can only be of a response that this gateway made, or of one of its jobs."""
    return is_minted(response_id) or _UUID.fullmatch(response_id) is not None
