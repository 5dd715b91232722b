"""``finops simulate``: run the upstream simulator."""

import socket

import click

from cli.examples import examples
from cli.supervisor.lifeline import hold_lifeline
from cli.supervisor.signals import end_on_signals
from shared.startup import collect_rarely


@click.command(
    name="simulate",
    epilog=examples(
        "finops simulate --port 9100", "OPENAI_BASE_URL=http://127.0.0.1:9100/v1 OPENAI_API_KEY=any finops serve"
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=9100, show_default=True, help="Port to listen on.")
@click.option("--fd", type=click.IntRange(0), hidden=True, help="Inherited listening socket to serve instead.")
@click.option("--api-key", "api_keys", multiple=True, help="Accept only this API key; repeatable.")
def command(host: str, port: int, fd: int | None, api_keys: tuple[str, ...]) -> None:
    """Serve simulated provider APIs: deterministic, free, with scripted latency and faults.

    The model name sets the behaviour: gpt-4o@latency=3 answers after 3 s, gpt-4o@status=429,times=2 refuses twice.
    """
    collect_rarely()
    end_on_signals()
    supervised = hold_lifeline() is not None
    from cli.supervisor.listening import open_listeners, url_of
    from simulator.serve import serve

    listener = open_listeners(host, port, 1)[0] if fd is None else socket.socket(fileno=fd)
    if not supervised:
        click.echo(f"finops: simulating providers on {url_of(listener)}", err=True)
    serve(listener, api_keys=api_keys)
