"""The ASGI application: calls and probes are served at once, other paths by a framework that is loaded meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from fastapi import FastAPI


class GatewayApp(Starlette):
    """The gateway's middleware and hot routes around FastAPI, which serves all other paths.

    FastAPI, and the models of the routes that need it, are half of an API process's imports (0.6 of 1.2 s): they are
    loaded in a thread, once the process serves, or by the first request that needs them. Hot requests never enter the
    framework at all, which saves 7 us of CPU a call.

    Args:
        lifespan: What is started before requests are served, and closed after the last one.
        surround: Wraps an application in the gateway's middleware.
        build: Imports the framework and makes its application, which shares the state of this one.
    """

    def __init__(
        self,
        lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
        surround: Callable[[ASGIApp], ASGIApp],
        build: "Callable[[State], FastAPI]",
    ) -> None:
        super().__init__(lifespan=lifespan)
        self._build = build
        self._framework: FastAPI | None = None
        self._loading: asyncio.Task[FastAPI] | None = None
        self._surrounded = surround(self._serve_other)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        """Serve a request; not a coroutine itself, as every caller that waits for a job would hold its frame."""
        scope["app"] = self
        if scope["type"] != "http":
            return self.router(scope, receive, send)
        return self._surrounded(scope, receive, send)

    @property
    def loaded(self) -> bool:
        """Whether the framework is there; until then its paths wait for it."""
        return self._framework is not None

    def framework(self) -> "FastAPI":
        """Return the framework's application; the first call in a process imports it and analyses the routes: 0.6 s."""
        if self._framework is None:
            self._framework = self._build(self.state)
        return self._framework

    async def load(self) -> "FastAPI":
        """Load the framework in a thread; several callers share one loading."""
        if self._framework is not None:
            return self._framework
        if self._loading is None or self._loading.done():  # one that failed is tried again
            self._loading = asyncio.create_task(asyncio.to_thread(self.framework), name="finops-framework")
        return await asyncio.shield(self._loading)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document of every path."""
        return self.framework().openapi()

    def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        serve = self._serve_when_loaded if self._framework is None else self._framework
        return serve(scope, receive, send)

    async def _serve_when_loaded(self, scope: Scope, receive: Receive, send: Send) -> None:
        framework = await self.load()
        await framework(scope, receive, send)
