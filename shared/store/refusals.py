"""Classifies the server's errors: refusals that pass are kept apart from faults of a command."""

from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from shared.store.errors import MOVED_CODES, REFUSALS, StoreRefused

# redis-py strips the first word of errors that it has a class for.
_CLASSES = ((OutOfMemoryError, "OOM"), (ReadOnlyError, "READONLY"), (NoPermissionError, "NOPERM"))
# What Redis 7 answers when a script runs a command that its user may not.
_SCRIPT_PERMISSION = "ACL failure in script"


def refusal_of(error: ResponseError) -> StoreRefused | None:
    """Return the refusal that an error stands for; None when the command itself is at fault."""
    text = str(error)
    code = next((code for kind, code in _CLASSES if isinstance(error, kind)), text.partition(" ")[0])
    if _SCRIPT_PERMISSION in text:
        code = "NOPERM"
    if code not in REFUSALS:
        return None
    return StoreRefused(code, f"the store refuses ({code}): {text.removeprefix(f'{code} ')}", moved=code in MOVED_CODES)


def is_moved(error: BaseException) -> bool:
    """Tell whether an error of redis-py means that another server takes the command."""
    refusal = refusal_of(error) if isinstance(error, ResponseError) else None
    return refusal is not None and refusal.moved


def is_unavailable_command(error: ResponseError) -> bool:
    """Tell whether the server lacks a command, has it under another name, or does not permit it to its user."""
    return isinstance(error, NoPermissionError) or str(error).startswith("unknown command")
