"""The entry point: `finops`, and ``python -m cli`` where console scripts are not installed; children are started so."""

import os
import sys

from cli.overview import print_overview


def run(program: str | None = None) -> None:
    """Print the overview by itself, and leave everything else to click: its import takes four times as long.

    Args:
        program: What it is called by; None: the name of the script.
    """
    if print_overview(program or sys.argv[0].rpartition(os.sep)[2], sys.argv[1:]):
        return
    from cli.main import main  # noqa: PLC0415 - see above

    main()


if __name__ == "__main__":
    run("python -m cli")
