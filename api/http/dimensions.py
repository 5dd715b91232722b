"""Custom dimensions: ``x-bf-dim-<name>: <value>`` adds a dimension to a call's ledger entry."""

import re
from collections.abc import Mapping

from shared.errors import InvalidRequest
from shared.governance.keys.caller import Caller

PREFIX = b"x-bf-dim-"
MAX_DIMENSIONS = 10
MAX_VALUE = 100
_NAME = re.compile(rb"[a-z0-9][a-z0-9_\-]{0,39}")
_NONE: Mapping[str, str] = {}


def dimensions_of(headers: Mapping[bytes, bytes], caller: Caller) -> Mapping[str, str]:
    """Parse the dimensions in the headers.

    Args:
        headers: Lower-case names.
        caller: Whose key may fix dimensions, which its calls cannot override.

    Raises:
        InvalidRequest: There are too many, a name or value is invalid, or the caller's key fixes another value.
    """
    names = [name for name in headers if name[:9] == PREFIX]  # half the time of `startswith`
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
    for dimension, fixed in caller.dimensions:
        if found.get(dimension, fixed) != fixed:
            raise InvalidRequest(
                f"The virtual key fixes the dimension {dimension!r}: leave out x-bf-dim-{dimension}.",
                code="dimension_fixed",
                param=f"x-bf-dim-{dimension}",
            )
    return found
