"""Endpoints that are found by their path alone: the framework is not asked, nor needs it be loaded."""

from api.endpoints.base import AsgiEndpoint
from api.endpoints.messages import CountTokensEndpoint, MessagesEndpoint
from api.endpoints.probes import PROBES, as_app
from api.http.errors import ANTHROPIC_PREFIX
from api.http.request_context import App
from api.routes.async_jobs import PREFIX as ASYNC_PREFIX
from api.routes.async_jobs import AsyncSubmit
from api.routes.inference import PREFIXES, InferenceEndpoint
from shared.surfaces.request_types import REQUEST_TYPES


def hot_endpoints() -> dict[str, AsgiEndpoint]:
    """Return the endpoints that are found by their path alone, for POST."""
    endpoints: dict[str, AsgiEndpoint] = {}
    for request_type in REQUEST_TYPES:
        endpoint = InferenceEndpoint(request_type)
        endpoints.update({f"{prefix}/{request_type.path}": endpoint for prefix in PREFIXES})
        endpoints[f"{ASYNC_PREFIX}/{request_type.path}"] = AsyncSubmit(request_type)
    endpoints[f"{ANTHROPIC_PREFIX}v1/messages"] = MessagesEndpoint()
    endpoints[f"{ANTHROPIC_PREFIX}v1/messages/count_tokens"] = CountTokensEndpoint()
    return endpoints


def probes() -> dict[str, App]:
    """Return what machines ask for by GET: liveness, readiness and metrics."""
    return {path: as_app(probe) for path, probe in PROBES.items()}
