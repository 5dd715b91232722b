"""`python -m simulator --port N`."""

import argparse
import socket
import sys
from collections.abc import Sequence

from simulator.serve import serve


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and serve until a signal."""
    parser = argparse.ArgumentParser(prog="simulator", description="An upstream that speaks the OpenAI wire.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--api-key", action="append", default=[], help="accept only this key; may be repeated")
    options = parser.parse_args(arguments)
    listener = socket.create_server((options.host, options.port))
    print(f"simulator running on http://{options.host}:{listener.getsockname()[1]}", file=sys.stderr)  # noqa: T201
    serve(listener, api_keys=options.api_key)


if __name__ == "__main__":
    main()
