"""The entry point: `finops`, and ``python -m cli`` where console scripts are not installed; children are started so."""

import os
import sys

from cli.overview import print_overview

HELP = frozenset({"-h", "--help"})


def run(program: str | None = None) -> None:
    """Print the overview by itself, and leave everything else to click: its import takes four times as long.

    Args:
        program: What it is called by; None: the name of the script.
    """
    arguments = sys.argv[1:]
    if print_overview(program or sys.argv[0].rpartition(os.sep)[2], arguments):
        return
    from cli.supervisor import ORDERS_OPTION  # noqa: PLC0415 - see above

    if arguments[:1] == ["serve"] and not HELP.intersection(arguments):
        _serve()
        return
    if arguments[:2] == ["api", ORDERS_OPTION]:
        from cli.supervisor.ordered_api import run_ordered_api  # noqa: PLC0415 - see above

        sys.exit(run_ordered_api(int(arguments[2])))
    from cli.main import main  # noqa: PLC0415 - see above

    main()


def _serve() -> None:
    """Run `finops serve`, with an API process that imports while this process does."""
    from cli.supervisor.ahead import CLI, StartedAhead  # noqa: PLC0415 - see above

    with StartedAhead([*CLI, "api"]) as ahead:
        from cli.main import main  # noqa: PLC0415 - only now, so that the other process waits for none of it

        main(obj=ahead)


if __name__ == "__main__":
    run("python -m cli")
