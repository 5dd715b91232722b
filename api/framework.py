"""FastAPI's part of the application: every route that is not found by its path alone, and their description."""

from fastapi import FastAPI
from starlette.datastructures import State

from api.http.errors import ErrorBoundary
from api.http.framework_errors import install_error_handlers
from api.openapi.document import describe
from api.routing import all_routes


def create_framework(version: str, state: State) -> FastAPI:
    """Create FastAPI's application.

    Args:
        version: Of the gateway.
        state: The state of the application around it: the services are found there.
    """
    app = FastAPI(
        title="FinOps gateway",
        summary="The OpenAI API in front of every provider; any call can be a durable background job.",
        version=version,
        redirect_slashes=False,
        docs_url=None,  # the framework's page loads its scripts from a public host; ours is api/pages/docs.py
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the gateway has its own; the check costs 5 us
    )
    app.state = state
    app.add_middleware(ErrorBoundary)  # inside the framework too, whose outermost layer would answer itself
    install_error_handlers(app)
    app.router.routes.extend(all_routes())
    describe(app)
    return app
