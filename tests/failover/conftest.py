"""The event loop that we serve with."""

import asyncio
from collections.abc import Callable

import uvloop

from tests.store.conftest import listen

__all__ = ["listen"]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on uvloop, as both tiers do."""
    return {"uvloop": uvloop.new_event_loop}
