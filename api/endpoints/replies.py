"""Replies of the gateway as responses of the framework."""

from starlette.responses import Response

from api.http.request_context import Reply


def as_response(reply: Reply) -> Response:
    """Convert a reply to the framework's response."""
    response = Response(reply.body, reply.status)
    response.raw_headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    return response
