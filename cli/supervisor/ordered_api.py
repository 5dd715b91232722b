"""The API process that `finops serve` starts ahead, without click: its import is a tenth of the start."""

import argparse
import sys
from collections.abc import Sequence

from cli.supervisor.ahead import receive_orders
from cli.supervisor.lifeline import hold_lifeline
from cli.supervisor.signals import end_on_signals
from shared.startup import (
    collect_rarely,
    skip_unused_imports,
    without_pydantic_plugins,
    without_pydantic_v1,
    without_uvicorn_command_line,
)


def run_ordered_api(orders_fd: int) -> int:
    """Load what an API process needs, then serve as the supervisor orders.

    The supervisor has checked the configuration, and its environment names the store and the admin key.

    Returns:
        The exit code: that of `api.server.run_api`, or 2 when the configuration is invalid after all.

    Raises:
        SystemExit: The supervisor ended without orders.
    """
    collect_rarely()
    skip_unused_imports()
    without_pydantic_v1()
    without_pydantic_plugins()
    without_uvicorn_command_line()
    from api.server import run_api  # noqa: PLC0415 - only now: see above
    from shared.settings.load import InvalidConfiguration, load_settings  # noqa: PLC0415

    options = _options(receive_orders(orders_fd))
    without_pydantic_plugins()  # the orders replaced the environment
    end_on_signals()
    hold_lifeline()
    try:
        settings = load_settings()
    except InvalidConfiguration as error:
        print(error, file=sys.stderr)  # noqa: T201 - for people
        return 2
    return run_api(settings, fd=options.fd, control_fd=options.control_fd)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read those options of `finops api` that a supervisor gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int)
    parser.add_argument("--control-fd", type=int)
    return parser.parse_args(arguments)
