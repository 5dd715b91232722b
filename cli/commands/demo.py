"""``finops demo``: show the whole system at work, through the official OpenAI SDK."""

import click

from cli.examples import examples


@click.command(name="demo", epilog=examples("finops demo"))
def command() -> None:
    """Show a long completion as a job, then a batch on two workers.

    It needs no API key, costs nothing and leaves nothing behind.
    """
    import asyncio

    import httpx

    try:
        import openai
    except ImportError:
        raise click.ClickException("the demo needs the OpenAI SDK; install it with: pip install openai") from None
    from cli.commands.demonstration import GIVE_UP_S, show
    from cli.text import plain

    try:
        asyncio.run(show())
    except (openai.APIError, httpx.HTTPError) as error:
        raise click.ClickException(f"the demo failed: {plain(error)}") from error
    except asyncio.CancelledError:
        raise click.Abort from None
    except TimeoutError:
        raise click.ClickException(f"the demo did not end within {GIVE_UP_S:g} s") from None
