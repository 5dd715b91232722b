"""Calls of the administration API from commands; imports the HTTP client when it calls: ``--help`` needs none."""

from typing import Any


def administer(url: str, key: str, method: str, path: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401
    """Call ``/api/<path>`` and return the answer.

    Args:
        url: The gateway.
        key: The admin key, or a token whose role may do it.
        method: The HTTP method.
        path: Below ``/api/``.
        request: What `Gateway.administer` takes besides: ``json``, ``params``.

    Raises:
        click.ClickException: The gateway refuses it or cannot be reached.
    """
    from cli.client.gateway import call_gateway  # noqa: PLC0415 - see above

    return call_gateway(url, key, lambda gateway: gateway.administer(method, path, **request))
