"""Checks which commands the store lacks, or does not let its user run, by running each without effect."""

from collections.abc import Iterable

from redis.exceptions import ResponseError

from shared.checks.findings import Finding, fail, ok, warn
from shared.settings.model import Settings
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreRefused
from shared.store.probe import PROBE, PROBE_TTL_MS
from shared.store.refusals import is_unavailable_command

_CHECK = "store rights"
_NOWHERE = "0" * 40
# Any answer but "not permitted" and "unknown command" shows that a command may be run: most of these are errors.
_NEEDED: dict[str, tuple[Argument, ...]] = {
    "SET": ("SET", PROBE, "1", "PX", PROBE_TTL_MS),
    "GETRANGE": ("GETRANGE", PROBE, 0, 0),
    "EVALSHA": ("EVALSHA", _NOWHERE, 0),
    "BLPOP": ("BLPOP", PROBE, 0.001),
    "PUBLISH": ("PUBLISH", PROBE, "1"),
    "XREADGROUP": ("XREADGROUP", "GROUP", "finops", "doctor", "STREAMS", PROBE, ">"),
    "XAUTOCLAIM": ("XAUTOCLAIM", PROBE, "finops", "doctor", 1, "0"),
}
_COURTESY: dict[str, tuple[Argument, ...]] = {
    "SCRIPT LOAD": ("SCRIPT", "LOAD", "return 1"),
    "CLIENT UNBLOCK": ("CLIENT", "UNBLOCK", 0),
}
_DURABILITY: dict[str, dict[str, tuple[Argument, ...]]] = {
    "fsync": {"WAITAOF": ("WAITAOF", 0, 0, 1)},
    "replicated": {"WAIT": ("WAIT", 0, 1)},
}


async def check_rights(commands: RedisCommands, settings: Settings) -> Finding:
    """Name the commands that the store lacks or forbids to its user, of those that are sent to it.

    Args:
        commands: The store, on connections that may block.
        settings: Whether durability needs further commands.

    Raises:
        StoreConnectionError: The store does not answer.
    """
    needed = _NEEDED | _DURABILITY.get(settings.jobs.durability, {})
    missing = [name for name, attempt in needed.items() if not await _may_run(commands, attempt)]
    if missing:
        return fail(_CHECK, f"the store does not let its user run {', '.join(missing)}", _advice(missing))
    missing = [name for name, attempt in _COURTESY.items() if not await _may_run(commands, attempt)]
    if missing:
        return warn(_CHECK, f"the store does not let its user run {', '.join(missing)}", _advice(missing))
    return ok(_CHECK, "every command that is sent may be run")


async def _may_run(commands: RedisCommands, attempt: tuple[Argument, ...]) -> bool:
    try:
        await commands.execute(*attempt)
    except StoreRefused as error:
        return error.code != "NOPERM"
    except ResponseError as error:
        return not is_unavailable_command(error)
    return True


def _advice(names: Iterable[str]) -> str:
    rules = " ".join(f"+{name.lower().replace(' ', '|')}" for name in names)
    return f"permit them to the user (ACL SETUSER ... {rules}), or use a server that has them"
