"""Proxies and certificates: tunnels for https, whole URLs for plain HTTP, TLS with the origin in either case."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import trustme

from shared.providers.transport import Origin, Proxies, Timeouts, UpstreamTransport, client_context, parse_proxy
from tests.providers.transport.conftest import Tls
from tests.providers.transport.scripted import Peer, Script, Upstream, answer, answering, once

TIMEOUTS = Timeouts(connect_s=10, first_byte_s=10, idle_s=10, total_s=20)
BASIC = b"Basic " + base64.b64encode(b"me:s:cret")


async def tunnel(peer: Peer) -> None:
    """Play a proxy: answer one CONNECT, then carry bytes both ways."""
    request = await peer.request()
    _, target, _ = request.line.split()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(target.rpartition(b":")[2]))
    await peer.drip(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")
    try:
        await asyncio.gather(_carry(peer.reader, writer), _carry(reader, peer.writer))
    finally:
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def through(
    proxy: Upstream, tls: ssl.SSLContext | None = None, user: str = ""
) -> AsyncIterator[UpstreamTransport]:
    proxies = Proxies.always(f"{proxy.origin.scheme}://{user}127.0.0.1:{proxy.port}")
    async with UpstreamTransport(ssl_context=tls, proxies=proxies) as transport:
        yield transport


async def get(transport: UpstreamTransport, origin: Origin) -> bytes:
    response = await transport.send(origin, "GET", b"/v1?a=b", [(b"x-a", b"b")], b"", timeouts=TIMEOUTS)
    body = await response.read()
    await response.aclose()
    return body


async def test_https_goes_through_a_tunnel_that_is_used_again(tls: Tls) -> None:
    async with (
        Upstream(answering(answer(b"hello")), tls=tls.server) as upstream,
        Upstream(tunnel) as proxy,
        through(proxy, tls.trusting, "me:s%3Acret@") as transport,
    ):
        assert [await get(transport, upstream.origin) for _ in range(2)] == [b"hello"] * 2
        assert len(proxy.peers) == len(upstream.peers) == 1
        [asked] = proxy.requests
        assert asked.line == b"CONNECT localhost:%d HTTP/1.1" % upstream.port
        assert asked.headers == {b"host": b"localhost:%d" % upstream.port, b"proxy-authorization": BASIC}
        # The origin sees no trace of the proxy's credentials.
        assert {request.line for request in upstream.requests} == {b"GET /v1?a=b HTTP/1.1"}
        assert b"proxy-authorization" not in upstream.requests[0].headers


async def test_a_proxy_cannot_read_what_it_carries_nor_stand_in_for_the_origin(tls: Tls) -> None:
    async with (
        Upstream(answering(answer()), tls=tls.server) as upstream,
        Upstream(tunnel) as proxy,
        through(proxy) as transport,  # does not trust the origin's authority
    ):
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await get(transport, upstream.origin)


async def test_plain_http_asks_the_proxy_for_the_whole_url() -> None:
    origin = Origin("http", "models.example.com", 8000)
    async with (
        Upstream(answering(answer(b"from the proxy"))) as proxy,
        through(proxy, user="me:s%3Acret@") as transport,
    ):
        assert await get(transport, origin) == b"from the proxy"
        client = httpx.AsyncClient(transport=transport)
        assert (await client.get("http://models.example.com/v1")).text == "from the proxy"
        first, second = proxy.requests
        assert first.line == b"GET http://models.example.com:8000/v1?a=b HTTP/1.1"
        assert first.headers[b"host"] == b"models.example.com:8000"
        assert second.line == b"GET http://models.example.com/v1 HTTP/1.1"
        assert first.headers[b"proxy-authorization"] == second.headers[b"proxy-authorization"] == BASIC


async def test_an_encoded_header_block_is_forwarded_with_and_without_credentials() -> None:
    origin = Origin("http", "models.example.com", 80)
    for user, expected in (("", None), ("me:s%3Acret@", BASIC)):
        async with Upstream(answering(answer())) as proxy, through(proxy, user=user) as transport:
            response = await transport.send(origin, "POST", b"/v1", b"x-a: b\r\n", b"{}", timeouts=TIMEOUTS)
            await response.aclose()
            assert proxy.requests[0].headers.get(b"proxy-authorization") == expected
            assert proxy.requests[0].headers[b"x-a"] == b"b"


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.hang_up_seen()


async def test_a_proxy_with_tls_of_its_own_is_spoken_to_in_tls(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.providers.transport.dial.client_context", lambda: tls.trusting)
    async with (
        Upstream(answering(answer(b"twice wrapped")), tls=tls.server) as upstream,
        Upstream(tunnel, tls=tls.server) as proxy,
        UpstreamTransport(proxies=Proxies.always(f"https://localhost:{proxy.port}")) as transport,
    ):
        assert await get(transport, upstream.origin) == b"twice wrapped"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (once(answer(b"no", "407 Proxy Authentication Required")[:-2]), "its credentials are not accepted"),
        (once(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "it answered 403"),
        (once(b"SSH-2.0-OpenSSH_9\r\n\r\n"), "it answered 0"),
        (once(b"HTTP/1.1 200 OK\r\n\r\nmore"), "no valid answer"),
        (once(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000), "no valid answer"),
        (once(b"HTTP/1.1 200 OK\r\n\r\n"), "127.0.0.1|localhost|closed|proxy"),
        (once(b""), "closed the connection"),
    ],
)
async def test_a_proxy_that_makes_no_tunnel_is_a_connection_that_failed(tls: Tls, script: Script, message: str) -> None:
    async with Upstream(script) as proxy, through(proxy, tls.trusting) as transport:
        with pytest.raises(httpx.ConnectError, match=message):
            await get(transport, Origin("https", "localhost", 4433))
        assert transport.stats() == {}


async def test_a_proxy_that_says_nothing_is_left_after_the_time_to_connect(tls: Tls) -> None:
    limits = Timeouts(connect_s=0.05)
    async with Upstream(silent) as proxy, through(proxy, tls.trusting) as transport:
        with pytest.raises(httpx.ConnectTimeout):
            await transport.send(Origin("https", "localhost", 4433), "GET", b"/", b"", b"", timeouts=limits)
        await proxy.peers[0].gone.wait()


async def test_a_client_certificate_is_presented(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, authority = tmp_path_factory.mktemp("mtls"), trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("gateway@example.com")
    trusted = folder / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    client.private_key_pem.write_to_path(folder / "key.pem")
    client.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.configure_cert(context)
    context.load_verify_locations(trusted)
    context.verify_mode = ssl.CERT_REQUIRED
    async with Upstream(answering(answer(b"known")), tls=context) as upstream:
        for files in (("cert.pem", "key.pem"), ("both.pem", "")):
            own = client_context(str(trusted), *(str(folder / file) if file else "" for file in files))
            async with UpstreamTransport(ssl_context=own) as transport:
                assert await get(transport, upstream.origin) == b"known"
        async with UpstreamTransport(ssl_context=client_context(str(trusted))) as transport:
            with pytest.raises(httpx.TransportError):
                await get(transport, upstream.origin)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("key")
    cert = trustme.CA().issue_cert("gateway@example.com")
    cert.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    secret = serialization.BestAvailableEncryption(b"secret")
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret
    )
    (folder / "key.pem").write_bytes(pem)
    with pytest.raises(OSError, match=r"."):
        client_context("", str(folder / "cert.pem"), str(folder / "key.pem"))


def proxy_of(environ: dict[str, str], url: str) -> str | None:
    found = Proxies.of_environment(environ).of(Origin.parse(url))
    return None if found is None else f"{found.scheme}://{found.host}:{found.port}"


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({}, "https://api.example.com", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://api.example.com", "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://api.example.com", "http://proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy"}, "https://api.example.com", "https://proxy:443"),
        ({"HTTPS_PROXY": "http://proxy"}, "http://api.example.com", None),
        ({"HTTP_PROXY": "http://proxy"}, "http://api.example.com", "http://proxy:80"),
        ({"HTTP_PROXY": "http://proxy"}, "http://127.0.0.1:11434", None),
        ({"HTTP_PROXY": "http://proxy"}, "http://localhost:11434", None),
        ({"HTTPS_PROXY": "http://proxy"}, "https://localhost", "http://proxy:80"),
        ({"https_proxy": "http://lower", "HTTPS_PROXY": "http://upper"}, "https://a.b", "http://lower:80"),
        ({"ALL_PROXY": "http://all", "HTTPS_PROXY": ""}, "https://a.b", "http://all:80"),
        (
            {"ALL_PROXY": "socks5://x", "HTTPS_PROXY": "http://p", "HTTP_PROXY": "http://p"},
            "https://a.b",
            "http://p:80",
        ),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "https://a.b", "http://::1:3128"),
    ],
)
def test_the_environment_chooses_the_proxy(environ: dict[str, str], url: str, expected: str | None) -> None:
    assert proxy_of(environ, url) == expected


@pytest.mark.parametrize(
    ("entry", "url", "bypassed"),
    [
        ("*", "https://api.example.com", True),
        ("api.example.com", "https://api.example.com", True),
        ("API.example.com", "https://api.example.com", True),
        ("example.com", "https://api.example.com", True),
        (".example.com", "https://api.example.com", True),
        ("*.example.com", "https://api.example.com", True),
        ("ample.com", "https://api.example.com", False),
        ("api.example.com:443", "https://api.example.com", True),
        ("api.example.com:8443", "https://api.example.com", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.4", "https://10.1.2.3", False),
        ("[2001:db8::1]:443", "https://[2001:db8::1]", True),
        ("2001:db8::/32", "https://[2001:db8::1]", True),
        (".", "https://api.example.com", False),
        ("other.com, example.com ,", "https://api.example.com", True),
    ],
)
def test_no_proxy_names_what_is_called_directly(entry: str, url: str, bypassed: bool) -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": entry}
    assert (proxy_of(environ, url) is None) == bypassed


@pytest.mark.parametrize(
    "url", ["socks5://me:secret@h:1", "http://", "http://h:x", "http://[::1", "http://h:0", "ftp://h"]
)
def test_a_url_of_no_http_proxy_is_refused_without_its_credentials(url: str) -> None:
    with pytest.raises(ValueError, match=r"is|names") as refused:
        parse_proxy(url)
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match=r"^HTTPS_PROXY "):
        Proxies.of_environment({"HTTPS_PROXY": url})


def test_a_provider_may_be_called_directly() -> None:
    assert Proxies.always("direct").of(Origin("https", "a.b", 443)) is None
