"""Custom dimensions: ``x-bf-dim-<name>: <value>`` adds a dimension to a call's ledger entry."""

import re
from collections.abc import Mapping

from shared.errors import InvalidRequest

PREFIX = b"x-bf-dim-"
MAX_DIMENSIONS = 10
MAX_VALUE = 100
_NAME = re.compile(rb"[a-z0-9][a-z0-9_\-]{0,39}")
_NONE: Mapping[str, str] = {}


def dimensions_of(headers: Mapping[bytes, bytes]) -> Mapping[str, str]:
    """Parse the dimensions in the headers.

    Args:
        headers: Lower-case names.

    Raises:
        InvalidRequest: There are too many, or a name or value is invalid.
    """
    names = [name for name in headers if name.startswith(PREFIX)]
    if not names:
        return _NONE
    if len(names) > MAX_DIMENSIONS:
        raise InvalidRequest(f"At most {MAX_DIMENSIONS} x-bf-dim headers are understood.", param="x-bf-dim")
    found = {}
    for header in names:
        name, value = header[len(PREFIX) :], headers[header].decode("latin-1").strip()
        if not _NAME.fullmatch(name) or not 0 < len(value) <= MAX_VALUE:
            raise InvalidRequest(
                f"{header.decode('latin-1')[:80]}: a dimension has a name of letters, digits, - and _, "
                f"and a value of 1 to {MAX_VALUE} characters.",
                param="x-bf-dim",
            )
        found[name.decode()] = value
    return found
