"""Finds headers that are almost one of the gateway's: ``x-bf-asnyc`` would otherwise run a job at once, in silence."""

import difflib
import logging
from collections.abc import Iterable

logger = logging.getLogger("finops.api")

PREFIX = b"x-bf-"
DIMENSION = b"x-bf-dim-"
WARNING = b"x-bf-warning"
NEAR = 0.8
MOST_LETTERS = 64
# Every header of the gateway, those of its answers included; a test compares them with the code.
KNOWN = frozenset(
    {
        b"x-bf-admin-key",
        b"x-bf-async",
        b"x-bf-async-deadline",
        b"x-bf-async-delay",
        b"x-bf-async-estimated-start",
        b"x-bf-async-expected-saving-usd",
        b"x-bf-async-id",
        b"x-bf-async-job-result-ttl",
        b"x-bf-async-lane",
        b"x-bf-async-patience",
        b"x-bf-async-priority",
        b"x-bf-async-promote-at",
        b"x-bf-async-queue-position",
        b"x-bf-async-status",
        b"x-bf-async-wait",
        b"x-bf-async-webhook",
        b"x-bf-cache",
        b"x-bf-cache-debug",
        b"x-bf-cache-hit-type",
        b"x-bf-cache-id",
        b"x-bf-cache-key",
        b"x-bf-cache-no-store",
        b"x-bf-cache-similarity",
        b"x-bf-cache-threshold",
        b"x-bf-cache-ttl",
        b"x-bf-cache-type",
        b"x-bf-cost-usd",
        b"x-bf-provider",
        b"x-bf-run-budget-usd",
        b"x-bf-run-id",
        b"x-bf-saved-usd",
        b"x-bf-session-id",
        b"x-bf-timeout",
        b"x-bf-vk",
        WARNING,
    }
)


def unknown_headers(names: Iterable[bytes]) -> list[bytes]:
    """Return the gateway's own-looking headers that it does not know; on the path of every request (1.6 us)."""
    return [name for name in names if name[:5] == PREFIX and name not in KNOWN and not name.startswith(DIMENSION)]


def warning_of(names: Iterable[bytes]) -> str:
    """Describe the unknown headers that are nearly known ones, and log them; empty if none is."""
    spelt = [name.decode() for name in KNOWN]
    found = []
    for name in names:
        if len(name) > MOST_LETTERS or not name.isascii():
            continue
        near = difflib.get_close_matches(name.decode(), spelt, n=1, cutoff=NEAR)
        if near:
            found.append(f"unknown header {name.decode()!r}, did you mean {near[0]!r}?")
    if not found:
        return ""
    text = "; ".join(found[:3])
    logger.warning("a request has a misspelt header: %s", text)
    return text
