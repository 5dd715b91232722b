"""Checks of a request's head that the parser leaves to its server (RFC 9112)."""

from collections.abc import Sequence

from shared.errors import GatewayError, HeadersTooLarge, InvalidRequest

Lines = Sequence[tuple[bytes, bytes]]

# Two of one of these, and a proxy before us may have checked the other one.
IDENTITY = frozenset(
    {
        b"authorization",
        b"x-bf-vk",
        b"x-api-key",
        b"x-goog-api-key",
        b"api-key",
        b"x-bf-admin-key",
        b"host",
        b"content-length",
        b"transfer-encoding",
    }
)
_FIXED_BYTES = len("  HTTP/1.1\r\n") + len("\r\n")  # of the request line, and the empty line at the end
_LINE_BYTES = len(": \r\n")


def check_size(method: bytes, url: bytes, lines: Lines, max_bytes: int) -> None:
    """Refuse a head that is too long.

    Raises:
        HeadersTooLarge: Request line and headers together are longer than ``max_bytes``.
    """
    size = len(method) + len(url) + _FIXED_BYTES
    if size + sum(len(name) + len(value) + _LINE_BYTES for name, value in lines) > max_bytes:
        raise head_too_large(max_bytes)


def head_too_large(max_bytes: int) -> GatewayError:
    """The refusal of a head that is longer than the limit."""
    return HeadersTooLarge(
        f"The request line and headers together are larger than {max_bytes // 1024} KiB (server.max_header_kb)."
    )


def check_headers(lines: Lines, found: dict[bytes, bytes], version: str, max_headers: int) -> None:
    """Refuse headers that two HTTP implementations may understand differently.

    Args:
        lines: Every header as sent, with its name in lower case.
        found: The same, by name.
        version: ``1.1`` or ``1.0``.
        max_headers: How many lines there may be.

    Raises:
        HeadersTooLarge: There are too many.
        InvalidRequest: A header is missing, sent twice, or asks for what is not supported.
    """
    if len(lines) > max_headers:
        raise HeadersTooLarge(f"The request has more than {max_headers} headers (server.max_headers).")
    if len(found) != len(lines):
        _refuse_repeated(lines)
    if version not in {"1.1", "1.0"}:
        raise InvalidRequest("Only HTTP/1.1 and HTTP/1.0 are supported.")
    if b"host" not in found and version != "1.0":
        raise InvalidRequest("The Host header is required.", param="host")
    coding = found.get(b"transfer-encoding")
    if coding is not None and (coding.strip().lower() != b"chunked" or version == "1.0"):
        raise InvalidRequest("The only supported transfer encoding is chunked, in HTTP/1.1.", param="transfer-encoding")


def _refuse_repeated(lines: Lines) -> None:
    seen: set[bytes] = set()
    for name, _ in lines:
        if name in IDENTITY and name in seen:
            raise InvalidRequest(f"The header {name.decode()} was sent more than once.", param=name.decode())
        seen.add(name)
