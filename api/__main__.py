"""``python -m api``: the API tier without the ``finops`` command."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.settings.load import InvalidConfiguration, load_settings
from shared.startup import skip_unused_imports, without_pydantic_v1, without_uvicorn_command_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Read options, environment and file, in that order of precedence, and serve.

    Returns:
        0 stopped as asked, 1 failed, 2 the configuration is refused.
    """
    options = _parser().parse_args(arguments)
    environ = dict(os.environ)
    for name, value in (
        ("FINOPS_HOST", options.host),
        ("FINOPS_PORT", options.port),
        ("FINOPS_REDIS_URL", options.redis_url),
    ):
        if value is not None:
            environ[name] = str(value)
    if options.config is not None:
        environ["FINOPS_CONFIG"] = str(options.config)
    try:
        settings = load_settings(environ=environ)
    except InvalidConfiguration as error:
        print(error, file=sys.stderr)  # noqa: T201 - for people
        return 2
    skip_unused_imports()
    without_pydantic_v1()
    without_uvicorn_command_line()
    from api.server import run_api  # noqa: PLC0415 - only now: it loads httpx

    return run_api(settings, fd=options.fd, environ=environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api",
        description="The API tier: answers synchronous calls itself, queues the others for the workers.",
        epilog="example: python -m api --port 8080 --redis-url redis://127.0.0.1:6379/0",
    )
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on; 0: any free one")
    parser.add_argument("--fd", type=int, help="serve this inherited listening socket instead")
    parser.add_argument("--config", type=Path, help="finops.toml")
    parser.add_argument("--redis-url", help="the job store")
    return parser


if __name__ == "__main__":
    sys.exit(main())
