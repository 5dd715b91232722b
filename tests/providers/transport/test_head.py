"""Request lines, headers and origins: valid and refused ones."""

import pytest

from shared.providers.transport import MalformedRequest, Origin, Timeouts, UpstreamTransport, encode_headers
from tests.providers.transport.scripted import Upstream, answer, answering

TIMEOUTS = Timeouts()


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET /", b"/", b""),
        ("CONNECT", b"example.com:443", b""),
        ("GÉT", b"/", b""),
        ("GET", b"", b""),
        ("GET", b"/a b", b""),
        ("GET", b"/\r\nx: y", b""),
        ("GET", b"/\0", b""),
        ("GET", "/ä".encode(), b""),
        ("GET", b"/", b"x: y"),
        ("GET", b"/", b"x: y\r\n\r\nGET /"),
        ("GET", b"/", b"x: y\nz: 1\r\n"),
        ("GET", b"/", b"x: \0\r\n"),
        ("GET", b"/", b" folded: y\r\n"),
        ("GET", b"/", b"Content-Length: 5\r\n"),
        ("GET", b"/", b"a: b\r\ntransfer-encoding: chunked\r\n"),
        ("GET", b"/", [(b"x", b"a\r\nb: c")]),
        ("GET", b"/", [(b"x", b"a\nb")]),
        ("GET", b"/", [(b"x", b"a\0")]),
        ("GET", b"/", [(b"x\r\ny", b"a")]),
        ("GET", b"/", [(b"", b"a")]),
        ("GET", b"/", [(b"x y", b"a")]),
        ("GET", b"/", [(b"content-length", b"0")]),
    ],
)
async def test_nothing_malformed_leaves_this_house(
    transport: UpstreamTransport, method: str, target: bytes, headers: bytes | list[tuple[bytes, bytes]]
) -> None:
    async with Upstream(answering(answer())) as upstream:
        with pytest.raises(ValueError, match=r"."):
            await transport.send(upstream.origin, method, target, headers, b"", timeouts=TIMEOUTS)
    assert upstream.peers == []


def test_messages_about_headers_keep_values_secret() -> None:
    with pytest.raises(MalformedRequest, match="authorization") as caught:
        encode_headers([(b"authorization", b"Bearer s3cret\r\n")])
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("https://API.example.com/v1", ("https", "api.example.com", 443), b"api.example.com"),
        ("http://localhost", ("http", "localhost", 80), b"localhost"),
        ("http://gpu-box:8000/v1/", ("http", "gpu-box", 8000), b"gpu-box:8000"),
        ("https://[::1]:8443", ("https", "::1", 8443), b"[::1]:8443"),
        ("https://bücher.example", ("https", "xn--bcher-kva.example", 443), b"xn--bcher-kva.example"),
    ],
)
def test_origin_of_a_url(url: str, origin: tuple[str, str, int], authority: bytes) -> None:
    parsed = Origin.parse(url)
    assert (parsed, parsed.authority) == (origin, authority)


@pytest.mark.parametrize(
    "url", ["", "http://[::1", "api.example.com", "ftp://x", "https://", "http://a:b@x/", "http://x:99999", "/v1"]
)
def test_urls_without_a_usable_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Origin.parse(url)
    assert "a:b" not in str(caught.value)
