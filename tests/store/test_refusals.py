"""Which errors of a server say nothing about the command."""

import pytest
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ResponseError

from shared.errors import StoreUnavailable
from shared.jobs.scripts import as_caller_sees
from shared.store.errors import MOVED_CODES, REFUSALS, StoreConnectionError
from shared.store.refusals import is_moved, refusal_of

ANSWERS = {
    "BUSY": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN": "CLUSTERDOWN The cluster is down",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MISCONF": "MISCONF Errors writing to the AOF file: No space left on device",
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY": "READONLY You can't write against a read only replica.",
    "TRYAGAIN": "TRYAGAIN Multiple keys request during rehashing of slot",
    "UNBLOCKED": "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "MOVED": "MOVED 3999 127.0.0.1:6381",
    "ASK": "ASK 3999 127.0.0.1:6381",
    "NOPERM": "NOPERM User default has no permissions to run the 'evalsha' command",
}


def parsed(answer: str) -> ResponseError:
    """The error as redis-py's parser makes it of a server's answer."""
    return DefaultParser.parse_error(answer)


@pytest.mark.parametrize("code", ANSWERS)
def test_a_refusal_is_known_by_its_first_word(code: str) -> None:
    refusal = refusal_of(parsed(ANSWERS[code]))
    assert refusal is not None
    assert (refusal.code, refusal.moved) == (code, code in MOVED_CODES)
    assert is_moved(parsed(ANSWERS[code])) is (code in MOVED_CODES)
    seen = as_caller_sees(refusal)
    assert isinstance(seen, StoreUnavailable)
    assert seen.status == 503
    assert REFUSALS[code] in str(seen)


def test_a_missing_permission_is_named() -> None:
    assert "'evalsha'" in str(as_caller_sees(parsed(ANSWERS["NOPERM"])))
    script = parsed("ERR ACL failure in script: User default has no permissions to run the 'publish' command")
    assert "'publish'" in str(as_caller_sees(script))


def test_a_server_that_loads_its_data_is_a_lost_connection() -> None:
    assert isinstance(as_caller_sees(StoreConnectionError("LOADING")), StoreUnavailable)
    assert not is_moved(ConnectionError())


@pytest.mark.parametrize("answer", ["WRONGTYPE Operation against a key", "ERR wrong number of arguments", "ODD"])
def test_any_other_error_is_a_fault_of_the_command(answer: str) -> None:
    error = parsed(answer)
    assert refusal_of(error) is None
    assert as_caller_sees(error) is error
