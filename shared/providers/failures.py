"""Errors of upstream calls, for the caller: the fact and the provider's name, never an address."""

import httpx

from shared.errors import Overloaded, UpstreamFailure, UpstreamTimeout
from shared.providers.base import Provider


def failure(error: Exception, provider: Provider) -> UpstreamFailure:
    """Return the error of a request that the transport could not send or whose answer it could not read."""
    name = provider.name
    if isinstance(error, httpx.ConnectTimeout):
        return _unreachable(f"Could not connect to the provider {name!r} within {provider.timeouts.connect_s:g} s.")
    if isinstance(error, httpx.TimeoutException):
        return UpstreamTimeout(f"The provider {name!r} did not answer in time.")
    if isinstance(error, httpx.ConnectError):
        return _unreachable(f"The provider {name!r} cannot be reached.")
    return UpstreamFailure(
        f"The provider {name!r} closed the connection before its answer was complete ({type(error).__name__})."
    )


def _unreachable(message: str) -> UpstreamFailure:
    error = UpstreamFailure(message)
    error.reached = False
    return error


def unusable(provider: Provider, status: int) -> UpstreamFailure:
    """Return the error of a status that is neither an answer nor an error of the provider."""
    if status < 400:
        return UpstreamFailure(
            f"The provider {provider.name!r} answered with a redirect ({status}), which is not followed. "
            "Check its base_url."
        )
    return UpstreamFailure(f"The provider {provider.name!r} answered with the invalid status {status}.")


def compressed(provider: Provider) -> UpstreamFailure:
    """Return the error of an answer in a content coding, which could be of any size once decoded."""
    return UpstreamFailure(
        f"The provider {provider.name!r} sent a compressed answer, which was not asked for: this gateway reads none."
    )


def overloaded(provider: Provider) -> Overloaded:
    """Return the error of a call for which the provider has no slot."""
    return Overloaded(
        f"The provider {provider.name!r} is at its limit of concurrent calls. Try again.",
        retry_after_s=1.0,
    )
