"""The bytes of a request's head, checked so that no value can start a line of its own.

Grammar: RFC 9110 (5.1 field names, 5.5 field values), RFC 9112 (3 request line, 6 message body).
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import httpx

MAX_CACHED_BYTES = 512
MAX_CACHED_BLOCK_BYTES = 8192
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
_is_token = re.compile(_TOKEN).fullmatch
_is_value = re.compile(_VALUE).fullmatch
_is_block = re.compile(rb"(?:" + _TOKEN + rb":" + _VALUE + rb"\r\n)*").fullmatch
_is_target = re.compile(rb"[!-~]+").fullmatch
_framing = re.compile(rb"(?im)^(?:content-length|transfer-encoding):").search
_host = re.compile(rb"(?im)^host:").search
_accept_encoding = re.compile(rb"(?im)^accept-encoding:").search
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})


class MalformedRequest(httpx.LocalProtocolError, ValueError):
    """The caller's method, target, header or body cannot be sent as HTTP/1.1."""


def encode_request_line(method: str, target: bytes) -> bytes:
    """Make the first line of a request; long targets, which hold callers' bytes, are not cached.

    Raises:
        MalformedRequest: The method is no token, or CONNECT; the target is empty or has blanks or control bytes.
    """
    return _known_request_line(method, target) if len(target) <= MAX_CACHED_BYTES else _request_line(method, target)


def _request_line(method: str, target: bytes) -> bytes:
    """Make the first line of a request.

    Raises:
        MalformedRequest: The method is no token, or CONNECT; the target is empty or has blanks or control bytes.
    """
    name = method.encode("ascii", "replace")
    if not _is_token(name) or name == b"CONNECT":
        message = f"method {method!r} cannot be sent"
        raise MalformedRequest(message)
    if not _is_target(target):
        raise MalformedRequest("the target must be visible ASCII; percent-encode everything else")
    return b"%b %b HTTP/1.1\r\n" % (name, target)


_known_request_line = lru_cache(maxsize=1024)(_request_line)


def encode_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Make a header block, each line ended by CRLF, that `UpstreamTransport.send` takes as it is.

    Raises:
        MalformedRequest: A name is no token or a value has control bytes. The message never shows a value.
    """
    lines = []
    for name, value in headers:
        if not _is_token(name) or not _is_value(value):
            message = f"header {name!r}: line breaks and control bytes are not allowed"
            raise MalformedRequest(message)
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


def _complete_block(block: bytes, authority: bytes) -> bytes:
    if not _is_block(block):
        raise MalformedRequest("the header block must be lines of `name: value`, each ended by CRLF")
    if _framing(block):
        raise MalformedRequest("content-length and transfer-encoding are written by the transport")
    if not _host(block):
        block = encode_headers([(b"host", authority)]) + block
    if not _accept_encoding(block):
        # The hot path passes bodies through unread; a coded one would have to be decoded by somebody.
        block += b"accept-encoding: identity\r\n"
    return block


# The hot path sends one block per provider key again and again: checking it once is enough.
_complete_known_block = lru_cache(maxsize=1024)(_complete_block)


def encode_request(
    method: str,
    target: bytes,
    authority: bytes,
    headers: bytes | Sequence[tuple[bytes, bytes]],
    body: bytes,
    *,
    with_body: bool = True,
) -> bytes:
    """Make a whole request, ready for one write.

    Args:
        method: Upper case, as HTTP methods are.
        target: Path and query, percent-encoded.
        authority: Value of the `Host` header unless `headers` has one.
        headers: A block from `encode_headers`, or pairs; without the framing headers.
        body: May be empty.
        with_body: Whether it is part of what is returned; else it is written after that.

    Raises:
        MalformedRequest: Something in it cannot be sent.
    """
    line = encode_request_line(method, target)
    if isinstance(headers, bytes):
        complete = _complete_known_block if len(headers) <= MAX_CACHED_BLOCK_BYTES else _complete_block
        block = complete(headers, authority)
    else:
        block = _complete_block(encode_headers(headers), authority)
    if body or method in _BODY_EXPECTED:
        return b"%b%bcontent-length: %d\r\n\r\n%b" % (line, block, len(body), body if with_body else b"")
    return b"%b%b\r\n" % (line, block)
