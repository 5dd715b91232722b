"""``python -m worker``: run a worker configured by the environment and ``FINOPS_CONFIG``."""

import os
import sys

from shared.settings.load import InvalidConfiguration, load_settings
from shared.startup import skip_unused_imports


def main() -> int:
    """Run until a signal arrives.

    Returns:
        The exit code.
    """
    try:
        settings = load_settings()
        port = int(os.environ.get("FINOPS_WORKER_METRICS_PORT") or 0)
    except (InvalidConfiguration, ValueError) as error:
        sys.stderr.write(f"worker: invalid configuration.\n{error}\n")
        return 1
    skip_unused_imports()
    from worker.main import run_worker  # noqa: PLC0415 - only now: it loads httpx

    return run_worker(settings, metrics_port=port or None)


if __name__ == "__main__":
    sys.exit(main())
