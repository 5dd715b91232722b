"""Chooses the environment of processes that need no configuration."""

from collections.abc import Mapping

_NAMES = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "LD_PRELOAD"})
# COVERAGE_*, COV_*: measuring subprocesses is configured by the environment; FAKETIME*: so is a moved clock, which a
# process and its store must share.
_PREFIXES = ("PYTHON", "LC_", "SSL_CERT_", "COVERAGE", "COV_", "FAKETIME")


def minimal_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep what a process needs to start: search paths, locale, certificates; no provider's key, no admin key."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
