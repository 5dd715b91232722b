"""The run of a request: ``x-bf-run-id`` and ``x-bf-run-budget-usd``, or ``metadata.run_id`` of its body."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shared.errors import InvalidRequest
from shared.governance.limits.runs import Run, read_run_budget, read_run_id, run_in_metadata

ID = b"x-bf-run-id"
BUDGET = b"x-bf-run-budget-usd"
MOST_REMEMBERED = 32  # bytes of a budget
_NOTHING: Mapping[str, Any] = {}


def run_of(headers: Mapping[bytes, bytes], fields: Mapping[str, Any] = _NOTHING) -> Run | None:
    """Parse the run of a request; None if it names none. The header counts before the body's metadata.

    Args:
        headers: Lower-case names.
        fields: The request's body.

    Raises:
        InvalidRequest: The id or the budget is unusable, or there is a budget without an id.
    """
    if ID in headers and len(headers.get(BUDGET, b"")) <= MOST_REMEMBERED:
        return _run_in(headers[ID], headers.get(BUDGET))
    return _run_of(headers, fields)


@lru_cache(maxsize=1024)
def _run_in(run_id: bytes, budget: bytes | None) -> Run | None:
    """Parse the run of an agent's headers, which are the same for many of its requests; errors are not remembered."""
    return _run_of({ID: run_id} if budget is None else {ID: run_id, BUDGET: budget}, _NOTHING)


def _run_of(headers: Mapping[bytes, bytes], fields: Mapping[str, Any]) -> Run | None:
    if ID in headers:
        run: Run | None = Run(read_run_id(headers[ID].decode("latin-1").strip(), ID.decode()))
    else:
        run = run_in_metadata(fields)
    if BUDGET not in headers:
        return run
    if run is None:
        raise InvalidRequest(f"{BUDGET.decode()} needs {ID.decode()}, the run that it caps.", param=ID.decode())
    return run._replace(budget=read_run_budget(headers[BUDGET].decode("latin-1").strip(), BUDGET.decode()))
