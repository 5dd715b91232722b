"""``finops chat``: talk to a model from the terminal."""

import sys
from typing import TYPE_CHECKING

import click

from cli.client.options import caller_options, json_option
from cli.examples import examples

if TYPE_CHECKING:
    from cli.client.gateway import Gateway

Message = dict[str, str]


@click.command(
    name="chat",
    epilog=examples(
        "finops chat --model openai/gpt-4o",
        'finops chat --message "What is a ledger?"',
        "finops chat --model sim/gpt-4o < question.txt",
    ),
)
@click.option("--model", default="openai/gpt-4o-mini", show_default=True, help="Model as provider/model.")
@click.option("--message", help="Ask this once, print the answer, and end.")
@click.option("--system", help="System message.")
@json_option
@caller_options
def command(
    *,
    model: str,
    message: str | None,
    system: str | None,
    url: str,
    key: str | None,
    as_json: bool,
) -> None:
    """Chat with a model; its answer is printed as it arrives.

    Without --message, lines from the terminal are a conversation, and other standard input is one question.
    An empty line or Ctrl-D ends the conversation. With --json, the question's whole answer is printed as one document.
    """
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json

    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read()
    if message is not None and not message.strip():
        raise click.UsageError("no question: pass --message TEXT, or text on standard input")
    history: list[Message] = [{"role": "system", "content": system}] if system else []

    async def call(gateway: "Gateway") -> None:
        if message is None:
            await _converse(gateway, model, history)
        elif as_json:
            body = {"model": model, "messages": [*history, {"role": "user", "content": message}]}
            echo_json(await gateway.call("POST", "/v1/chat/completions", json=body, timeout=600.0))
        else:
            await _answer(gateway, model, [*history, {"role": "user", "content": message}])

    call_gateway(url, key or "", call)


async def _converse(gateway: "Gateway", model: str, history: list[Message]) -> None:
    """Ask and answer until an empty line; a refused question is reported, and the conversation goes on."""
    import asyncio

    from cli.client.gateway import GatewayRequestError

    while True:
        try:
            text = await asyncio.to_thread(input, "> ")
        except EOFError:
            return
        if not text.strip():
            return
        history.append({"role": "user", "content": text})
        try:
            history.append({"role": "assistant", "content": await _answer(gateway, model, history)})
        except GatewayRequestError as error:
            history.pop()
            await asyncio.to_thread(error.show)


async def _answer(gateway: "Gateway", model: str, messages: list[Message]) -> str:
    """Print an answer as it arrives, and return it."""
    from cli.text import plain

    parts = []
    async for event in gateway.stream("/v1/chat/completions", {"model": model, "messages": messages, "stream": True}):
        text = "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices") or ())
        parts.append(text)
        click.echo(plain(text), nl=False)
    click.echo()
    return "".join(parts)
